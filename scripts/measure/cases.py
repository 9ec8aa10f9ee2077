"""The cases. Each starts what it needs, checks the answers, and gives a table."""

import json
import sqlite3
import time
from pathlib import Path

import growth
import pages
from figures import Row, Table, Wrong, beside, in_turns
from load import ADDRESSES, TOKENS, Load, counted, ratings, stream, tokens, xlen
from world import ROOT, SECRET, fetch

ROOMY = 1_000_000  # a limit that no run reaches


def served(bench, **options):
    """A service on servers for each build, with 2,000 posts that are rated."""
    file, worlds = ratings(bench, 100_000), []
    for build in bench.builds:
        world = bench.world(build)
        world.fill(file)
        world.drain()
        world.serve("damper-api", **options)
        worlds.append(world)
    return worlds


def rated(bench, title, goal, load, **options):
    worlds = served(bench, **options)
    redis = bench.redis()
    bare = bench.yardstick("xadd", redis)
    keys = [f"damper:{{{shard}}}:ratings" for shard in range(16)]

    def side(world):
        return world.build.name, lambda: counted(load, world.address, lambda: xlen(world.redis, keys))
    yardstick = "handler that awaits one XADD", lambda: counted(load, bare, lambda: xlen(redis, ["yardstick"]))
    return beside(title, "/s", bench.scale.rounds, yardstick, [side(world) for world in worlds], goal)


def rate(bench):
    """POST …/rate without limits, beside a bare XADD"""
    return rated(bench, "`POST …/rate`, no limits", 1.0, Load(bench, "POST", "/api/posts/POST/rate"))


def rate_limits(bench):
    """POST …/rate with limits by user and address"""
    load = Load(bench, "POST", "/api/posts/POST/rate", addresses=ADDRESSES)
    return rated(bench, "`POST …/rate`, limits by user and address", 0.9, load, limits=(ROOMY, ROOMY))


def rate_jwt(bench):
    """POST …/rate with 5,000 tokens in turn, and limits"""
    load = Load(bench, "POST", "/api/posts/POST/rate", users=TOKENS, tokens=tokens(bench), addresses=ADDRESSES)
    title = "`POST …/rate`, 5,000 tokens in turn, limits"
    return rated(bench, title, 0.8, load, limits=(ROOMY, ROOMY), secret=SECRET)


def peers(bench):
    """ratings straight into Postgres: one statement, and one transaction, beside Damper"""
    load, sides = Load(bench, "POST", "/api/posts/POST/rate"), []
    for mode in ["upsert", "transaction"]:
        address = bench.yardstick("statement", bench.database(), mode)
        sides.append((f"handler that awaits one {mode}", lambda address=address: load.round(address)))
    sides += [(world.build.name, lambda world=world: load.round(world.address)) for world in served(bench)]
    return beside("a rating in Postgres, or in Damper's log", "/s", bench.scale.rounds, sides[0], sides[1:])


def read(bench, title, goal, path, example):
    worlds = served(bench)
    body = worlds[0].get(example)
    json.loads(body)
    file = bench.folder / f"{bench.name('body')}.json"
    file.write_bytes(body)
    address = bench.yardstick("constant", f"@{file}")
    if fetch(f"http://{address}{example}") != body:
        raise Wrong("the yardstick answers something else")
    load = Load(bench, "GET", path)

    def side(name, address):
        return name, lambda: load.round(address, len(body))
    others = [side(world.build.name, world.address) for world in worlds]
    yardstick = side(f"handler with a constant of {len(body):,} bytes", address)
    return beside(title, "/s", bench.scale.rounds, yardstick, others, goal)


def read_post(bench):
    """GET /api/posts/{id}, warm, beside a constant JSON of its size"""
    return read(bench, "`GET /api/posts/{id}`, warm", 0.85, "/api/posts/POST", "/api/posts/p1")


def read_own(bench):
    """the same with the reader's own rating, another user each time"""
    title = "`GET /api/posts/{id}` with the reader's own rating, another user each time"
    return read(bench, title, 0.35, "/api/posts/POST?user_id=USER", "/api/posts/p1?user_id=u1")


def read_list(bench):
    """GET /api/posts?limit=20, warm, beside a constant JSON of its size"""
    path = "/api/posts?limit=20"
    return read(bench, f"`GET {path}`, warm", 0.6, path, path)


