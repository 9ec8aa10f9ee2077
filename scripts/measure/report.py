"""The pages of figures, and docs/performance.svg: machine, versions, command, and the tables of one run."""

import os
import re
import subprocess
from glob import glob
from html import escape

from world import ROOT

PAGE, DRAWING, CAPACITY = ROOT / "docs/PERFORMANCE.md", ROOT / "docs/performance.svg", ROOT / "docs/CAPACITY.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PICTURE = "![Each case beside its yardstick in the same run, as a share of it; the tables below hold the figures.](performance.svg)"
WIDTH, LINE, LEFT, FULL = 760, 26, 340, 1.5  # of the drawing; the last is the largest ratio that fits


def write(tables, failed, command):
    """Replaces what the last run measured. A case with an error is named, and has no figure."""
    DRAWING.write_text(drawing(tables))
    load = "2,000 posts, 100,000 users, where the case says nothing else"
    missing = [f"No figure: {name}: {why}" for name, why in failed.items()]
    put(PAGE, [about(command, load), *missing, PICTURE, *map(markdown, tables)])


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


def about(command, load):
    model = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    memory = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read())[1]) // (1 << 20)
    postgres = sorted(glob("/usr/lib/postgresql/*/bin/postgres"))[-1]
    facts = {
        "command": command,
        "commit": COMMIT,
        "machine": f"{os.cpu_count()} cores ({model[1] if model else 'unknown'}), {memory} GiB, load generator included",
        "versions": "; ".join([said("rustc", "--version"), said("redis-server", "--version").split(" sha")[0], said(postgres, "--version")]),
        "settings": "Redis appendonly yes, appendfsync everysec; Postgres as installed, max_wal_size 4 GB",
        "load": f"wrk, 64 connections; {load}",
    }
    return "```text\n" + "\n".join(f"{name:<9} {value}" for name, value in facts.items()) + "\n```"


def markdown(table):
    lines = [f"### {table.title}", "", "| " + " | ".join(table.HEAD) + " |", "|---" * len(table.HEAD) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in table.cells()]
    lines += ["", f"`scripts/bench --case {table.case}`"]
    return "\n".join(lines)


def drawing(tables):
    """A bar for each side that has a base, as long as its ratio; a stroke where its goal is."""
    bars = [(table, row) for table in tables for row in table.rows if row.base]
    height = LINE * (len(bars) + 1)
    scale = (WIDTH - LEFT - 60) / FULL
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
           f'<line x1="{LEFT + scale:.1f}" y1="4" x2="{LEFT + scale:.1f}" y2="{height - 18}" stroke="#bbb"/>',
           f'<text x="{LEFT + scale:.1f}" y="{height - 6}" text-anchor="middle" fill="#555">its base</text>']
    for place, (table, row) in enumerate(bars):
        top, length = 6 + LINE * place, min(row.ratio, FULL) * scale
        is_met = row.goal is None or (row.ratio <= row.goal if table.less_is_better else row.ratio >= row.goal)
        colour = "#3b7dd8" if is_met else "#d08a2e"
        out.append(f'<text x="{LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(f"{table.case}: {row.name}")}</text>')
        out.append(f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="17" fill="{colour}"/>')
        out.append(f'<text x="{LEFT + length + 6:.1f}" y="{top + 13}">{row.ratio:.2f}</text>')
        if row.goal:
            x = LEFT + row.goal * scale
            out.append(f'<line x1="{x:.1f}" y1="{top - 2}" x2="{x:.1f}" y2="{top + 19}" stroke="#222" stroke-width="2"/>')
    return "\n".join([*out, "</svg>"]) + "\n"
