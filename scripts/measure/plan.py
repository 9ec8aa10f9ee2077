"""docs/CAPACITY.md: what was measured, and what follows from it. Every derived figure is computed here, and its arithmetic said."""

from math import ceil

from figures import number

SHARE = 0.7  # of a core's time that is planned with
TICK, DRAIN = 300, 240  # seconds: between ticks, and for the drain of one (drain.tick_seconds_max)
TICKS_WAITING = 2  # what Redis has room for: one tick's ratings while those of the one before are drained
CORES = 8  # of a large node
REDIS_GIB, DISK_MB, LINE_GBIT = 16, 200, 10  # of a large node: memory for Redis, steady writes, network
RATES = [1_000, 10_000, 100_000, 1_000_000]
DAY = 86_400
MB, GB, GIB = 1e6, 1e9, 1 << 30


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def us(costs, name):
    return number(costs[name]) if name in costs else "–"


def cores(rate, micros):
    return rate * micros / 1e6 / SHARE


def per_second(cores, micros):
    return cores * SHARE * 1e6 / micros


def rounded(value):
    """Two digits: a derived figure is no more exact."""
    if value < 1:
        return f"{value:.1g}"
    digits = 10 ** max(len(str(int(value))) - 2, 0)
    return f"{round(value / digits) * digits:,}"


def processor(facts):
    servers, embedded, cold = facts["servers"], facts["embedded"], facts["proxied"]["cold"]
    rows = []

    def row(what, there, here):
        rows.append([what, *(us(there, name) for name in ("service", "redis", "postgres")), us(here, "service")])
    row("a rating accepted", servers["rate"], embedded["rate"])
    row("… with a token, and limits by user and address", servers["rate, token and limits"], {})
    row("a rating merged", servers["drain"], embedded["drain"])
    row("a post read, read by others within a second", servers["post"], embedded["post"])
    row(f"a post read, one of {cold['posts']:,} in turn", cold, {})
    row("a post read with the reader's own rating", servers["own"], embedded["own"])
    row("a list of 20 posts", servers["list"], embedded["list"])
    return table(["microseconds of a core", "`damper-api`, `damper-worker`", "Redis", "Postgres", "embedded"], rows)


def space(facts):
    servers, embedded = facts["servers"], facts["embedded"]
    waiting, after, drain = servers["waiting"], servers["after"], servers["drain"]
    rows = [
        ["Redis, a rating that waits", f"{number(waiting['memory'])}: log {number(waiting['log'])}, note {number(waiting['notes'])}, and what Redis needs besides"],
        ["Redis, after a drain, whatever it had", f"{number(after['log'])} in all, {number(after['notes'])} of notes"],
        ["Redis, a cached post", number(after["a cached post"])],
        ["Redis, its file, a rating", f"{number(waiting['disk'])}, until Redis rewrites the file"],
        ["network to and from Redis, a rating", number(waiting["network"])],
        ["Postgres, a rating", number(servers["rows"]["rating"])],
        ["Postgres, an hour of a post's history", number(servers["rows"]["hour"])],
        ["Postgres, a rated post", number(servers["rows"]["post"])],
        ["Postgres' WAL, a rating merged", f"{number(drain['wal'])}, in a drain of {drain['entries']:,} over 2,000 posts with {drain['syncs']} syncs"],
        ["SQLite, a rating that waits", number(embedded["waiting"]["log"])],
        ["SQLite, a rating", number(embedded["rows"]["rating"])],
        ["SQLite, an hour of a post's history", number(embedded["rows"]["hour"])],
        ["SQLite, a rated post", number(embedded["rows"]["post"])],
        ["SQLite, sent to the disk, a rating accepted", number(embedded["rate"]["disk"])],
        ["answer: a post; a list of 20", f"{number(servers['post']['answer'])}; {number(servers['list']['answer'])}, headers included"],
    ]
    memory = [["`damper-api` under this load", number(servers["service MiB"])], ["a worker's drain, at most", number(drain["peak MiB"])],
              ["embedded under this load", number(embedded["service MiB"])], ["embedded, a flush, at most", number(embedded["drain"]["peak MiB"])]]
    return table(["what", "bytes"], rows) + "\n\n" + table(["process", "MiB"], memory)


