"""The dashboard's pages on a large store: their HTML, and how long their first bytes take, beside what is allowed."""

import http.client
import time
import urllib.parse

from figures import Row, Table, Wrong
from load import ratings

ALLOWED_MS, ALLOWED_KB = 50, 60
PATHS = ["/", "/posts", "/posts?sort=top", "/posts/p0", "/posts/p0?range=all", "/posts/p7", "/held", "/audit", "/system"]


def dashboard(bench):
    """the first bytes and the size of the dashboard's pages, on many posts with ten ratings each"""
    world = bench.world(bench.builds[0])
    posts = bench.scale.page_posts
    world.fill(ratings(bench, posts * 10, posts))
    world.drain()
    world.serve()
    cookie, rows = sign_in(world), []
    for path in PATHS:
        looks = [look(world, path, cookie) for _ in range(bench.scale.rounds + 1)][1:]
        for unit, allowed, figures in [("ms", ALLOWED_MS, [ms for ms, _ in looks]), ("KB", ALLOWED_KB, [kb for _, kb in looks])]:
            rows.append(Row(f"`{path}`, {unit} of {allowed} allowed", figures, Row("allowed", [allowed]), 1.0))
    return Table(f"dashboard, {posts:,} posts with {posts * 10:,} ratings", "", rows, less_is_better=True)


def sign_in(world):
    """The cookie of a session that the admin token opens."""
    form = urllib.parse.urlencode({"token": world.command("admin-token").strip()})
    head = {"origin": f"http://{world.admin_address}", "content-type": "application/x-www-form-urlencoded"}
    answer = asked(world, "POST", "/sign-in", form, head)
    cookie = answer.getheader("set-cookie")
    if not cookie:
        raise Wrong(f"no session: {answer.status}")
    return cookie.split(";")[0]


def look(world, path, cookie):
    """Milliseconds to the first bytes, and kilobytes of HTML."""
    began = time.monotonic()
    answer = asked(world, "GET", path, None, {"cookie": cookie})
    ms = (time.monotonic() - began) * 1_000
    body = answer.read()
    if answer.status != 200 or b"sign out" not in body:
        raise Wrong(f"{path}: {answer.status} {body[:300]}")
    return ms, len(body) / 1_000


def asked(world, method, path, body, head):
    connection = http.client.HTTPConnection(world.admin_address, timeout=20)
    connection.request(method, path, body, head)
    return connection.getresponse()
