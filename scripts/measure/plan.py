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
    row("a post read, one that the process remembers", servers["post"], embedded["post"])
    row(f"a post read, one of {cold['posts']:,} in turn, more than it remembers", cold, {})
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
        ["Postgres, a rated post, its average and its place", number(servers["rows"]["post"])],
        ["Postgres' WAL, a rating merged", f"{number(drain['wal'])}, by a drain of {drain['entries']:,} into {servers['stored']:,}; {drain['syncs']} syncs in all"],
        ["SQLite, a rating that waits", number(embedded["waiting"]["log"])],
        ["SQLite, a rating", number(embedded["rows"]["rating"])],
        ["SQLite, an hour of a post's history", number(embedded["rows"]["hour"])],
        ["SQLite, a rated post, its average and its place", number(embedded["rows"]["post"])],
        ["SQLite, sent to the disk, a rating accepted", number(embedded["rate"]["disk"])],
        ["answer: a post; a list of 20", f"{number(servers['post']['answer'])}; {number(servers['list']['answer'])}, headers included"],
    ]
    memory = [["`damper-api` under this load", number(servers["service MiB"])], ["a worker's drain, at most", number(drain["peak MiB"])],
              ["embedded under this load", number(embedded["service MiB"])], ["embedded, a flush, at most", number(embedded["drain"]["peak MiB"])]]
    return table(["what", "bytes"], rows) + "\n\n" + table(["process", "MiB"], memory)


