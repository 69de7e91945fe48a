#!/usr/bin/env python3
"""A small forge for the demo, from Python's standard library and git alone, in GitHub's manner.

    forge.py serve ROOT      serves ROOT/owner/name.git over HTTP and takes commit statuses; prints its address
    forge.py create ROOT owner/name HOOK_URL
                             makes a bare repository whose pushes are delivered, signed, to HOOK_URL
    forge.py deliver         what that repository's post-receive hook runs

DEMO_TOKEN is the token that git and the status API want, DEMO_WEBHOOK_SECRET signs deliveries.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NO_COMMIT = "0" * 40


class Forge(BaseHTTPRequestHandler):
    """Git below /owner/name.git, the API below /repos."""

    protocol_version = "HTTP/1.1"
    root = Path()
    token = ""
    statuses = {}

    def log_message(self, *_):
        pass

    def do_GET(self):
        found = re.fullmatch(r"/repos/([^/]+/[^/]+)/commits/([0-9a-f]{40})/statuses", self.path)
        if found:
            # As GitHub: the newest first.
            self.answer(200, self.statuses.get(found.groups(), [])[::-1])
        else:
            self.git()

    def do_POST(self):
        found = re.fullmatch(r"/repos/([^/]+/[^/]+)/statuses/([0-9a-f]{40})", self.path)
        if not found:
            return self.git()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") not in (f"Bearer {self.token}", f"token {self.token}"):
            return self.answer(401, {"message": "Bad credentials"})
        status = json.loads(body)
        if status.get("state") not in ("error", "failure", "pending", "success"):
            return self.answer(422, {"message": "state is not one of error, failure, pending, success"})
        self.statuses.setdefault(found.groups(), []).append(status)
        self.answer(201, status)

    def answer(self, code, value):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def git(self):
        """One call of git's own http-backend."""
        _, _, login = self.headers.get("Authorization", "").partition("Basic ")
        if not hmac.compare_digest(base64.b64decode(login or b"").partition(b":")[2], self.token.encode()):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="demo"')
            self.send_header("Content-Length", "0")
            return self.end_headers()
        path, _, query = self.path.partition("?")
        env = os.environ | {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "demo",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        ran = subprocess.run(["git", "http-backend"], input=self.body(), env=env, stdout=subprocess.PIPE, check=False)
        head, _, body = ran.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in (fields | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)


def serve(root):
    Forge.root, Forge.token = Path(root), os.environ["DEMO_TOKEN"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forge)
    # The hook runs below git's http-backend, so it inherits this.
    os.environ["DEMO_FORGE_URL"] = f"http://127.0.0.1:{server.server_port}"
    print(os.environ["DEMO_FORGE_URL"], flush=True)
    server.serve_forever()


def create(root, name, hook_url):
    folder = Path(root) / f"{name}.git"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(folder))
    git("-C", str(folder), "config", "http.receivepack", "true")
    git("-C", str(folder), "config", "uploadpack.allowAnySHA1InWant", "true")
    hook = folder / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f"#!/bin/sh\nexport DEMO_REPO='{name}' DEMO_HOOK_URL='{hook_url}'\n"
        f"exec '{sys.executable}' '{Path(__file__).resolve()}' deliver\n"
    )
    hook.chmod(0o755)


def deliver():
    """Reads `old new ref` lines as git gives them; what is printed, the person who pushes sees."""
    for line in sys.stdin:
        before, after, ref = line.split()
        body = json.dumps(push_payload(os.environ["DEMO_REPO"], before, after, ref)).encode()
        signature = hmac.new(os.environ["DEMO_WEBHOOK_SECRET"].encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": f"sha256={signature}",
        }
        request = urllib.request.Request(os.environ["DEMO_HOOK_URL"], data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                print(f"webhook delivered: {answer.status} {answer.read().decode()}")
        except urllib.error.HTTPError as refused:
            print(f"webhook refused: {refused.code} {refused.read().decode()}")
        except OSError as cause:
            print(f"webhook not delivered: {cause}")


def push_payload(name, before, after, ref):
    """GitHub's push event, cut down to what it says of one repository and its commits."""
    new = [after] if before == NO_COMMIT else git("rev-list", "--reverse", f"{before}..{after}").split()
    commits = [commit_payload(sha) for sha in new]
    owner, _, short = name.partition("/")
    forge = os.environ["DEMO_FORGE_URL"]
    person = {"name": owner, "login": owner, "email": f"{owner}@example.com", "id": 1}
    return {
        "ref": ref,
        "before": before,
        "after": after,
        "created": before == NO_COMMIT,
        "deleted": after == NO_COMMIT,
        "forced": False,
        "base_ref": None,
        "compare": f"{forge}/{name}/compare",
        "commits": commits,
        "head_commit": commits[-1] if commits else None,
        "repository": {
            "id": 1,
            "name": short,
            "full_name": name,
            "private": True,
            "owner": person,
            "html_url": f"{forge}/{name}",
            "url": f"{forge}/{name}",
            "clone_url": f"{forge}/{name}.git",
            "default_branch": "main",
        },
        "pusher": person,
        "sender": person,
    }


def commit_payload(sha):
    author, email, when, message = git("show", "--no-patch", "--format=%an%x00%ae%x00%aI%x00%B", sha).split("\0")
    changed = git("show", "--format=", "--name-status", "--no-renames", sha).splitlines()
    paths = {"A": [], "M": [], "D": []}
    for line in changed:
        kind, _, path = line.partition("\t")
        paths.setdefault(kind, []).append(path)
    person = {"name": author, "email": email, "username": author}
    return {
        "id": sha,
        "message": message.strip(),
        "timestamp": when,
        "author": person,
        "committer": person,
        "distinct": True,
        "added": paths["A"],
        "modified": paths["M"],
        "removed": paths["D"],
    }


def git(*args):
    return subprocess.run(["git", *args], check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    {"serve": serve, "create": create, "deliver": deliver}[sys.argv[1]](*sys.argv[2:])
