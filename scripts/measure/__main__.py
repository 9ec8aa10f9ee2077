"""Runs the cases of scripts/bench and prints what they give. A case with an error has no figure, and the exit code is 1."""

import argparse
import signal
import sys
import tempfile
import traceback

import report
from cases import CASES
from figures import Scale, Wrong
from world import Bench, Build


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--quick", action="store_true", help="five minutes: short rounds, small amounts")
    parser.add_argument("--case", action="append", default=[], metavar="NAME", help="only this case; may be repeated")
    parser.add_argument("--against", metavar="REV", help="measures this commit too, in turns")
    parser.add_argument("--write", action="store_true", help="writes docs/PERFORMANCE.md and docs/performance.svg")
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
    tables, failed = [], 0
    with tempfile.TemporaryDirectory(prefix="damper-bench-") as folder:
        bench = Bench(folder, Scale(args.quick), Build.here(folder, args.against))
        try:
            for name in args.case or CASES:
                try:
                    table = CASES[name](bench)
                except Wrong as wrong:
                    failed += 1
                    print(f"\n{name}: no figure: {wrong}", flush=True)
                    continue
                finally:
                    bench.end_case()
                table.case = name
                tables.append(table)
                print("\n" + table.text(), flush=True)
        except Exception:
            traceback.print_exc()
            failed += 1
        finally:
            bench.close()
    if args.write and not failed:
        report.write(tables, " ".join(["scripts/bench", *sys.argv[1:]]))
    return min(failed, 1)


sys.exit(main())
