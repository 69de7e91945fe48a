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
    """`drydock serve` that knows one repository, on a port of the kernel's choice."""

    def __init__(self, binary, work, clone_url):
        work.mkdir()
        self.work, self.data, self.clone_url = work, work / "data", clone_url
        config = work / "server.toml"
        config.write_text(
            f"""data_dir = "{self.data}"
[server]
listen = "127.0.0.1:0"
[forges.github]
webhook_secret = "{WEBHOOK_SECRET}"
[clone]
schemes = ["file", "http"]
[[repos]]
forge = "github"
name = "bench/pushed"
clone_url = "{clone_url}"
[runner]
pipelines_max = 1
[log]
filter = "warn"
"""
        )
        self.log = open(work / "server.log", "wb")
        self.process = subprocess.Popen([binary, "serve", "--config", str(config)], stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 60
        while not (self.data / "address").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"bench: error: drydock serve did not start:\n{(work / 'server.log').read_text()}")
            time.sleep(0.01)
        self.address = (self.data / "address").read_text().strip().removeprefix("http://")

    def headers(self, body):
        return {
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": "sha256=" + hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest(),
        }

    def push(self, sha):
        """One signed webhook; gives the pipeline's number."""
        body = json.dumps(payload(sha, self.clone_url)).encode()
        connection = http.client.HTTPConnection(self.address, timeout=30)
        connection.request("POST", "/hooks/github", body, self.headers(body))
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 202:
            sys.exit(f"bench: error: the webhook was answered {answer.status}: {text}")
        return json.loads(text)["pipeline"]

    def follow(self, pipeline):
        """The log as it is written, a line at a time, until the pipeline ends."""
        token = (self.data / "cli.token").read_text().strip()
        connection = http.client.HTTPConnection(self.address, timeout=60)
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("GET", f"/api/v1/pipelines/{pipeline}/logs?follow=true", headers=headers)
        yield from connection.getresponse()

    def resident_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


def serving(binary, work, runs):
    pushed = repository(work / "pushed", pipeline({"one": job(1)}))
    sha = subprocess.run(["git", "-C", str(pushed), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    server = Server(binary, work / "serve", f"file://{pushed}")
    try:
        time.sleep(2)
        show("idle memory of serve", server.resident_mib(), "MiB", aim="25 MiB")

        def first_line():
            began = time.perf_counter()
            lines = server.follow(server.push(sha.stdout.strip()))
            next(lines)
            took = time.perf_counter() - began
            # To the end, so that the next one has the machine for itself.
            for _ in lines:
                pass
            return took

        first_line()
        show("signed push to first log line", statistics.median(first_line() for _ in range(runs)), "s")
    finally:
        server.close()


def webhooks(binary, work):
    """50 in flight for five seconds. The one pipeline that may run hangs in its clone, so that all others are stored."""
    if not shutil.which("wrk"):
        print("webhook accepted, 50 in flight      not measured: there is no wrk here (apt-get install wrk)")
        return
    hole = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = Server(binary, work / "hooks", f"http://127.0.0.1:{hole.getsockname()[1]}/bench/pushed.git")
    try:
        body = json.dumps(payload("1" * 40, server.clone_url)).encode()
        lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in server.headers(body).items()]
        script = work / "push.lua"
        script.write_text(
            "wrk.method = 'POST'\nwrk.body = [==[" + body.decode() + "]==]\n" + "\n".join(lines) + "\n"
            "local count = 0\n"
            "function request()\n  count = count + 1\n"
            "  wrk.headers['X-GitHub-Delivery'] = 'bench-' .. count\n  return wrk.format()\nend\n"
            "function done(summary, latency)\n"
            "  io.write(string.format('p99=%d answers=%d refused=%d\\n', latency:percentile(99), summary.requests,"
            " summary.errors.status))\nend\n"
        )
        command = ["wrk", "--threads", "1", "--connections", "50", "--duration", "5s", "--script", str(script)]
        said = subprocess.run([*command, f"http://{server.address}/hooks/github"], check=True, capture_output=True, text=True)
        p99, answers, refused = map(int, re.search(r"p99=(\d+) answers=(\d+) refused=(\d+)", said.stdout).groups())
        if refused:
            sys.exit(f"bench: error: {refused} of {answers} webhooks were refused")
        show(f"webhook accepted, p99 of {answers}", p99 / 1000, "ms", aim="5 ms")
    finally:
        server.close()
        hole.close()


def payload(sha, clone_url):
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
            "clone_url": clone_url,
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
        if wants("serve"):
            serving(binary, work, chosen.runs)
            webhooks(binary, work)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