def proxy(facts):
    rows = [[f"{it['posts']:,}", number(it["a second"]), f"{100 * it['hits']:.1f} %", number(it["left a second"]), number(it["worst second"]),
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
        self.drained, self.embedded_drained = merged["a second"], embedded["drain"]["a second"]
        self.rated = accepted["answer"]
        self.read, self.cold, self.own = servers["post"], facts["proxied"]["cold"], servers["own"]
        self.embedded_read = embedded["post"]["service"]
        self.nginx = facts["proxied"]["rounds"][0]["nginx"]


def nodes(costs):
    def ratings(cores, micros):
        return f"{rounded(per_second(cores, micros))} ratings/s"

    def reads(cores, micros):
        return f"{rounded(per_second(cores, micros))} reads/s"

    def how(cores, micros):
        return f"{SHARE} × {cores} core{'s' if cores > 1 else ''} ÷ {number(micros)} µs"
    rows = []
    for count in (2, CORES):
        every, merging = (count, costs.embedded), (1, costs.embedded_merge)
        narrow = min(every, merging, key=lambda it: per_second(*it))
        why = "accepted and merged" if narrow is every else "merged, by one writer"
        rows.append(["embedded", count, f"{ratings(*narrow)}, or {reads(count, costs.embedded_read)}",
                     f"{how(*narrow)} {why}; {how(count, costs.embedded_read)}"])
    for count in (2, CORES):
        every, redis = (count, costs.all), (1, costs.redis)
        narrow = min(every, redis, key=lambda it: per_second(*it))
        why = "of all four" if narrow is every else "of Redis, whose commands have one core"
        rows.append(["all of servers on one", count, ratings(*narrow), f"{how(*narrow)} {why}"])
    for count in (2, CORES):
        rows.append(["`damper-api`", count, f"{ratings(count, costs.api)}, or {reads(count, costs.read['service'])}",
                     f"{how(count, costs.api)}; {how(count, costs.read['service'])}"])
    rows.append(["Redis", 1, ratings(1, costs.redis), f"{how(1, costs.redis)}; commands have one core"])
    for count in (2, CORES):
        rows.append(["Postgres", count, ratings(count, costs.postgres), how(count, costs.postgres)])
    rows.append(["nginx with a cache", 2, reads(2, costs.nginx), how(2, costs.nginx)])
    return table(["node", "cores", "carries", "how"], rows)


def ratings(costs):
    rows = []
    for rate in RATES:
        api, redis = cores(rate, costs.api), cores(rate, costs.redis)
        memory = rate * TICK * TICKS_WAITING * costs.waiting / GIB
        rows.append([f"{rate:,}", f"{rounded(api)}; {ceil(api / CORES)}", f"{rounded(redis)}; {max(ceil(redis), ceil(memory / REDIS_GIB))}",
                     f"{rounded(memory)} GiB", rounded(cores(rate, costs.worker)), rounded(cores(rate, costs.postgres)),
                     f"{rounded(rate * costs.wal / MB)} MB/s", f"{rounded(rate * DAY * costs.row / GB)} GB", gigabits(rate, costs.rated)])
    head = ["ratings/s", f"API cores; nodes of {CORES}", "Redis cores; nodes", "Redis memory", "worker cores", "Postgres cores", "WAL",
            "rows a day", "answers"]
    return table(head, rows)


def reads(costs):
    rate, rows = 1_000_000, []
    parts = [("posts, read by many", costs.read), ("posts, many in turn", costs.cold), ("posts with the reader's own rating", costs.own),
             ("posts, from the caches of nginx", {"service": costs.nginx, "redis": 0, "postgres": 0, "answer": costs.read["answer"]})]
    for what, cost in parts:
        service, redis, postgres = (cores(rate, cost[name]) for name in ("service", "redis", "postgres"))
        rows.append([what, rounded(service), ceil(service / CORES), rounded(redis), rounded(postgres), gigabits(rate, cost["answer"])])
    return table([f"{rate:,} reads/s", "cores", f"nodes of {CORES}", "Redis cores", "Postgres cores", "answers"], rows)


def gigabits(rate, size):
    return f"{rounded(rate * size * 8 / 1e9)} Gbit/s"


def first_to_end(costs):
    seconds = TICK * TICKS_WAITING

    def in_time(drained):
        return drained * DRAIN / TICK, "ratings"

    def why(drained):
        return f"a drain merged {rounded(drained)} a second; it has {DRAIN} of {TICK} s"
    limits = [
        (*in_time(costs.embedded_drained), "embedded, on this machine's disk", why(costs.embedded_drained), "a faster disk, then servers"),
        (*in_time(costs.drained), "one worker beside Postgres on this machine", why(costs.drained), "cores for Postgres; then `drain.parallel_max`"),
        (per_second(1, costs.redis), "ratings", "one Redis: its core", f"{SHARE} ÷ {number(costs.redis)} µs", "more Redis nodes, at most one a shard"),
        (REDIS_GIB * GIB / (seconds * costs.waiting), "ratings", f"one Redis: {REDIS_GIB} GiB",
         f"{REDIS_GIB} GiB ÷ ({seconds} s × {number(costs.waiting)} bytes)", "shorter ticks, or more Redis nodes"),
        (per_second(CORES, costs.api), "ratings", f"one `damper-api` of {CORES} cores", f"{SHARE} × {CORES} ÷ {number(costs.api)} µs", "more of them"),
        (per_second(CORES, costs.postgres), "ratings", f"Postgres of {CORES} cores", f"{SHARE} × {CORES} ÷ {number(costs.postgres)} µs",
         "more cores, then several installations"),
        (DISK_MB * MB / costs.wal, "ratings", f"Postgres' disk: {DISK_MB} MB/s", f"{DISK_MB} MB ÷ {number(costs.wal)} bytes of WAL",
         "a faster disk, then several installations"),
        (1e12 / 365 / DAY / costs.row, "new rows", "1 TB, within a year", f"1 TB ÷ (365 days × {number(costs.row)} bytes)",
         "a larger disk; a changed rating adds no row"),
        (per_second(CORES, costs.read["service"]), "reads", f"one `damper-api` of {CORES} cores", f"{SHARE} × {CORES} ÷ {number(costs.read['service'])} µs",
         "a caching proxy, or more of them"),
        (LINE_GBIT * 1e9 / 8 / costs.read["answer"], "reads", f"a line of {LINE_GBIT} Gbit/s",
         f"{LINE_GBIT} Gbit/s ÷ {number(costs.read['answer'])} bytes an answer", "several nodes"),
    ]
    return table(["a second", "what ends there", "how", "then"], [[f"{rounded(limit)} {what}", *words] for limit, what, *words in sorted(limits)])


def sections(facts):
    """The page's figures, from what `capacity.measure` gave."""
    costs = Costs(facts)
    assumed = (f"Planned with {SHARE:.0%} of each core; a tick every {TICK} s, whose drain has {DRAIN} s; room in Redis for the ratings of "
               f"{TICKS_WAITING} ticks; ratings with tokens, and with limits by user and address; each a new row.").replace("%", " %")
    return [
        "### Measured: processor time", processor(facts),
        "### Measured: space", space(facts),
        "### Measured: behind a caching proxy", proxy(facts),
        "### Derived: what a node carries", assumed, nodes(costs),
        "### Derived: what a load takes", ratings(costs), reads(costs),
        "### Derived: what ends first", first_to_end(costs),
    ]
