"""What a rating and a read cost: bytes in each store, processor time of each process. docs/CAPACITY.md is made of it.

Processor time and bytes depend little on what else a machine does; so these figures need no rounds and no yardstick.
"""

import json
import re
import sqlite3
from pathlib import Path

from cases import ROOMY, peak_mib
from cpu import Meter, used_of_ended
from figures import Wrong
from load import TOKENS, Load, ratings, tokens
from proxy import TICK_SECONDS, behind_proxy
from world import SECRET, run

POSTS, USERS = 2_000, 1_000_000  # of the requests: enough users that no pair of post and user comes twice in a round
LATER_TURN = 1_000_000  # of users who have rated nothing yet
# Its rows, index included, divided by what each is kept for.
KEPT = {"ratings": "rating", "history": "hour", "posts": "post", "averages": "post", "ranking": "post"}


def requests(world, meter, load):
    """What one request costs, and the bytes of its answer."""
    load.round(world.address)  # for nothing
    costs = meter.during(lambda: load.round(world.address), lambda: load.requests)
    return costs | {"answer": load.read / load.requests}


def redis_cli(world, *words):
    return run("redis-cli", "-p", world.redis.rsplit(":", 1)[1], *words).strip()


def redis_now(world):
    """Memory of the whole server, bytes of its log on disk, and bytes that came and went over the network."""
    info = dict(line.split(":", 1) for line in redis_cli(world, "info").splitlines() if ":" in line)
    return {"memory": int(info["used_memory"]), "disk": int(info["aof_current_size"]),
            "network": int(info["total_net_input_bytes"]) + int(info["total_net_output_bytes"])}


def redis_keys(world, pattern):
    """The memory of the keys that match."""
    keys = redis_cli(world, "--scan", "--pattern", pattern).split()
    return sum(int(redis_cli(world, "memory", "usage", key, "samples", "0")) for key in keys)


def disk_of(world):
    """Bytes that the service has sent to the disk."""
    return int(re.search(r"^write_bytes: (\d+)", Path(f"/proc/{world.process.pid}/io").read_text(), re.M)[1])


def rows_of_postgres(bench, world):
    """Bytes and rows of each table, indexes included."""
    bench.sql(world.database, "vacuum analyze")
    sizes = {}
    for table in KEPT:
        size, rows = bench.sql(world.database, f"select pg_total_relation_size('{table}')", f"select count(*) from {table}").split()
        sizes[table] = int(size), int(rows)
    return sizes


def rows_of_sqlite(world, tables=KEPT):
    size = "select sum(pgsize) from dbstat where name in (select name from sqlite_schema where tbl_name = ?)"
    with sqlite3.connect(world.data) as file:
        def one(question, *values):
            return file.execute(question, values).fetchone()[0]
        return {table: (one(size, table), one(f"select count(*) from {table}")) for table in tables}


def a_row(sizes):
    """Bytes per rating, post and hour of history."""
    bytes_of = dict.fromkeys(KEPT.values(), 0)
    for table, (size, rows) in sizes.items():
        bytes_of[KEPT[table]] += size / rows
    return bytes_of


def drained(bench, world, meter, begin=lambda: None):
    """What a rating costs a drain of a tick's worth, by a process of its own; `begin` is called right before it."""
    world.drain()
    count = bench.scale.tick
    world.fill(ratings(bench, count, POSTS, days=1 / 24, first_turn=LATER_TURN))
    begin()
    before, peak = used_of_ended(), []
    cost = meter.during(lambda: peak.append(peak_mib(world)), lambda: count)
    cost["service"] = (used_of_ended() - before) / count
    run = json.loads(world.command("status", "--json"))["last_drain"]
    if run["applied"] != count:
        raise Wrong(f"{run['applied']} of {count} entries were merged")
    return cost | {"peak MiB": peak[0], "entries": count, "a second": count * 1_000 / run["duration_ms"]}


def wal(bench, world):
    """Bytes of Postgres' log so far, and how often it was synced."""
    lsn, syncs = bench.sql(world.database, "select pg_current_wal_lsn() - '0/0'", "select wal_sync from pg_stat_wal").split()
    return int(lsn), int(syncs)


def prefilled(bench, setup):
    """A world with ratings of 120 days, each in an hour of its own."""
    world = bench.world(bench.builds[0], setup)
    world.fill(ratings(bench, bench.scale.waiting, POSTS))
    world.drain()
    return world