def proxy(facts):
    rows = [[f"{it['posts']:,}", number(it["a second"]), f"{it['hits']:.1%}", number(it["left a second"]), number(it["worst second"]),
             number(it["nginx"]), number(it["service"])] for it in facts["proxied"]["rounds"]]
    return table(["posts", "reads/s", "hits", "left for Damper, a second", "in the worst second", "µs of nginx a read", "µs of Damper a read"], rows)


class Costs:
    """What the plan reckons with, in microseconds: ratings with tokens and limits, as a public site has them."""

    def __init__(self, facts):
        servers, embedded = facts["servers"], facts["embedded"]
        accepted, merged = servers["rate, token and limits"], servers["drain"]
        self.api, self.worker = accepted["service"], merged["service"]
        self.redis = accepted["redis"] + merged["redis"]
        self.postgres = accepted["postgres"] + merged["postgres"]
        self.all = self.api + self.worker + self.redis + self.postgres
        self.embedded = embedded["rate"]["service"] + embedded["drain"]["service"]
        self.embedded_merge = embedded["drain"]["service"]
        self.waiting, self.wal = servers["waiting"]["memory"], merged["wal"]
        self.row = servers["rows"]["rating"]
        self.drained = merged["a second"]
        self.read, self.own, self.answer = servers["post"], servers["own"], servers["post"]["answer"]
        self.embedded_read = embedded["post"]["service"]
        self.nginx = facts["proxied"]["rounds"][0]["nginx"]


def nodes(costs):
    def rate(cores, micros):
        return f"{rounded(per_second(cores, micros))} ratings/s"

    def read(cores, micros):
        return f"{rounded(per_second(cores, micros))} reads/s"
    rows = [
        ["embedded", 2, f"{rate(2, costs.embedded)}, or {read(2, costs.embedded_read)}",
         f"{SHARE} × 2 cores ÷ {number(costs.embedded)} µs accepted and merged, or ÷ {number(costs.embedded_read)} µs"],
        ["embedded", CORES, f"{rate(1, costs.embedded_merge)}, or {read(CORES, costs.embedded_read)}",
         f"the file has one writer, so the merge has one core: {SHARE} ÷ {number(costs.embedded_merge)} µs; reads have all"],
        ["all of servers on one", 2, rate(2, costs.all), f"{SHARE} × 2 cores ÷ {number(costs.all)} µs of all four"],
        ["all of servers on one", CORES, rate(CORES, costs.all), f"{SHARE} × {CORES} cores ÷ {number(costs.all)} µs"],
    ]
    for count in (2, CORES):
        rows.append(["`damper-api`", count, f"{rate(count, costs.api)}, or {read(count, costs.read['service'])}",
                     f"{SHARE} × {count} cores ÷ {number(costs.api)} µs, or ÷ {number(costs.read['service'])} µs"])
    rows += [
        ["Redis", 1, rate(1, costs.redis), f"commands have one core: {SHARE} ÷ {number(costs.redis)} µs"],
        ["Postgres", 2, rate(2, costs.postgres), f"{SHARE} × 2 cores ÷ {number(costs.postgres)} µs"],
        ["Postgres", CORES, rate(CORES, costs.postgres), f"{SHARE} × {CORES} cores ÷ {number(costs.postgres)} µs"],
        ["nginx with a cache", 2, read(2, costs.nginx), f"{SHARE} × 2 cores ÷ {number(costs.nginx)} µs"],
    ]
    return table(["node", "cores", "carries", "how"], rows)


