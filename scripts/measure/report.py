"""The pages of figures, and docs/performance.svg: machine, versions, command, and the tables of one run."""

import os
import re
import subprocess
from glob import glob
from html import escape

from cases import CASES
from figures import Table
from world import ROOT

PAGE, DRAWING, CAPACITY = ROOT / "docs/PERFORMANCE.md", ROOT / "docs/performance.svg", ROOT / "docs/CAPACITY.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PICTURE = "![Each case beside its yardstick in the same run, as a share of it; the tables below hold the figures.](performance.svg)"
WIDTH, LINE, LEFT, FULL = 760, 26, 340, 1.5  # of the drawing; the last is the largest ratio that fits


def write(cases, command, is_part):
    """Puts cases, by name, into the page: a table, or why there is none. A run of single cases leaves the others as they are,
    and says of which commit its own are, how much was measured, and where."""
    load = "2,000 posts, 100,000 users, where the case says nothing else"
    head, sections = read() if is_part else ("", {})
    head = head or about(command, load)
    scale = "".join(f" {word}" for word in command.split() if word in ("--quick", "--large")) if is_part else ""
    apart = f", commit {COMMIT}" if is_part else ""
    if machine() not in head:
        apart += f", on {machine()}"
    for name, outcome in cases.items():
        if outcome is None and is_part:
            continue
        found = markdown(outcome) if isinstance(outcome, Table) else f"### {name}\n\nNo figure: {outcome or 'the run ended before it'}"
        sections[name] = f"{found}\n\n`scripts/bench --case {name}{scale}`{apart}"
    sections = {name: sections[name] for name in CASES if name in sections}
    DRAWING.write_text(drawing(sections))
    put(PAGE, [head, PICTURE, *sections.values()])


def read():
    """The page's first lines, and what it says of each case."""
    head, *sections = re.split(r"\n(?=### )", PAGE.read_text().split(BEGIN)[1].split(END)[0])
    return head.replace(PICTURE, "").strip(), {re.search(r"`scripts/bench --case ([\w-]+)", text)[1]: text.strip() for text in sections}


def put(file, parts):
    """Puts parts into a page, where it has a place for figures; the prose around them stays."""
    page = file.read_text()
    if BEGIN not in page or END not in page:
        raise SystemExit(f"{file} has no place for figures: {BEGIN} and {END}")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    file.write_text(f"{before}{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}{after}")


def said(*command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return (done.stdout or done.stderr).strip().splitlines()[0]


# As it is before the first page is written.
COMMIT = said("git", "describe", "--always", "--dirty")


def machine():
    model = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    memory = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read())[1]) // (1 << 20)
    return f"{os.cpu_count()} cores ({model[1] if model else 'unknown'}), {memory} GiB"


def about(command, load):
    postgres = sorted(glob("/usr/lib/postgresql/*/bin/postgres"))[-1]
    facts = {
        "command": command,
        "commit": COMMIT,
        "machine": f"{machine()}, load generator included",
        "versions": "; ".join([said("rustc", "--version"), said("redis-server", "--version").split(" sha")[0], said(postgres, "--version")]),
        "settings": "Redis appendonly yes, appendfsync everysec; Postgres as installed, max_wal_size 4 GB",
        "load": f"wrk, 64 connections; {load}",
    }
    return "```text\n" + "\n".join(f"{name:<9} {value}" for name, value in facts.items()) + "\n```"


def markdown(table):
    lines = [f"### {table.title}", "", "| " + " | ".join(table.HEAD) + " |", "|---" * len(table.HEAD) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in table.cells()])


def bars(sections):
    """Of each row with a ratio: its case, its name, the ratio and the goal, as `Table.cells` has them."""
    for case, text in sections.items():
        for line in text.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if line.startswith("| ") and len(cells) == 5 and re.fullmatch(r"[\d.]+", cells[3]):
                yield case, cells[0], float(cells[3]), cells[4]


def drawing(sections):
    """A bar for each row that has a base, as long as its ratio; a stroke where its goal is."""
    rows = list(bars(sections))
    height = LINE * (len(rows) + 1)
    scale = (WIDTH - LEFT - 60) / FULL
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
           f'<line x1="{LEFT + scale:.1f}" y1="4" x2="{LEFT + scale:.1f}" y2="{height - 18}" stroke="#bbb"/>',
           f'<text x="{LEFT + scale:.1f}" y="{height - 6}" text-anchor="middle" fill="#555">its base</text>']
    for place, (case, name, ratio, goal) in enumerate(rows):
        top, length = 6 + LINE * place, min(ratio, FULL) * scale
        sign, _, limit = goal.partition(" ")
        is_met = not goal or (ratio <= float(limit) if sign == "≤" else ratio >= float(limit))
        colour = "#3b7dd8" if is_met else "#d08a2e"
        out.append(f'<text x="{LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(f"{case}: {name}")}</text>')
        out.append(f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="17" fill="{colour}"/>')
        out.append(f'<text x="{LEFT + length + 6:.1f}" y="{top + 13}">{ratio:.2f}</text>')
        if goal:
            x = LEFT + float(limit) * scale
            out.append(f'<line x1="{x:.1f}" y1="{top - 2}" x2="{x:.1f}" y2="{top + 19}" stroke="#222" stroke-width="2"/>')
    return "\n".join([*out, "</svg>"]) + "\n"
