"""What a case gives: rounds of figures, their medians and spread, and a table of them."""

from dataclasses import dataclass, field
from statistics import median


class Wrong(Exception):
    """A case that has no figure, and why."""


class Scale:
    """How much is measured."""

    def __init__(self, quick, large=False):
        self.rounds = 1 if large else 3 if quick else 5
        self.seconds = 2 if quick else 8  # of a round of requests
        self.waiting = 100_000 if quick else 1_000_000  # ratings in the large drain
        self.tick = 30_000 if quick else 300_000  # ratings of a tick
        self.growth = [10_000, 10_000_000] if large else [10_000, 100_000] if quick else [10_000, 100_000, 1_000_000]
        self.posts = [1_000, 10_000_000] if large else [1_000, 20_000] if quick else [1_000, 100_000]
        self.rated_posts = [2_000, 10_000] if quick else [2_000, 20_000, 100_000]  # of a tick's ratings
        self.shards = [1, 16, 64] if quick else [1, 16, 64, 256]
        self.page_posts = 20_000 if quick else 1_000_000
        self.file = 100_000 if quick else 5_000_000  # ratings in the file of the start


@dataclass
class Row:
    """The rounds of one side. A goal is a bound of the ratio to the base: at least, or at most if less is better."""

    name: str
    rounds: list
    base: "Row" = None
    goal: float = None

    @property
    def middle(self):
        return median(self.rounds)

    @property
    def ratio(self):
        return self.middle / self.base.middle if self.base else None

    def spread(self):
        """Half of the distance between the extremes, as a share of the median."""
        return (max(self.rounds) - min(self.rounds)) / 2 / self.middle if self.middle else 0.0


@dataclass
class Table:
    title: str
    unit: str
    rows: list
    less_is_better: bool = False
    case: str = ""
    notes: list = field(default_factory=list)

    HEAD = ["side", "figure", "spread", "ratio", "goal"]

    def cells(self):
        for row in self.rows:
            goal = "" if row.goal is None else f"{'≤' if self.less_is_better else '≥'} {row.goal:g}"
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            yield [row.name, f"{number(row.middle)} {self.unit}".rstrip(), f"±{row.spread():.0%}", ratio, goal]

    def text(self):
        lines = [f"{self.case}: {self.title}"]
        for name, figure, spread, ratio, goal in self.cells():
            lines.append(f"  {name:<46} {figure:>18} {spread:>6} {ratio:>6}  {goal}".rstrip())
        return "\n".join(lines + [f"  {note}" for note in self.notes])


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def in_turns(rounds, sides):
    """Runs each side once for nothing, then all of them in turns. `sides` are pairs of a name and a function."""
    for _, run in sides:
        run()
    figures = {name: [] for name, _ in sides}
    for _ in range(rounds):
        for name, run in sides:
            figures[name].append(run())
    return figures


def beside(title, unit, rounds, yardstick, others, goal=None, less_is_better=False):
    """A table of sides in turns, compared with the first."""
    figures = in_turns(rounds, [yardstick, *others])
    base = Row(yardstick[0], figures[yardstick[0]])
    rows = [Row(name, figures[name], base, goal) for name, _ in others]
    return Table(title, unit, [base, *rows], less_is_better)
