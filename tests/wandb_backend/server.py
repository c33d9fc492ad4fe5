"""The HTTP side: routes, faults and answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from .faults import Faults, Outcome
from .resolvers import execute, operation_name
from .state import State
from .storage import RejectedError, Storage


class BackendServer(ThreadingHTTPServer):
    """Serves one `State` on 127.0.0.1.

    Args:
        directory: Where uploads are kept.
        port: The port to listen on, 0 for a free one.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, directory: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.state = State(Storage(directory.resolve(), self.url))
        self.faults = Faults()


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: BackendServer
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes; without this the second waits for an acknowledgement.
    disable_nagle_algorithm = True
    # Whether half of the body of an answer is sent.
    _cuts = False

    def do_GET(self) -> None:
        parts = self._path()
        if parts == ["_state"]:
            self._send_json(self.server.state.snapshot())
        elif parts[0] in ("storage", "artifactsV2"):
            self._serve("download", lambda _: self._download(parts))
        else:
            self._serve("other", self._not_found)

    def do_PUT(self) -> None:
        self._serve("upload", lambda body: self._upload(self._path(), body))

    def do_POST(self) -> None:
        parts, body = self._path(), self._read()
        if parts == ["_faults"]:
            self.server.faults = Faults(**json.loads(body))
            self._send_json({})
        elif parts == ["graphql"]:
            self._serve(operation_name(json.loads(body)["query"]), self._graphql, body)
        elif parts[-1] == "file_stream":
            self._serve("file_stream", lambda body: self._file_stream(parts, body), body)
        else:
            self._serve("other", self._not_found, body)

    def _serve(self, name: str, answer: Callable[[bytes], None], body: bytes | None = None) -> None:
        """Counts a request, then answers it or does to it what the plan of faults says."""
        faults, state = self.server.faults, self.server.state
        outcome = faults.next(name)
        state.count(name, faulted=outcome is not Outcome.ANSWER)
        time.sleep(faults.delay)
        if outcome is Outcome.CLOSE:
            self.close_connection = True
            return
        if outcome is Outcome.DROP:
            self.rfile.read(self._length() // 2)
            self.close_connection = True
            return
        body = self._read() if body is None else body
        if outcome is Outcome.FAIL:
            self._send(b"injected failure", faults.status)
            return
        if outcome is Outcome.LOSE:
            message = json.loads(body)
            execute(self.server.state, message["query"], message.get("variables") or {})
            self._send(b"injected failure", faults.status)
            return
        self._cuts = outcome is Outcome.CUT
        try:
            answer(body)
        except RejectedError as error:
            state.storage.reject(name, str(error))
            self._send(str(error).encode(), HTTPStatus.BAD_REQUEST)

    def _graphql(self, body: bytes) -> None:
        message = json.loads(body)
        variables = message.get("variables") or {}
        self._send_json(execute(self.server.state, message["query"], variables))

    def _file_stream(self, parts: list[str], body: bytes) -> None:
        _, entity, project, run, _ = parts
        state = self.server.state
        with state.lock:
            state.run(entity, project, run).receive(json.loads(body))
        self._send_json({})

    def _upload(self, parts: list[str], body: bytes) -> None:
        self.server.state.storage.save("/".join(parts[1:]), body)
        self._send(b"")

    def _download(self, parts: list[str]) -> None:
        """Sends a file by its path, or by the collection and the md5 of its content."""
        if parts[0] == "storage":
            path = "/".join(parts[1:])
        else:
            _, _region, entity, project, collection, *_ids, md5, _name = parts
            path = f"artifacts/{entity}/{project}/{collection}/{md5}"
        storage = self.server.state.storage
        if storage.holds(path):
            self._send(storage.file(path).read_bytes())
        else:
            self._not_found(b"")

    def _not_found(self, _body: bytes) -> None:
        self._send(b"not found", HTTPStatus.NOT_FOUND)

    def _path(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]

    def _length(self) -> int:
        return int(self.headers.get("Content-Length", 0))

    def _read(self) -> bytes:
        return self.rfile.read(self._length())

    def _send_json(self, value: Any) -> None:
        self._send(json.dumps(value).encode(), content_type="application/json")

    def _send(self, body: bytes, status: int = 200, content_type: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self._cuts:
            body, self.close_connection = body[: len(body) // 2], True
        self.wfile.write(body)
