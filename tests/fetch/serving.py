"""A small HTTP server on loopback, for what fetches."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """Answers by path: (status, headers, body), or a function of the headers that gives them; keeps what was asked."""

    def __init__(self):
        self.answers = {}
        self.requests = []
        self.url = ""

    def put(self, path, body, *, status=200, headers=None):
        self.answers[path] = (status, headers or {}, body)


@contextmanager
def serving():
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, with_body):
            site.requests.append((self.command, self.path))
            answer = site.answers.get(self.path.partition("?")[0], (404, {}, b"nothing here"))
            status, headers, body = answer(self.headers) if callable(answer) else answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def do_GET(self):
            self._answer(with_body=True)

        def do_HEAD(self):
            self._answer(with_body=False)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
