#!/usr/bin/env python3
"""Drydock's speed beside bare Docker API calls that start the same containers, in one run, on this machine.

    benches/bench.py [DRYDOCK] [--runs N] [--only NAME]...

Prints one line per figure: the median of N runs, the bare figure beside it, and the aim. Each pair is measured in
turn (bare, drydock, bare, ...), so that a busy minute hits both. Needs the image `busybox` (tests/images/build.sh).
"""

import argparse
import concurrent.futures
import hashlib
import hmac
import http.client
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

IMAGE = "busybox"
SCRIPT = "echo one"
LINES_MIB = 50
LINE = "0123456789" * 9 + "012345678"
PRINT_LINES = f"yes {LINE} | head -n {LINES_MIB * 1024 * 1024 // 100}"
WEBHOOK_SECRET = "bench-webhook-secret"


class Engine:
    """The daemon's API with nothing between: one connection per call."""

    def __init__(self):
        host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        if not host.startswith("unix://"):
            sys.exit(f"bench: error: DOCKER_HOST is {host}; the bare figures need a Unix socket")
        self.path = host.removeprefix("unix://")

    def connect(self):
        connection = http.client.HTTPConnection("docker")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path)
        return connection

    def call(self, method, path, body=None):
        connection = self.connect()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 400:
            sys.exit(f"bench: error: {method} {path}: {answer.status} {text.decode()}")
        return json.loads(text) if text.strip() else None

    def attach(self, container):
        """Its output, read and thrown away by a thread that ends with it."""
        connection = self.connect()
        connection.putrequest("POST", f"/containers/{container}/attach?stream=1&stdout=1&stderr=1")
        connection.putheader("Connection", "Upgrade")
        connection.putheader("Upgrade", "tcp")
        connection.putheader("Content-Length", "0")
        connection.endheaders()

        def drain():
            while connection.sock.recv(1 << 20):
                pass
            connection.close()

        # The engine has answered once the head is here.
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.sock.recv(1)
        thread = threading.Thread(target=drain)
        thread.start()
        return thread

    def run(self, script):
        """One container from nothing to removed, its output read."""
        settings = {
            "Image": IMAGE,
            "Cmd": ["sh", "-c", script],
            "Labels": {"io.drydock.bench": "1"},
            "HostConfig": {"LogConfig": {"Type": "local"}},
        }
        container = self.call("POST", "/containers/create", settings)["Id"]
        output = self.attach(container)
        self.call("POST", f"/containers/{container}/start")
        ended = self.call("POST", f"/containers/{container}/wait")
        output.join()
        self.call("DELETE", f"/containers/{container}?force=1&v=1")
        assert ended["StatusCode"] == 0


def steps(count, script=SCRIPT):
    return [{"run": script} for _ in range(count)]


def pipeline(jobs):
    """JSON is YAML."""
    return json.dumps({"name": "bench", "on": ["push"], "jobs": jobs})


def job(count, script=SCRIPT, **more):
    return {"image": IMAGE, "steps": steps(count, script)} | more


def fan():
    jobs = {f"part{n}": job(3) for n in range(8)}
    return jobs | {"all": job(3, needs=list(jobs))}


def repository(folder, text):
    folder.mkdir(parents=True)
    (folder / ".drydock.yml").write_text(text)
    (folder / "README").write_text("bench\n")
    git = ["git", "-C", str(folder), "-c", "user.name=bench", "-c", "user.email=bench@example.com"]
    subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "bench"], check=True)
    return folder


