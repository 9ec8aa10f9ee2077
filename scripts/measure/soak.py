"""Runs servers with everything switched on for hours, and prints how memory, descriptors, tables and keys went.

One API, one worker that drains every minute; clients that rate, withdraw, read, follow, send lines, moderate and look at
the dashboard; review bombs. What is published and stored is verified in the end.
"""

import argparse
import http.client
import http.server
import json
import random
import signal
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from figures import Scale, Wrong, number
from load import TOKENS, tokens
from world import SECRET, Bench, Build, free_port

POSTS, USERS_OF_POST = 2_000, 100  # so ratings come to an end of new rows, and tables to their size
RATERS, READERS, FOLLOWERS = 4, 3, 20
READ_SECONDS, LINES_SECONDS, DECISION_SECONDS, LOOK_SECONDS, BOMB_SECONDS = 0.02, 10, 5, 20, 300
BOMB_RATINGS = 3_000
SAMPLE_SECONDS = 15
PAUSE_SECONDS = 2  # of a client whose request failed
TIMEOUT_SECONDS = 30
SETTINGS = {
    "DAMPER_TICK": "0 * * * * *", "DAMPER_CATALOGUE__MODE": "open", "DAMPER_MODERATION__HOLD": "surge",
    "DAMPER_MODERATION__WEBHOOK_SECRET": SECRET, "DAMPER_AUTH__JWT_SECRET": SECRET,
    "DAMPER_API__FOLLOWERS_PER_ADDRESS_MAX": "1000",
}
TABLES = """select relname || ' ' || pg_total_relation_size(relid) from pg_stat_user_tables
    where schemaname = 'public' order by 1"""


