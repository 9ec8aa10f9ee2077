"""The cases of growth: what one rating or one read costs when there is more of everything, beside the smallest amount."""

import itertools

from figures import Row, Table, in_turns
from load import DAY_SECONDS, Load, ratings

GOAL = 1.3


def beside_smallest(title, unit, rounds, sides):
    """Costs in turns, compared with the first side."""
    figures = in_turns(rounds, sides)
    base = Row(sides[0][0], figures[sides[0][0]])
    rows = [Row(name, figures[name], base, GOAL) for name, _ in sides[1:]]
    return Table(title, unit, [base, *rows], less_is_better=True)


def merged(world, file):
    world.fill(file)
    applied, seconds = world.drain()
    return seconds * 1e6 / applied


def drain_cost(bench, file, shards=16, setup="servers"):
    cost = merged(bench.world(bench.builds[0], setup, shards), file)
    for process in bench.processes[-1:] if setup == "servers" else []:  # its Redis
        process.terminate()
        process.wait()
    return cost


def drain_by_waiting(bench):
    """µs of a drain per rating, by how many wait"""
    files = [(count, ratings(bench, count)) for count in bench.scale.growth]
    sides = [(f"{count:,} waiting", lambda file=file: drain_cost(bench, file)) for count, file in files]
    return beside_smallest("drain per rating, servers", "µs", bench.scale.rounds, sides)


def drain_by_posts(bench):
    """µs of a drain per rating, by how many posts a tick's ratings are of"""
    count = bench.scale.tick
    files = [(posts, ratings(bench, count, posts)) for posts in bench.scale.rated_posts]
    sides = [(f"{posts:,} posts", lambda file=file: drain_cost(bench, file)) for posts, file in files]
    return beside_smallest(f"drain per rating by posts, {count:,} waiting", "µs", bench.scale.rounds, sides)


def drain_by_stored(bench, setup):
    """Each drain merges an hour's ratings, new ones: into nothing, or into as many of 120 days, and what came before."""
    count, stored = 100_000, bench.scale.waiting
    turns = itertools.count(1)

    def hour():
        return ratings(bench, count, days=1 / 24, first_turn=stored * next(turns))
    world = bench.world(bench.builds[0], setup)
    merged(world, ratings(bench, stored))
    sides = [("nothing stored", lambda: drain_cost(bench, hour(), setup=setup)),
             (f"{stored:,} and more stored", lambda: merged(world, hour()))]
    return beside_smallest(f"drain per rating by what is stored, {setup}, {count:,} waiting", "µs", bench.scale.rounds, sides)


def drain_by_stored_servers(bench):
    """µs of a drain per rating, by what is stored, on servers"""
    return drain_by_stored(bench, "servers")


def drain_by_stored_embedded(bench):
    """µs of a drain per rating, by what is stored, embedded"""
    return drain_by_stored(bench, "embedded")


def drain_by_shards(bench):
    """µs of a drain per rating, by the number of shards"""
    file = ratings(bench, 100_000)
    sides = [(f"{shards} shards", lambda shards=shards: drain_cost(bench, file, shards)) for shards in bench.scale.shards]
    return beside_smallest("drain per rating by shards, 100,000 waiting", "µs", bench.scale.rounds, sides)


def requests(bench, title, method, path, worlds):
    """µs of a request when 64 are under way, for services by name."""
    sides = []
    for name, world, posts in worlds:
        load = Load(bench, method, path, posts=posts)
        sides.append((name, lambda load=load, world=world: 1e6 / load.round(world.address)))
    return beside_smallest(title, "µs", bench.scale.rounds, sides)


def filled(bench, file, shards=16):
    world = bench.world(bench.builds[0], shards=shards)
    world.fill(file)
    world.drain()
    world.serve("damper-api")
    return world


def by_posts(bench):
    return [(f"{posts:,} posts", filled(bench, ratings(bench, posts, posts)), posts) for posts in bench.scale.posts]


def by_ratings(bench):
    counts = [1_000, *bench.scale.growth[1:]]
    return [(f"{count:,} ratings", filled(bench, ratings(bench, count, 1)), 1) for count in counts]


def rate_by_posts(bench):
    """µs of a POST, by the number of posts"""
    return requests(bench, "`POST …/rate` by posts", "POST", "/api/posts/POST/rate", by_posts(bench))


def read_by_posts(bench):
    """µs of a GET, by the number of posts"""
    return requests(bench, "`GET /api/posts/{id}` by posts", "GET", "/api/posts/POST", by_posts(bench))


def rate_by_ratings(bench):
    """µs of a POST to one post, by its ratings"""
    return requests(bench, "`POST …/rate` of one post by its ratings", "POST", "/api/posts/POST/rate", by_ratings(bench))


def read_by_ratings(bench):
    """µs of a GET of one post, by its ratings"""
    return requests(bench, "`GET /api/posts/{id}` of one post by its ratings", "GET", "/api/posts/POST", by_ratings(bench))


def rate_by_shards(bench):
    """µs of a POST, by the number of shards"""
    file = ratings(bench, 20_000)
    worlds = [(f"{shards} shards", filled(bench, file, shards), 2_000) for shards in bench.scale.shards]
    return requests(bench, "`POST …/rate` by shards", "POST", "/api/posts/POST/rate", worlds)


def history(bench):
    """µs of a history of 24 points, of one day and of five years"""
    worlds = []
    for name, days in [("1 day", 1), ("5 years", 5 * 365)]:
        worlds.append((name, filled(bench, ratings(bench, days * 24, 1, days=days)), 1))
    return requests(bench, "`GET …/history?points=24`, a rating an hour", "GET", "/api/posts/POST/history?points=24", worlds)


CASES = {
    "drain-waiting": drain_by_waiting,
    "drain-posts": drain_by_posts,
    "drain-shards": drain_by_shards,
    "drain-stored": drain_by_stored_servers,
    "drain-stored-embedded": drain_by_stored_embedded,
    "rate-posts": rate_by_posts,
    "read-posts": read_by_posts,
    "rate-ratings": rate_by_ratings,
    "read-ratings": read_by_ratings,
    "rate-shards": rate_by_shards,
    "history": history,
}