def drain(bench):
    """the drain of a large backlog in Postgres, beside COPY + upsert of its sorted rows"""
    count = bench.scale.waiting
    file = stream(bench, ROOT, 1_682, count)
    rows = bench.folder / "rows.bin"
    database = []

    def side(build):
        def once():
            world = bench.world(build)
            world.fill(file)
            applied, seconds = world.drain()
            if applied != count:
                raise Wrong(f"{applied} of {count} entries were merged")
            database[:] = [world.database]
            return applied / seconds
        return build.name, once

    def plain():
        merged = database[0]
        bench.sql(merged, f"\\copy (select * from ratings order by post_id, user_id) to '{rows}' (format binary)",
                  "truncate ratings", "vacuum ratings")
        # Timed inside one connection, as the drain's own clock has no connecting either.
        out = bench.sql(merged, "select extract(epoch from clock_timestamp())", "begin",
                        "create temporary table plain (like ratings) on commit drop",
                        f"\\copy plain from '{rows}' (format binary)",
                        "insert into ratings select * from plain order by post_id, user_id "
                        "on conflict (post_id, user_id) do update set score = excluded.score", "commit",
                        "select extract(epoch from clock_timestamp())", "select count(*) from ratings")
        began, ended, loaded = out.split()
        return int(loaded) / (float(ended) - float(began))
    # The yardstick loads what the drain before it left.
    figures = in_turns(bench.scale.rounds, [side(build) for build in bench.builds] + [("plain", plain)])
    base = Row("sorted COPY + upsert of its rows", figures["plain"])
    rows_of = [Row(build.name, figures[build.name], base, 0.8) for build in bench.builds]
    return Table(f"drain, Postgres, {count:,} waiting", "/s", [base, *rows_of])


def drain_embedded(bench):
    """the embedded drain of 100,000 ratings over 1,000 posts, beside one INSERT … SELECT … ON CONFLICT of its rows"""
    count, worlds = 100_000, []
    file = stream(bench, ROOT, 1_000, count)

    def side(build):
        def once():
            world = bench.world(build, "embedded")
            world.fill(file)
            applied, seconds = world.drain()
            worlds[:] = [world]
            if applied != count:
                raise Wrong(f"{applied} of {count} entries were merged")
            return applied / seconds
        return build.name, once

    def plain():
        with sqlite3.connect(worlds[0].data, isolation_level=None) as file:
            file.execute("pragma journal_mode = wal")
            file.execute("pragma synchronous = full")
            # Rows that are copied out, and a table without them that is otherwise the same.
            file.execute("create table plain as select * from ratings")
            (rows,) = file.execute("select count(*) from plain").fetchone()
            file.execute("delete from ratings")
            began = time.monotonic()
            file.execute("insert into ratings select * from plain where true order by post_id, user_id "
                         "on conflict (post_id, user_id) do update set score = excluded.score")
            return rows / (time.monotonic() - began)
    figures = in_turns(bench.scale.rounds, [side(build) for build in bench.builds] + [("plain", plain)])
    base = Row("one INSERT … SELECT … ON CONFLICT of its rows", figures["plain"])
    rows = [Row(build.name, figures[build.name], base, 0.5) for build in bench.builds]
    return Table(f"drain, embedded, {count:,} waiting over 1,000 posts", "/s", [base, *rows])


def memory(bench):
    """the most memory of an API under load, of a drain, and an idle embedded service, beside what is allowed"""
    build, rows = bench.builds[0], []

    def row(name, allowed, figure):
        base = Row(f"allowed: {name}", [allowed])
        rows.extend([base, Row(name, [figure], base, 1.0)])
    world = served(bench, limits=(ROOMY, ROOMY))[0]
    for method, path in [("POST", "/api/posts/POST/rate"), ("GET", "/api/posts/POST?user_id=USER")]:
        Load(bench, method, path).round(world.address)
    row("API under load", 64, world.memory_mib())
    large = bench.world(build)
    large.fill(stream(bench, ROOT, 1_682, bench.scale.waiting))
    row(f"draining {bench.scale.waiting:,}", 128, peak_mib(large))
    small = bench.world(build, "embedded")
    small.serve()
    time.sleep(1)
    row("embedded, idle", 24, small.memory_mib("VmRSS"))
    return Table("memory", "MiB", rows, less_is_better=True)


def peak_mib(world):
    """The most memory of a flush."""
    process = world.bench.start([world.build.programs / "damper", "flush"], world.environment)
    peak, file = 0, Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        for line in file.read_text().splitlines():
            if line.startswith("VmHWM"):
                peak = max(peak, int(line.split()[1]))
        time.sleep(0.02)
    if process.returncode:
        raise Wrong(process.log.read_text()[-600:])
    return peak / 1024


def start(bench):
    """the time from a start to the first answer, on a large file and on servers, beside what is allowed"""
    rows = []
    for setup, allowed, count in [("embedded", 150, bench.scale.file), ("servers", 500, 100_000)]:
        world = bench.world(bench.builds[0], setup)
        world.fill(ratings(bench, count, posts=20_000))
        world.drain()
        size = f"a file of {world.data.stat().st_size >> 20:,} MiB" if setup == "embedded" else f"{count:,} ratings"
        rounds = []
        for _ in range(bench.scale.rounds + 1):
            rounds.append(world.serve() * 1_000)
            world.stop()
        base = Row(f"allowed: {setup}", [allowed])
        rows.extend([base, Row(f"{setup}, {size}", rounds[1:], base, 1.0)])
    return Table("start to the first answer", "ms", rows, less_is_better=True)


CASES = {
    "rate": rate,
    "rate-limits": rate_limits,
    "rate-jwt": rate_jwt,
    "peers": peers,
    "read": read_post,
    "read-own": read_own,
    "read-list": read_list,
    "drain": drain,
    "drain-embedded": drain_embedded,
    **growth.CASES,
    "memory": memory,
    # Both fill a database for a quarter of an hour.
    "dashboard": pages.dashboard,
    "start": start,
}
