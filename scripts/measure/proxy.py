"""A caching proxy before Damper: nginx, which keeps each answer for as long as Damper says, to the second of the next tick."""

import os
import shutil
import socket
import time
from collections import Counter

from cpu import children, used_us
from figures import Wrong
from load import Load
from world import free_port

TICK_SECONDS = 10
SECONDS = 2 * TICK_SECONDS  # of a round: two ticks, and so two times that every post is asked for

CONFIGURATION = """
daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  log_format seen '$msec $upstream_cache_status';
  proxy_cache_path {folder}/cache keys_zone=damper:64m max_size=1g;
  upstream damper {{ server {damper}; keepalive 64; }}
  server {{
    listen {address};
    keepalive_requests 1000000000;
    access_log {folder}/seen.log seen buffer=1m flush=1s;
    location / {{
      proxy_pass http://damper;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_cache damper;
      proxy_cache_lock on;
      proxy_cache_use_stale updating;
    }}
  }}
}}
"""


def started(bench, damper):
    """An nginx before the service at `damper`: its address, and its folder."""
    folder, address = bench.folder / bench.name("nginx"), f"127.0.0.1:{free_port()}"
    folder.mkdir()
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, address=address, damper=damper))
    process = bench.start([shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), "-p", folder, "-e", folder / "error.log", "-c", file])

    def is_ready():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(address.rsplit(":", 1)[1]))) == 0
    bench.wait_for(process, is_ready)
    return process, address, folder


def behind_proxy(bench, world, posts):
    """Requests a second that nginx answers, and what of them reaches Damper."""
    process, address, folder = started(bench, world.address)
    load = Load(bench, "GET", "/api/posts/POST", posts=posts)
    # What is asked for just before a tick is kept for no second, so a round begins and ends well after one.
    time.sleep(TICK_SECONDS + 1 - time.time() % TICK_SECONDS)
    load.seconds = 2  # for nothing
    load.round(address)
    load.seconds = SECONDS
    workers, damper = children(process.pid), world.process.pid
    began = time.time()
    before = sum(map(used_us, workers)), used_us(damper)
    a_second = load.round(address)
    nginx_us, damper_us = sum(map(used_us, workers)) - before[0], used_us(damper) - before[1]
    bench.stop(process)  # writes the rest of the log
    seen, passed = Counter(), Counter()
    for line in (folder / "seen.log").read_text().splitlines():
        moment, state = line.split()
        if float(moment) < began:
            continue
        seen[state] += 1
        if state not in ("HIT", "UPDATING"):
            passed[int(float(moment))] += 1
    total, left = sum(seen.values()), sum(passed.values())
    if total < load.requests:
        raise Wrong(f"nginx saw {total} of {load.requests} requests")
    return {"posts": posts, "a second": a_second, "hits": 1 - left / total, "left a second": left / SECONDS,
            "worst second": max(passed.values()), "nginx": nginx_us / total, "service": damper_us / total}
