"""What is sent and stored: ratings in files, tokens, and rounds of requests by wrk."""

import base64
import hashlib
import hmac
import json
import re
import subprocess
import time

from figures import Wrong
from world import SECRET

CONNECTIONS = 64
POSTS, USERS, TOKENS = 2_000, 100_000, 5_000
# Clients that a trusted proxy names, where there are limits: one alone would pass what a limit by address can be.
ADDRESSES = 100
DAY_SECONDS = 86_400

# The same for every side, so that making a request costs all of them alike.
SCRIPT = """
local tokens, n = {}, %(seed)d
local file = %(tokens)s
if file then for line in io.lines(file) do tokens[#tokens + 1] = line end end
local body, head = nil, {}
function request()
  n = n + 1
  local post, user = 'p' .. n %% %(posts)d, 'u' .. n * 7919 %% %(users)d
  if '%(method)s' == 'POST' then
    head['content-type'] = 'application/json'
    body = file and '{"score":' .. n %% 6 .. '}' or '{"user_id":"' .. user .. '","score":' .. n %% 6 .. '}'
  end
  if file then head['authorization'] = 'Bearer ' .. tokens[n %% #tokens + 1] end
  if %(addresses)d > 0 then head['x-forwarded-for'] = '192.0.2.' .. n %% %(addresses)d end
  local path = string.gsub(string.gsub('%(path)s', 'POST', post), 'USER', user)
  return wrk.format('%(method)s', path, head, body)
end
function done(summary)
  local errors = summary.errors
  io.write(string.format('figures %%d %%d %%d %%d\\n', summary.requests, summary.duration, summary.bytes,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


class Load:
    """Rounds of one kind of request. `POST` and `USER` in the path stand for another one each time."""

    seeds = 0

    def __init__(self, bench, method, path, posts=POSTS, users=USERS, tokens=None, addresses=0):
        self.seconds, self.folder = bench.scale.seconds, bench.folder
        self.values = {"method": method, "path": path, "posts": posts, "users": users, "addresses": addresses,
                       "tokens": json.dumps(str(tokens)) if tokens else "nil"}

    def round(self, address, body_bytes=0):
        """Requests a second. An error, or an answer shorter than its body, ends the case."""
        Load.seeds += 1
        script = self.folder / f"load{Load.seeds}.lua"
        script.write_text(SCRIPT % (self.values | {"seed": Load.seeds * 1_000_003}))
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{self.seconds}s", "-s", script, f"http://{address}"]
        out = subprocess.run(command, capture_output=True, text=True).stdout
        found = re.search(r"figures (\d+) (\d+) (\d+) (\d+)", out)
        if not found:
            raise Wrong(f"wrk: {out[-300:]}")
        requests, micros, read, errors = map(int, found.groups())
        if errors or not requests:
            raise Wrong(f"{errors} of {requests} requests failed")
        if read < requests * body_bytes * 0.95:
            raise Wrong(f"{read} bytes are less than {requests} answers of {body_bytes}")
        self.requests, self.read = requests, read
        return requests * 1e6 / micros


def counted(load, address, count):
    """A round after which the log holds an entry for each request."""
    before = count()
    figure = load.round(address)
    grown = count() - before
    # Those still on their way at the end were not answered, so the log may hold a few more.
    if grown < load.requests:
        raise Wrong(f"{load.requests} requests were answered, and the log grew by {grown}")
    return figure


def xlen(url, keys):
    port = url.rsplit(":", 1)[1]
    lines = "\n".join(f"xlen {key}" for key in keys)
    out = subprocess.run(["redis-cli", "-p", port], input=lines, capture_output=True, text=True).stdout
    return sum(map(int, out.split()))


def tokens(bench):
    """A file of HS256 tokens, a line each, good for a day."""
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")
    file, now = bench.folder / "tokens.txt", int(time.time())
    head = part(b'{"alg":"HS256","typ":"JWT"}')
    with file.open("wb") as out:
        for number in range(TOKENS):
            claims = part(json.dumps({"sub": f"u{number}", "iat": now, "exp": now + DAY_SECONDS}).encode())
            signed = head + b"." + claims
            out.write(signed + b"." + part(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()) + b"\n")
    return file


def ratings(bench, count, posts=POSTS, days=120, begin_days=None, first_turn=0):
    """A file of ratings in order of time, each of another post and user: every line becomes a row.

    Users come in turns over all posts; a file that begins with a later turn has other users.
    """
    file = bench.folder / f"{bench.name('ratings')}.csv"
    begin = time.time() - (begin_days or days) * DAY_SECONDS
    step = days * DAY_SECONDS / count
    with file.open("w") as out:
        out.write("post,user,score,timestamp\n")
        for i in range(count):
            post, turn = i % posts, first_turn + i // posts
            out.write(f"p{post},u{post * 37 + turn},{i % 6},{begin + i * step:.3f}\n")
    return file


def stream(bench, root, posts, count):
    """The ratings of scripts/stream: many posts, and a review bomb on the first."""
    file = bench.folder / f"stream-{posts}-{count}.csv"
    if not file.exists():
        command = [root / "scripts/stream", "--posts", posts, "--ratings", count, "--until", int(time.time())]
        with file.open("w") as out:
            subprocess.run([str(word) for word in command], stdout=out, check=True)
    return file