class Hook(http.server.BaseHTTPRequestHandler):
    """Takes alerts."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()
        self.server.note("alerts received")

    def log_message(self, *_):
        pass


class Soak:
    def __init__(self, bench, rate):
        self.bench, self.rate = bench, rate
        self.ended, self.counts, self.lock = threading.Event(), {}, threading.Lock()
        self.undo = []

    def note(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def start(self):
        bench = self.bench
        world = self.world = bench.world(bench.builds[0])
        hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        hook.note = self.note
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        world.environment |= SETTINGS | {"DAMPER_MODERATION__WEBHOOK_URL": f"http://127.0.0.1:{hook.server_port}/"}
        world.serve("damper-api", limits=(600, 1_000_000), secret=SECRET)
        worker = [bench.builds[0].programs / "damper-worker", "--admin-listen", f"127.0.0.1:{free_port()}"]
        self.watched = {"API": world.process, "worker": bench.start(worker, world.environment)}

        def token(role):
            return world.command("token", "--user", role, "--role", role, "--hours", "24").strip()
        self.admin, self.site = token("admin"), token("ingest")
        self.tokens = tokens(bench).read_text().split()

    def run(self, seconds):
        """Everything at once; returns the samples."""
        loops = [(RATERS / self.rate, self.rate_one)] * RATERS + [(READ_SECONDS, self.read_one)] * READERS
        loops += [(0, self.follow)] * FOLLOWERS + [(LINES_SECONDS, self.send_lines), (BOMB_SECONDS, self.send_bomb)]
        loops += [(DECISION_SECONDS, self.decide), (LOOK_SECONDS, self.look)]
        threads = [threading.Thread(target=self.repeat, args=loop, daemon=True) for loop in loops]
        for thread in threads:
            thread.start()
        samples, began = [], time.monotonic()
        while time.monotonic() - began < seconds:
            samples.append(self.sample())
            for name, process in self.watched.items():
                if process.poll() is not None:
                    raise Wrong(f"the {name} ended: {process.log.read_text()[-600:]}")
            show(f"{(time.monotonic() - began) / 60:.0f} of {seconds / 60:.0f} min, {self.counts.get('ratings', 0):,} ratings")
            self.ended.wait(SAMPLE_SECONDS)
        self.ended.set()
        for thread in threads:
            thread.join(TIMEOUT_SECONDS)
        return samples

    def repeat(self, seconds, work):
        """Does `work` every so many seconds, each time with a connection of its thread."""
        due, client = time.monotonic(), Client(self.world)
        while not self.ended.is_set():
            due = max(due + seconds, time.monotonic() - 1)
            try:
                work(client)
            except (OSError, http.client.HTTPException) as error:
                self.note(f"{work.__name__}: {type(error).__name__}")
                client = Client(self.world)
                self.ended.wait(PAUSE_SECONDS)
            self.ended.wait(max(0, due - time.monotonic()))

    def expect(self, status, what, *expected):
        self.note(what if status in expected else f"{what}: {status}")

    def rate_one(self, client):
        post = random.randrange(POSTS)
        token = self.tokens[(post * 37 + random.randrange(USERS_OF_POST)) % TOKENS]
        if random.random() < 0.05:
            status, _ = client.ask("DELETE", f"/api/posts/p{post}/rate", token)
        else:
            status, _ = client.ask("POST", f"/api/posts/p{post}/rate", token, {"score": random.choice([2, 3, 4, 4, 5])})
        self.expect(status, "ratings", 202, 404)

    def read_one(self, client):
        post = random.randrange(POSTS)
        path = random.choice(["/api/posts/p{}", "/api/posts/p{}/history?points=24", "/posts/p{}", "/api/posts?sort=top",
                              "/api/posts?limit=50", "/api/users"]).format(post)
        status, _ = client.ask("GET", path, random.choice([None, *self.tokens[:20]]))
        self.expect(status, "reads", 200, 404)

    def follow(self, client):
        with client.open("GET", "/api/events") as answer:
            until = time.monotonic() + random.uniform(20, 90)
            while time.monotonic() < until and not self.ended.is_set() and answer.readline():
                pass
        client.close()
        self.note("streams followed")

    def send(self, client, lines):
        with client.open("POST", "/api/ratings", self.site, "\n".join(map(json.dumps, lines))) as answer:
            answer.read()
            self.expect(answer.status, "bodies of lines", 200)
        # The service ends connections that are idle for long.
        client.close()

    def send_lines(self, client):
        self.send(client, [{"post_id": f"p{random.randrange(POSTS)}", "user_id": f"u{n}", "score": n % 6} for n in range(100)])

    def send_bomb(self, client):
        post = f"p{random.randrange(50)}"
        self.send(client, [{"post_id": post, "user_id": f"bot{n}", "score": 0} for n in range(BOMB_RATINGS)])
        self.note("review bombs")

    def decide(self, client):
        post, now = f"/api/admin/posts/p{random.randrange(50)}", datetime.now(timezone.utc)
        kind = random.choice(["exclude", "undo", "approve", "reject", "policy"])
        if kind == "exclude":
            begin = now - timedelta(minutes=random.randrange(2, 30))
            window = {"from": begin.isoformat(), "to": (begin + timedelta(minutes=1)).isoformat(), "scores": [0], "reason": "soak"}
            status, made = client.ask("POST", f"{post}/exclusions", self.admin, window, on_admin=True)
            if status == 200:
                self.undo.append(f"{post}/exclusions/{made['id']}")
        elif kind == "undo":
            if not self.undo:
                return
            status, _ = client.ask("DELETE", self.undo.pop(), self.admin, on_admin=True)
        elif kind == "policy":
            policy = {"hold": random.choice(["surge", "always", "off", None]), "reason": "soak"}
            status, _ = client.ask("PUT", f"{post}/policy", self.admin, policy, on_admin=True)
        else:
            status, _ = client.ask("POST", f"{post}/held/{kind}", self.admin, {"reason": "soak"}, on_admin=True)
        self.expect(status, "decisions", 200, 202, 404)

    def look(self, client):
        """Signs in to the dashboard, opens its pages and leaves."""
        form = {"content-type": "application/x-www-form-urlencoded", "origin": f"http://{self.world.admin_address}"}
        with client.open("POST", "/sign-in", None, urlencode({"token": self.admin, "next": "/"}), form, on_admin=True) as answer:
            answer.read()
            cookie = {"cookie": answer.headers.get("set-cookie", "").split(";")[0]}
        for path in ["/", "/posts", f"/posts/p{random.randrange(50)}", "/held", "/audit", "/system", "/metrics"]:
            with client.open("GET", path, None, None, cookie, on_admin=True) as answer:
                answer.read()
                self.expect(answer.status, "pages", 200, 404)
        client.close()

    def sample(self):
        found = {}
        for name, process in self.watched.items():
            folder = Path(f"/proc/{process.pid}")
            facts = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            found[f"{name}: memory, MiB"] = int(facts["VmRSS"].split()[0]) / 1024
            found[f"{name}: descriptors"] = len(list((folder / "fd").iterdir()))
            found[f"{name}: threads"] = int(facts["Threads"])
        database = self.world.database
        found["Postgres: connections"] = int(self.bench.sql(
            database, "select count(*) from pg_stat_activity where application_name like 'damper%'"))
        for line in self.bench.sql(database, TABLES).splitlines():
            table, size = line.split()
            found[f"table {table}, MiB"] = int(size) / (1 << 20)
        facts = dict(line.split(":", 1) for line in self.bench.redis_info(self.world.redis) if ":" in line)
        found["Redis: connections"] = int(facts["connected_clients"])
        found["Redis: memory, MiB"] = int(facts["used_memory"]) / (1 << 20)
        found["Redis: keys"] = int(facts.get("db0", "keys=0,").split("=")[1].split(",")[0])
        return found


class Client:
    """The connections of one thread to a world's two listeners."""

    def __init__(self, world):
        self.world, self.kept = world, {}

    def open(self, method, path, token=None, body=None, headers=None, on_admin=False):
        address = self.world.admin_address if on_admin else self.world.address
        if address not in self.kept:
            self.kept[address] = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
        connection = self.kept[address]
        named = {"authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, body, named | (headers or {}))
        return connection.getresponse()

    def ask(self, method, path, token=None, body=None, on_admin=False):
        """The status, and what an answer of JSON says."""
        sent = None if body is None else json.dumps(body)
        with self.open(method, path, token, sent, {"content-type": "application/json"} if sent else None, on_admin) as answer:
            read = answer.read()
            is_json = answer.headers.get("content-type", "").startswith("application/json")
            return answer.status, json.loads(read) if is_json else None

    def close(self):
        for connection in self.kept.values():
            connection.close()
        self.kept.clear()


def show(text):
    if sys.stderr.isatty():
        print(f"\r{text:<70}", end="", file=sys.stderr, flush=True)


def table(samples):
    """Each figure at a quarter, a half, three quarters and the end: the median of a tenth of the run there."""
    part = max(1, len(samples) // 10)
    ends = [max(part, round(len(samples) * share)) for share in (0.25, 0.5, 0.75, 1)]
    lines = ["| what | ¼ | ½ | ¾ | end | second half |", "|---|---|---|---|---|---|"]
    for name in samples[-1]:
        values = [median(sample.get(name, 0) for sample in samples[end - part:end]) for end in ends]
        change = f"{values[3] / values[1] - 1:+.0%}" if values[1] else ""
        lines.append("| " + " | ".join([name, *map(number, values), change]) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="scripts/soak")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--rate", type=int, default=500, help="ratings a second")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="damper-soak-") as folder:
        bench = Bench(folder, Scale(False), Build.here(folder, None))
        try:
            soak = Soak(bench, args.rate)
            soak.start()
            samples = soak.run(args.minutes * 60)
            soak.world.command("flush")
            soak.world.verify()
        finally:
            bench.close()
    print(f"\n{args.minutes:g} minutes, {args.rate} ratings a second; a flush and damper verify found no difference in the end\n")
    print(", ".join(f"{count:,} {what}" for what, count in sorted(soak.counts.items())) + "\n")
    print(table(samples))


main()
