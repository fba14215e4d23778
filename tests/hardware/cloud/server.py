"""The service on 127.0.0.1, in a thread of this process or in a process of its own.

In a test process::

    with CloudService(key=CANARY, devices={"ibm_testchain": "FakeFez:5"}) as cloud:
        for name, value in cloud.environment().items():
            monkeypatch.setenv(name, value)
        service = QiskitRuntimeService()
        cloud.set_faults([burst(503, 3)])
        …
        assert cloud.runs_by_tag() == {"shard-0": 1, "shard-1": 1}

In a process of its own (``process.CloudProcess``; key in ``QISKIT_IBM_TOKEN``; it prints one line of JSON with its address)::

    PYTHONPATH=tests/hardware python -m cloud.server --port 0 --state FOLDER --device ibm_testchain=FakeFez:5 --faults '[…]'

Neither the key nor an access token is ever printed, logged or kept.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .account import PAID, Instance
from .answers import Answer, RefusedError
from .client import environment
from .endpoints import Request
from .faults import from_json
from .service import NoAnswerError, Reply, Service


class CloudService(Service):
    """The service with its socket; a context manager.

    Args:
        key: the API key that is right.
        devices: by name, with the snapshot each is made from.
        port: 0 for any that is free.
        more: see :class:`service.Service`.
    """

    def __init__(self, key: str, devices: Mapping[str, str], port: int = 0, **more: Any) -> None:
        super().__init__(key, devices, **more)
        self._key, self._port, self._down = key, port, False
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> CloudService:
        self._listen()
        threading.Thread(target=self.work, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped = True
        self._close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def environment(self, instance: Instance | None = PAID) -> dict[str, str]:
        """Return the environment variables with which the client finds this service.

        Args:
            instance: to use; None for all of the account.
        """
        return environment(self.url, self._key, instance.crn if instance else "")

    def respond(self, request: Request) -> Reply:
        """Return the reply to a request, or to a question of ``process.CloudProcess``."""
        if self._down:
            raise NoAnswerError
        if not request.path.startswith("/control/"):
            return super().respond(request)
        name = request.path.removeprefix("/control/")
        if request.method == "POST":
            wanted = request.json()
            if name == "faults":
                self.set_faults(from_json(json.dumps(wanted["faults"])))
            else:
                self.set_device(wanted["name"], wanted["state"])
            return Reply(Answer.of({}))
        return Reply(Answer.of({"jobs": self.jobs, "requests": self.requests, "executions": self.executions}[name]()))

    def be_down(self, seconds: float) -> None:
        """Listen to nobody for a while, from this moment on."""
        self._down = True
        self._close()
        threading.Thread(target=self._come_back, args=(seconds,), daemon=True).start()

    def _come_back(self, seconds: float) -> None:
        time.sleep(seconds)
        self._down = False
        if not self.stopped:
            self._listen()

    def _listen(self) -> None:
        handler = type("Handler", (_Handler,), {"cloud": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Handler(BaseHTTPRequestHandler):
    """Between the socket and the service."""

    protocol_version = "HTTP/1.1"
    cloud: CloudService

    def _any(self) -> None:
        where = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=where.path,
            query=parse_qs(where.query),
            body=self.rfile.read(int(self.headers.get("Content-Length", "0"))),
            authorization=self.headers.get("Authorization", ""),
            instance=self.headers.get("Service-CRN", ""),
        )
        try:
            reply = self.cloud.respond(request)
        except NoAnswerError:
            self._hang_up()
            return
        except RefusedError as refusal:
            reply = Reply(refusal.answer())
        answer, body = reply.answer, reply.answer.body
        self.send_response(answer.status)
        head = {"Content-Type": answer.kind, "Content-Length": str(len(body))} | answer.headers
        if reply.ending == "close":
            head["Connection"] = "close"
        for name, value in head.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if reply.ending == "cut" else body)
        if reply.ending != "keep":
            self.wfile.flush()
            self._hang_up()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *args: object) -> None:
        """Print nothing; the service keeps its own log."""


def main() -> None:
    """Run the service until the process is told to end."""
    parser = argparse.ArgumentParser(prog="cloud.server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--device", action="append", default=[], metavar="NAME=SNAPSHOT[:QUBITS]")
    parser.add_argument("--faults", default="[]", help="a JSON list")
    parser.add_argument("--noise", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--token-seconds", type=float, default=3600.0)
    asked = parser.parse_args()
    devices = dict(pair.split("=", 1) for pair in asked.device) or {"ibm_testfez": "FakeFez"}
    more = {"noise": asked.noise, "state": asked.state, "seed": asked.seed, "token_seconds": asked.token_seconds}
    key, faults = os.environ["QISKIT_IBM_TOKEN"], from_json(asked.faults)
    with CloudService(key, devices, port=asked.port, faults=faults, **more) as cloud:
        print(json.dumps({"url": cloud.url}), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
