"""Builds, servers and services: everything that a case starts, on ports that are free, and ended with it."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from glob import glob
from pathlib import Path

from figures import Wrong

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 30
DRAIN_SECONDS_MAX = 3_600
YARDSTICKS = ["constant", "statement", "xadd"]
SECRET = "0123456789abcdef0123456789abcdef"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*command, **options):
    """A command's output; its failure ends the case."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode:
        raise Wrong(f"{' '.join(map(str, command))[:200]}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout


class Build:
    """The programs of one commit."""

    def __init__(self, name, folder, checkout):
        self.name, self.worktree = name, checkout if checkout != ROOT else None
        print(f"building {name}", flush=True)
        target = Path(os.environ.get("CARGO_TARGET_DIR", checkout / "target"))
        if self.worktree:
            # One folder of builds for both commits; each commit's programs are copied out of it.
            target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        environment = os.environ | {"CARGO_TARGET_DIR": str(target)}
        options = {"cwd": checkout, "env": environment}
        # Programs as they are shipped, built without what benchmarks need.
        run("cargo", "build", "--release", "--locked", "--quiet", "--bins", **options)
        self.programs = Path(folder) / name
        self.programs.mkdir()
        for program in ["damper", "damper-api", "damper-worker"]:
            shutil.copy(target / "release" / program, self.programs)
        if not self.worktree:
            benches = [word for bench in YARDSTICKS for word in ("--bench", bench)]
            lines = run("cargo", "bench", "--locked", "--no-run", "--quiet", "--message-format=json", *benches, **options)
            for artifact in map(json.loads, lines.splitlines()):
                if artifact.get("executable") and artifact["target"]["kind"] == ["bench"]:
                    shutil.copy(artifact["executable"], self.programs / artifact["target"]["name"])

    @staticmethod
    def here(folder, against):
        """This checkout's build, and that of another commit."""
        builds = [Build("damper", folder, ROOT)]
        if against:
            checkout = Path(folder) / "checkout"
            run("git", "worktree", "add", "--detach", checkout, against, cwd=ROOT)
            try:
                builds.append(Build(f"damper-{run('git', 'rev-parse', '--short', against, cwd=ROOT).strip()}", folder, checkout))
            finally:
                run("git", "worktree", "remove", "--force", checkout, cwd=ROOT)
        return builds


class Bench:
    """One run: its folder, its builds, and the processes that are alive."""

    def __init__(self, folder, scale, builds):
        self.folder, self.scale, self.builds = Path(folder), scale, builds
        self.folder.chmod(0o755)
        self.yardsticks = builds[0].programs
        self.lasting, self.processes, self.names = [], [], 0
        self.postgres_port = None

    def name(self, what):
        self.names += 1
        return f"{what}{self.names}"

    def start(self, command, environment=None, user=None, lasting=False):
        """Starts a process; what it prints goes to a file in the run's folder."""
        log = self.folder / f"{self.name('log')}.txt"
        process = subprocess.Popen([str(word) for word in command], stdout=log.open("w"), stderr=subprocess.STDOUT,
                                   env=os.environ | (environment or {}), user=user, group=user,
                                   extra_groups=[] if user else None, cwd=self.folder)
        process.log = log
        (self.lasting if lasting else self.processes).append(process)
        return process

    def wait_for(self, process, is_ready, pause=0.05):
        """Waits until a process answers. One that ended, perhaps because somebody holds its port, is an error."""
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            if process.poll() is not None:
                raise Wrong(f"{process.args[0]} ended: {process.log.read_text()[-600:]}")
            if is_ready():
                return
            if time.monotonic() > until:
                raise Wrong(f"{process.args[0]} is not ready: {process.log.read_text()[-600:]}")
            time.sleep(pause)

    def database(self):
        """The URL of a new, empty database."""
        if self.postgres_port is None:
            self.start_postgres()
        name = self.name("base")
        self.sql("postgres", f"create database {name}")
        return f"postgres://postgres@127.0.0.1:{self.postgres_port}/{name}"

    def start_postgres(self):
        programs, data, port = Path(sorted(glob("/usr/lib/postgresql/*/bin"))[-1]), self.folder / "postgres", free_port()
        self.psql, user = programs / "psql", None
        data.mkdir()
        if os.getuid() == 0:
            user = "postgres"
            os.chown(data, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        options = {"user": user, "group": user, "extra_groups": []} if user else {}
        run(programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", cwd=data, **options)
        server = self.start([programs / "postgres", "-D", data, "-p", port, "-k", data, "-c", "listen_addresses=127.0.0.1",
                             "-c", "max_wal_size=4GB", "-c", "max_connections=200"], user=user, lasting=True)
        self.postgres_port = port

        def is_ready():
            try:
                return bool(self.sql("postgres", "select 1"))
            except Wrong:
                return False
        self.wait_for(server, is_ready)

    def sql(self, database, *statements):
        command = [self.psql, "-qtA", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", self.postgres_port, "-U", "postgres"]
        lines = [one if one.startswith("\\") else f"{one};" for one in statements]
        return run(*command, "-d", database.rsplit("/", 1)[-1], input="\n".join(lines) + "\n").strip()

    def redis(self):
        """The URL of a new, empty Redis. Its log is synced every second, as Redis does by default."""
        port, data = free_port(), self.folder / self.name("redis")
        data.mkdir()
        server = self.start(["redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", data, "--appendonly", "yes", "--save", ""])

        def is_ready():
            asked = subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True, text=True)
            return asked.stdout.strip() == "PONG"
        self.wait_for(server, is_ready)
        return f"redis://127.0.0.1:{port}"

    def redis_info(self, url):
        return run("redis-cli", "-p", url.rsplit(":", 1)[1], "info").splitlines()

    def yardstick(self, name, *args):
        """Starts a yardstick; returns its address."""
        address = f"127.0.0.1:{free_port()}"
        process = self.start([self.yardsticks / name, address, *args])

        def is_ready():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", int(address.rsplit(":", 1)[1]))) == 0
        self.wait_for(process, is_ready)
        return address

    def world(self, build, setup="servers", shards=16):
        return World(self, build, setup, shards)

    def stop(self, process):
        end([process])
        self.processes.remove(process)

    def end_case(self):
        end(self.processes)

    def close(self):
        end(self.processes)
        end(self.lasting)


def end(processes):
    for process in reversed(processes):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    processes.clear()


class World:
    """One Damper with data of its own."""

    def __init__(self, bench, build, setup, shards):
        self.bench, self.build, self.setup = bench, build, setup
        self.data = bench.folder / f"{bench.name('file')}.db"
        self.environment = {"DAMPER_DATA": str(self.data), "DAMPER_LOG__FILTER": "warn"}
        if setup == "servers":
            self.database, self.redis = bench.database(), bench.redis()
            self.environment |= {"DAMPER_DATABASE_URL": self.database, "DAMPER_REDIS_URL": self.redis, "DAMPER_SHARDS": str(shards)}

    def command(self, *args):
        return run(self.build.programs / "damper", *args, env=os.environ | self.environment, cwd=self.bench.folder)

    def fill(self, file):
        # No part of a figure, so a busy machine may take its time.
        self.command("import", "--sorted", "--set", "buffer.append_timeout_ms=3000", file)

    def drain(self):
        """Merges what waits; returns how many entries and in how many seconds, by the drain's own clock."""
        flushed = json.loads(self.command("flush", "--json", "--timeout", str(DRAIN_SECONDS_MAX)))
        return flushed["applied"], flushed["duration_ms"] / 1_000

    def verify(self):
        self.command("verify")

    def serve(self, program="damper", limits=None, secret=None):
        """Starts a service, which believes this machine as a proxy. `limits` are those by user and address; without them
        there are none."""
        user, address = limits or (0, 0)
        self.address, self.admin_address = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        command = [self.build.programs / program, "--listen", self.address, "--admin-listen", self.admin_address,
                   "--set", f"limits.ratings_per_minute_per_user={user}",
                   "--set", f"limits.ratings_per_minute_per_address={address}", "--set", "limits.trusted_proxies=127.0.0.1"]
        keys = {"DAMPER_AUTH__JWT_SECRET": secret} if secret else {}
        self.process = self.bench.start(command, self.environment | keys)
        began = time.monotonic()
        self.bench.wait_for(self.process, lambda: status(f"http://{self.address}/readyz") == 200, 0.002)
        return time.monotonic() - began

    def stop(self):
        self.bench.stop(self.process)

    def memory_mib(self, what="VmHWM"):
        """The memory of the service: VmHWM at most so far, VmRSS now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) / 1024
        raise Wrong("no memory is shown")

    def get(self, path):
        return fetch(f"http://{self.address}{path}")


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read()
    except urllib.error.URLError as error:
        raise Wrong(f"{url}: {error}") from error


def status(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None
