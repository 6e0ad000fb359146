"""A hub on loopback that speaks what the hub's client needs, and can be told to misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "somebody/model"


class Hub:
    """One repository whose branch `main` is at COMMIT.

    Attributes:
        files: Content by name.
        faults: What goes wrong with the next requests of (method, name), in order: a status, a
            (status, headers) pair, or a number of bytes after which the connection is cut as `("cut", n)`,
            or after which nothing more comes until `going_on` is set, as `("stall", n)`.
        meet: By name, a barrier at which the sender of a file waits for those of others.
        sent: Content that is sent instead of the file's own.
        requests: (method, name, range) of each request.
        bytes_sent: By name.
        token: What a request must bear, where the repository is gated.
    """

    def __init__(self, files):
        self.files = dict(files)
        self.faults, self.sent, self.requests, self.bytes_sent = {}, {}, [], {}
        self.token, self.meet = None, {}
        self.going_on, self.stalled = threading.Event(), threading.Event()
        self.url = ""
        self.lock = threading.Lock()

    def fail(self, method, name, *faults):
        self.faults[method, name] = list(faults)

    def asked(self, method, name=None):
        return [each for each in self.requests if each[0] == method and name in (None, each[1])]

    def next_fault(self, method, name):
        with self.lock:
            left = self.faults.get((method, name)) or [None]
            return left.pop(0) if left != [None] else None


def etag_of(name, content):
    """Weights are announced by their sha256, other files by git's sha1."""
    if name.endswith((".safetensors", ".bin")):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def log_message(self, *args):
        pass

    def _answer(self):
        prefix, _, rest = self.path.partition("/resolve/")
        revision, _, name = rest.partition("/")
        self.hub.requests.append((self.command, name, self.headers.get("Range")))
        fault = self.hub.next_fault(self.command, name)
        if self.hub.token and self.headers.get("authorization") != f"Bearer {self.hub.token}":
            return self._refuse(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        if isinstance(fault, int):
            return self._refuse(fault, {})
        if isinstance(fault, tuple) and fault[0] not in ("cut", "stall"):
            return self._refuse(*fault)
        lacking = {
            "RepoNotFound": not prefix.endswith(REPOSITORY),
            "RevisionNotFound": revision not in ("main", COMMIT),
            "EntryNotFound": name not in self.hub.files,
        }
        for code, lacks in lacking.items():
            if lacks:
                return self._refuse(404, {"X-Error-Code": code, "X-Repo-Commit": COMMIT})
        return self._send(name, *(fault or (None, None)))

    def _refuse(self, status, headers):
        self.send_response(status)
        for key, value in {"Content-Length": "0", **headers}.items():
            self.send_header(key, value)
        self.end_headers()

    def _send(self, name, fault, after):
        content = self.hub.files[name]
        body = self.hub.sent.get(name, content)
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.command == "GET" else 0
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{etag_of(name, content)}"')
        self.send_header("Content-Length", str(len(body) - start if self.command == "GET" else len(content)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        if self.command == "GET":
            if name in self.hub.meet:
                self.hub.meet[name].wait()
            self._write(name, body[start:after])
            if fault == "cut":
                self.close_connection = True
            elif fault == "stall":
                self.hub.stalled.set()
                self.hub.going_on.wait(60)
                self._write(name, body[after:])

    def _write(self, name, piece):
        with contextlib.suppress(ConnectionError):  # whoever asked may be dead by now
            self.wfile.write(piece)
            self.wfile.flush()
        with self.hub.lock:
            self.hub.bytes_sent[name] = self.hub.bytes_sent.get(name, 0) + len(piece)


@contextlib.contextmanager
def serving_hub(files):
    """Serve a repository with these files."""
    hub = Hub(files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