def reads(bench, world, meter):
    paths = {"post": "/api/posts/POST", "list": "/api/posts?limit=20", "own": "/api/posts/POST?user_id=USER"}
    return {name: requests(world, meter, Load(bench, "GET", path, posts=POSTS, users=USERS)) for name, path in paths.items()}


def rate(bench, **options):
    return Load(bench, "POST", "/api/posts/POST/rate", posts=POSTS, **{"users": USERS} | options)


def waiting(world):
    return json.loads(world.command("status", "--json"))["waiting"]


def servers(bench):
    world = prefilled(bench, "servers")
    sizes = rows_of_postgres(bench, world)
    facts = {"rows": a_row(sizes), "stored": sizes["ratings"][1]}
    meter = Meter(world)
    # With tokens and limits, as a public site has them; and without, for the log and the drain.
    world.serve("damper-api", limits=(ROOMY, ROOMY), secret=SECRET)
    facts["rate, token and limits"] = requests(world, meter, rate(bench, users=TOKENS, tokens=tokens(bench)))
    world.stop()
    world.drain()
    # A file that is rewritten meanwhile cannot be compared with what it was.
    redis_cli(world, "config", "set", "auto-aof-rewrite-percentage", "0")
    world.serve("damper-api")
    facts |= reads(bench, world, meter)
    before = redis_now(world)
    load = rate(bench)
    facts["rate"] = meter.during(lambda: load.round(world.address), lambda: load.requests)
    facts["service MiB"] = world.memory_mib("VmRSS")
    count = waiting(world)
    grown = {name: (now - before[name]) / count for name, now in redis_now(world).items()}
    logs, notes = redis_keys(world, "*:ratings"), redis_keys(world, "*notes")
    facts["waiting"] = {"log": logs / count, "notes": notes / count, **grown}
    marks = []

    def begin():
        # Ticks are as far apart as Postgres' checkpoints, so a drain writes each page whole once.
        bench.sql(world.database, "checkpoint")
        marks.append(wal(bench, world))
    facts["drain"] = drained(bench, world, meter, begin)
    grown, syncs = (now - then for now, then in zip(wal(bench, world), marks[0]))
    facts["drain"] |= {"wal": grown / bench.scale.tick, "syncs": syncs}
    facts["after"] = {"log": redis_keys(world, "*:ratings"), "notes": redis_keys(world, "*notes"),
                      "a cached post": redis_keys(world, "damper:cache:*") / POSTS}
    return facts


def embedded(bench):
    world = prefilled(bench, "embedded")
    facts = {"rows": a_row(rows_of_sqlite(world))}
    meter = Meter(world)
    world.environment["DAMPER_TICK"] = "0 0 0 1 1 *"  # so that no tick drains what is to be counted
    world.serve()
    facts |= reads(bench, world, meter)
    load, written = rate(bench), disk_of(world)
    facts["rate"] = meter.during(lambda: load.round(world.address), lambda: load.requests)
    count = waiting(world)
    facts["service MiB"] = world.memory_mib("VmRSS")
    facts["rate"]["disk"] = (disk_of(world) - written) / count
    facts["waiting"] = {"log": rows_of_sqlite(world, ["buffer"])["buffer"][0] / count}
    facts["drain"] = drained(bench, world, meter)
    return facts


def proxied(bench):
    """What reads of many posts cost, and what nginx leaves of reads."""
    world, many = bench.world(bench.builds[0]), bench.scale.posts[-1]
    world.fill(ratings(bench, many, many))
    world.drain()
    world.serve("damper-api")
    cold = requests(world, Meter(world), Load(bench, "GET", "/api/posts/POST", posts=many)) | {"posts": many}
    world.stop()
    world.environment["DAMPER_TICK"] = f"*/{TICK_SECONDS} * * * * *"
    world.serve("damper-api")
    return {"cold": cold, "rounds": [behind_proxy(bench, world, posts) for posts in (POSTS, 5 * POSTS)]}


def measure(bench):
    facts = {}
    for part in (servers, embedded, proxied):
        print(f"measuring: {part.__name__}", flush=True)
        try:
            facts[part.__name__] = part(bench)
        finally:
            bench.end_case()
    return facts
