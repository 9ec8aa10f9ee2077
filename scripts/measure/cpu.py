"""Processor time of processes, by what Linux counts: in steps of a hundredth of a second, so what is measured takes a while."""

import os
import resource
from pathlib import Path


def used_us(pid):
    """The processor time that a process and its children that have ended took."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, words[11:15])) * 1e6 / os.sysconf("SC_CLK_TCK")


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def used_of_ended():
    """The processor time of this process' children that have ended: commands of damper, while they are measured."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e6


class Meter:
    """The processor time of a set-up's processes."""

    def __init__(self, world):
        self.world, bench = world, world.bench
        self.redis = self.postgres = None
        if world.setup == "servers":
            port = world.redis.rsplit(":", 1)[1]
            self.redis = next(p.pid for p in bench.processes if p.args[:3] == ["redis-server", "--port", port])
            self.postgres = bench.lasting[0].pid

    def read(self):
        now = {"service": used_us(self.world.process.pid)}
        if self.redis:
            now["redis"] = used_us(self.redis)
            now["postgres"] = sum(map(used_us, [self.postgres, *children(self.postgres)]))
        return now

    def during(self, work, count):
        """Microseconds of each process for one of the `count()` things that `work()` does."""
        before = self.read()
        work()
        after, done = self.read(), count()
        return {name: (after[name] - before[name]) / done for name in before}
