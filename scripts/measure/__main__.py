"""Runs the cases of scripts/bench and prints what they give. A case with an error has no figure, and the exit code is 1."""

import argparse
import signal
import sys
import tempfile
import traceback

import capacity
import plan
import report
from cases import CASES
from figures import Scale, Table, Wrong
from load import TOKENS
from world import Bench, Build

COMMAND = " ".join(["scripts/bench", *sys.argv[1:]])


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--quick", action="store_true", help="five minutes: short rounds, small amounts")
    parser.add_argument("--large", action="store_true", help="ten million of what grows, in one round: for single cases")
    parser.add_argument("--case", action="append", default=[], metavar="NAME", help="only this case; may be repeated")
    parser.add_argument("--against", metavar="REV", help="measures this commit too, in turns")
    parser.add_argument("--capacity", action="store_true", help="what a rating and a read take, and what that means, in place of the cases")
    parser.add_argument("--write", action="store_true", help="writes the page and draws its picture")
    parser.add_argument("--list", action="store_true", help="lists the cases")
    args = parser.parse_args()
    if args.list:
        for name, case in CASES.items():
            print(f"{name:<18} {case.__doc__}")
        return 0
    unknown = [name for name in args.case if name not in CASES]
    if unknown:
        parser.error(f"unknown case {unknown[0]}; --list names all")

    # So that servers are ended when this is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # A table, why there is no figure, or nothing: the run ended before it.
    outcomes = dict.fromkeys(args.case or CASES)
    with tempfile.TemporaryDirectory(prefix="damper-bench-") as folder:
        bench = Bench(folder, Scale(args.quick, args.large), Build.here(folder, args.against))
        try:
            if args.capacity:
                return derive(bench, args.write)
            for name in outcomes:
                try:
                    table = CASES[name](bench)
                except Wrong as wrong:
                    outcomes[name] = str(wrong)
                    print(f"\n{name}: no figure: {wrong}", flush=True)
                else:
                    table.case, outcomes[name] = name, table
                    print("\n" + table.text(), flush=True)
                finally:
                    bench.end_case()
                if args.write:
                    # After each case: a run of an hour may be ended early.
                    report.write(outcomes, COMMAND, bool(args.case))
                    print(f"wrote {report.PAGE.name}", flush=True)
        except Exception:
            traceback.print_exc()
        finally:
            bench.close()
    return int(not all(isinstance(outcome, Table) for outcome in outcomes.values()))


def derive(bench, is_written):
    """What a rating and a read take, and what follows; a part with an error ends all, as the rest is reckoned with it."""
    sections = plan.sections(capacity.measure(bench))
    print("\n" + "\n\n".join(sections), flush=True)
    if is_written:
        load = f"{capacity.POSTS:,} posts, {capacity.USERS:,} users; with tokens {TOKENS:,} users"
        report.put(report.CAPACITY, [report.about(COMMAND, load), *sections])
        print(f"\nwrote {report.CAPACITY.name}")
    return 0


sys.exit(main())
