"""A stand-in of the Hugging Face Hub on this machine: as much of its HTTP API as pushing and pulling files need."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "c" * 40


class _Hub(BaseHTTPRequestHandler):
    """Repositories by name, each with its files; they live in the server."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Keep the output of the tests clean."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        repositories, parts = self.server.repositories, self.path.split("/")  # type: ignore[attr-defined]  # set below
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            repositories.setdefault(name, {})
            return self._json({"url": f"{self.server.url}/{name}", "name": name})  # type: ignore[attr-defined]
        if self.path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        name = "/".join(parts[3:5])
        if parts[5] == "preupload":
            files = [file["path"] for file in json.loads(body)["files"]]
            return self._json(
                {"files": [{"path": file, "uploadMode": "regular", "shouldIgnore": False} for file in files]}
            )
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                repositories[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        url = f"{self.server.url}/{name}/commit/{COMMIT}"  # type: ignore[attr-defined]
        return self._json({"success": True, "commitOid": COMMIT, "commitUrl": url})

    def do_HEAD(self) -> None:
        self._file(content=False)

    def do_GET(self) -> None:
        self._file(content=True)

    def _file(self, content: bool) -> None:
        owner, name, _, _, *path = self.path.strip("/").split("/")
        repository = self.server.repositories.get(f"{owner}/{name}")  # type: ignore[attr-defined]
        data = (repository or {}).get("/".join(path))
        if data is None:
            return self._answer(404, b"", {"X-Error-Code": "RepoNotFound" if repository is None else "EntryNotFound"})
        tag = hashlib.sha256(data).hexdigest()
        return self._answer(200, data, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}, content)

    def _json(self, answer: object) -> None:
        self._answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _answer(self, code: int, data: bytes, headers: dict[str, str], content: bool = True) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if content:
            self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Print nothing: clients may close a connection at any time, and the tests read what is printed."""


@contextmanager
def hub() -> Iterator[tuple[str, dict[str, dict[str, bytes]]]]:
    """The address of a running hub, and its repositories: files by name."""
    server = _Server(("127.0.0.1", 0), _Hub)
    repositories: dict[str, dict[str, bytes]] = {}
    server.repositories, server.url = repositories, f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.url, repositories  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