def ratings(costs):
    rows = []
    for rate in RATES:
        redis = cores(rate, costs.redis)
        memory = rate * TICK * TICKS_WAITING * costs.waiting / GIB
        rows.append([f"{rate:,}", rounded(cores(rate, costs.api)), rounded(redis), max(ceil(redis), ceil(memory / REDIS_GIB)), f"{rounded(memory)} GiB",
                     rounded(cores(rate, costs.worker)), rounded(cores(rate, costs.postgres)), f"{rounded(rate * costs.wal / MB)} MB/s",
                     f"{rounded(rate * DAY * costs.row / GB)} GB"])
    return table(["ratings/s", "API cores", "Redis cores", "Redis nodes", "Redis memory", "worker cores", "Postgres cores", "WAL", "new rows a day"], rows)


def reads(costs):
    rate, rows = 1_000_000, []

    def row(what, service, redis, postgres):
        rows.append([what, rounded(cores(rate, service)), ceil(cores(rate, service) / CORES), rounded(cores(rate, redis)), rounded(cores(rate, postgres)),
                     f"{rounded(rate * costs.answer * 8 / 1e9)} Gbit/s"])
    row("posts, no proxy", costs.read["service"], costs.read["redis"], costs.read["postgres"])
    row("posts with the reader's own rating", costs.own["service"], costs.own["redis"], costs.own["postgres"])
    row("posts, from the caches of nginx", costs.nginx, 0, 0)
    return table(["1,000,000 reads/s", "cores", f"nodes of {CORES} cores", "Redis cores", "Postgres cores", "network"], rows)


def first_to_break(costs):
    drain = costs.drained * DRAIN / TICK
    memory = REDIS_GIB * GIB / (TICK * TICKS_WAITING * costs.waiting)
    limits = [
        (drain, "one worker and Postgres on two cores, load included",
         f"a drain merged {rounded(costs.drained)} ratings/s and has {DRAIN} of {TICK} s",
         "Postgres on cores of its own; then `drain.parallel_max`"),
        (per_second(1, costs.redis), "one Redis: its core", f"{SHARE} ÷ {number(costs.redis)} µs", "more Redis nodes, at most one a shard"),
        (memory, f"one Redis: {REDIS_GIB} GiB", f"÷ ({TICK * TICKS_WAITING} s × {number(costs.waiting)} bytes)", "shorter ticks, or more Redis nodes"),
        (per_second(CORES, costs.api), f"one `damper-api` node of {CORES} cores", f"{SHARE} × {CORES} ÷ {number(costs.api)} µs", "more of them"),
        (per_second(CORES, costs.postgres), f"Postgres of {CORES} cores", f"{SHARE} × {CORES} ÷ {number(costs.postgres)} µs", "more cores; it is one server"),
        (DISK_MB * MB / costs.wal, f"Postgres' disk, {DISK_MB} MB/s", f"÷ {number(costs.wal)} bytes of WAL", "a faster disk, or longer ticks"),
        (1e12 / 365 / DAY / costs.row, "1 TB for a year of new rows", f"÷ (365 days × {number(costs.row)} bytes)", "a larger disk; a rating that changes adds no row"),
        (LINE_GBIT * 1e9 / 8 / costs.answer, f"a line of {LINE_GBIT} Gbit/s, reads", f"÷ {number(costs.answer)} bytes an answer", "several API nodes"),
    ]
    return table(["a second", "what ends there", "how", "then"], [[rounded(limit), *words] for limit, *words in sorted(limits)])


def sections(facts):
    """The page's figures, from what `capacity.measure` gave."""
    costs = Costs(facts)
    return [
        "### Measured: processor time", processor(facts),
        "### Measured: space", space(facts),
        "### Measured: behind a caching proxy", proxy(facts),
        "### Derived: what a node carries", nodes(costs),
        "### Derived: what a load takes", ratings(costs), reads(costs),
        "### Derived: what ends first", first_to_break(costs),
    ]