def drydock_run(binary, folder, *more):
    ended = subprocess.run(
        [binary, "run", str(folder), "--output", "plain", *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if ended.returncode != 0:
        sys.exit(f"bench: error: drydock run {folder.name} ended with {ended.returncode}:\n{ended.stderr.decode()[-2000:]}")


def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(runs, bare, ours):
    """Medians of both, measured in turn after one of each that is thrown away."""
    bare(), ours()
    pairs = [(timed(bare), timed(ours)) for _ in range(runs)]
    return [statistics.median(column) for column in zip(*pairs)]


def show(name, ours, unit, bare=None, aim=None):
    ratio = f"{ours / bare:5.2f} x bare ({bare:.3f} {unit})" if bare else ""
    print(f"{name:<34} {ours:9.3f} {unit:<4} {ratio:<30} {'aim: ' + aim if aim else ''}", flush=True)


def containers(binary, work, runs, wanted):
    engine = Engine()
    parallel = os.cpu_count() or 2

    def bare_fan():
        with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
            list(pool.map(engine.run, ["\n".join([SCRIPT] * 3)] * 8))
        engine.run("\n".join([SCRIPT] * 3))

    cases = {
        "W1": ("one job, one step", {"one": job(1)}, lambda: engine.run(SCRIPT), "1.15 x"),
        "W2": ("one job, ten steps", {"one": job(10)}, lambda: engine.run("\n".join([SCRIPT] * 10)), "1.15 x"),
        "W3": ("eight jobs, then one", fan(), bare_fan, "1.25 x"),
        "W4": (f"{LINES_MIB} MB of lines", {"one": job(1, PRINT_LINES)}, lambda: engine.run(PRINT_LINES), "1.00 x"),
    }
    for name, (title, jobs, bare, aim) in cases.items():
        if wanted and name not in wanted:
            continue
        folder = repository(work / name, pipeline(jobs))
        more = ["--max-parallel", str(parallel)] if name == "W3" else []
        beside, ours = compare(runs, bare, lambda: drydock_run(binary, folder, *more))
        show(f"{name} {title}", ours, "s", beside, aim)


def command_line(binary, work, runs):
    def median_ms(*arguments):
        quiet = {"stdout": subprocess.DEVNULL, "check": True}
        return 1000 * statistics.median(timed(lambda: subprocess.run([binary, *arguments], **quiet)) for _ in range(4 * runs))

    show("drydock --help", median_ms("--help"), "ms", aim="10 ms")
    many = {f"job{n}": job(3, needs=[f"job{n - 1}"] if n % 10 else []) for n in range(200)}
    show("drydock plan, 200 jobs", median_ms("plan", str(repository(work / "many", pipeline(many)))), "ms", aim="50 ms")


class Server:
    """`drydock serve` with a forge that nobody answers for, on a port of the kernel's choice."""

    def __init__(self, binary, work):
        self.binary, self.work = binary, work
        self.repository = repository(work / "pushed", pipeline({"one": job(1)}))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = work / "server.toml"
        config.write_text(
            f"""data_dir = "{work}/data"
[server]
listen = "127.0.0.1:{self.port}"
[forges.github]
webhook_secret = "{WEBHOOK_SECRET}"
add_repos = true
[clone]
schemes = ["file"]
[[repos]]
forge = "github"
name = "bench/pushed"
clone_url = "file://{self.repository}"
[log]
filter = "warn"
"""
        )
        self.log = open(work / "server.log", "wb")
        self.process = subprocess.Popen([binary, "serve", "--config", str(config)], stdout=self.log, stderr=self.log)
        self.until(lambda: self.get("/readyz")[0] == 200, "the server did not get ready")

    def until(self, done, otherwise, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if done():
                    return
            except OSError:
                pass
            time.sleep(0.01)
        sys.exit(f"bench: error: {otherwise}:\n{(self.work / 'server.log').read_text()[-2000:]}")

    def get(self, path, token=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def deliver(self, event="push", connection=None):
        """One signed webhook; gives status, seconds and body."""
        sha = subprocess.run(
            ["git", "-C", str(self.repository), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
        ).stdout.strip() if event == "push" else "0" * 40
        body = json.dumps(payload(sha, self.repository)).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": "sha256=" + hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest(),
        }
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        began = time.perf_counter()
        connection.request("POST", "/hooks/github", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, time.perf_counter() - began, text

    def resident_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


def payload(sha, folder):
    person = {"name": "bench", "login": "bench", "id": 1, "email": "bench@example.com"}
    commit = {"id": sha, "message": "bench", "author": person, "added": ["README"], "modified": [], "removed": []}
    return {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": sha,
        "created": True,
        "deleted": False,
        "forced": False,
        "commits": [commit],
        "head_commit": commit,
        "repository": {
            "id": 1,
            "name": "pushed",
            "full_name": "bench/pushed",
            "owner": person,
            "private": True,
            "default_branch": "main",
            "clone_url": f"file://{folder}",
        },
        "pusher": person,
        "sender": person,
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("drydock", nargs="?", default="target/release/drydock")
    arguments.add_argument("--runs", type=int, default=7)
    arguments.add_argument("--only", action="append", default=[], help="W1, W2, W3, W4, cli or serve")
    chosen = arguments.parse_args()
    binary = os.path.abspath(chosen.drydock)
    work = Path(tempfile.mkdtemp(prefix="drydock-bench."))
    wants = lambda name: not chosen.only or name in chosen.only
    try:
        if not chosen.only or any(name.startswith("W") for name in chosen.only):
            containers(binary, work, chosen.runs, [name for name in chosen.only if name.startswith("W")])
        if wants("cli"):
            command_line(binary, work, chosen.runs)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
