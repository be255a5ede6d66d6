"""The hub's routes: who asks, search, repository info, tree listing, and files by HEAD and GET with etags, ranges and a CDN redirect."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.emulators.hub.listing import Reply, list_models, whoami
from tests.emulators.hub.publishing import publish
from tests.emulators.hub.state import Hub, Repo, blob_id, is_large, sha256
from tests.emulators.hub.stored import Stored

_API = re.compile(r"^/api/(models|datasets)/([^/]+/[^/]+?)(?:/(revision|tree)/([^/]+))?$")
_FILE = re.compile(r"^/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")
_CDN = re.compile(r"^/cdn/([0-9a-f]{64})$")


@contextlib.contextmanager
def serve_hub(hub: Hub) -> Iterator[str]:
    """Serve ``hub`` on loopback and give its address, to be used as ``HF_ENDPOINT``."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._route()

    def do_HEAD(self) -> None:
        self._route()

    def do_POST(self) -> None:
        self._publish()

    def do_PUT(self) -> None:
        self._publish()

    def _publish(self) -> None:
        """What changes something; see ``publishing``."""
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = f"{self.command} {path}"
        self.hub.asked.append(asked)
        reply = (
            Reply(503, {})
            if self.hub.down
            else publish(self.hub, asked, body, self._token, self.server.server_address[1])
        )
        if asked == self.hub.held:
            self.hub.reached.set()
            self.hub.release.wait(60)
            self.close_connection = True
        elif asked in self.hub.lost_replies:
            self.hub.lost_replies.remove(asked)
            self.close_connection = True  # done, and nobody hears of it
        else:
            self._reply(reply)

    def log_message(self, format: str, *args: object) -> None:
        """The state keeps the record."""

    def _route(self) -> None:
        path, query = unquote(urlsplit(self.path).path), parse_qs(urlsplit(self.path).query)
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.down:
            self._answer(503, b"{}")
        elif path == "/api/agent-harnesses":  # huggingface_hub 2.4 asks this once a day, to fill its user agent
            self._answer(200, b'{"standardEnvVars": [], "harnesses": {}}', {"Content-Type": "application/json"})
        elif path == "/api/whoami-v2":
            self._reply(whoami(self.hub, self._token))
        elif path == "/api/models":
            self._reply(list_models(self.hub, self._token, query, f"http://{self.headers['Host']}"))
        elif match := _API.match(path):
            self._api(*match.groups(), blobs=query.get("blobs") in (["true"], ["True"]))
        elif match := _FILE.match(path):
            self._file(*match.groups())
        elif match := _CDN.match(path):
            self._cdn(match[1])
        else:
            self.hub.unknown.append(path)
            self._answer(500, b"{}")

    def _reply(self, reply: Reply) -> None:
        headers = {"Content-Type": "application/json; charset=utf-8", **reply.headers}
        self._answer(reply.status, json.dumps(reply.body).encode(), headers)

    def _api(self, kind: str, repo_id: str, what: str | None, revision: str | None, *, blobs: bool) -> None:
        repo = self._readable(kind, repo_id)
        if repo is None:
            return
        if revision not in (None, repo.branch, repo.commit):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        body = repo.tree() if what == "tree" else repo.info(blobs=blobs)
        self._answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _file(self, prefix: str | None, repo_id: str, revision: str, path: str) -> None:
        repo = self._readable("datasets" if prefix else "models", repo_id)
        if repo is None:
            return
        if revision not in (repo.branch, repo.commit):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif repo.gated and self._token not in repo.readers:
            # Without a token the hub answers 401, with one that was not let in 403; the code is the same.
            self._refuse(403 if self._token else 401, "GatedRepo", f"Access to model {repo_id} is restricted.")
        elif path not in repo.files:
            self._refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": repo.commit})
        elif is_large(path):
            self._redirect(repo, repo.files[path])
        else:
            content = repo.files[path]
            self._content(content, {"X-Repo-Commit": repo.commit, "ETag": f'"{blob_id(content)}"'})

    def _redirect(self, repo: Repo, content: bytes | Stored) -> None:
        port = self.server.server_address[1]
        headers = {
            "X-Repo-Commit": repo.commit,
            "X-Linked-Etag": f'"{sha256(content)}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"http://localhost:{port}/cdn/{sha256(content)}",  # another host name: tokens must not follow
        }
        self._answer(302, b"", headers)

    def _cdn(self, digest: str) -> None:
        if self._token:
            self.hub.tokens_at_cdn.append(self.path)
        contents = (content for repo in self.hub.repos for content in repo.files.values())
        found = next((content for content in contents if sha256(content) == digest), None)
        if found is None:
            self._answer(404, b"")
        else:
            self._content(found, {"ETag": f'"{digest}"'})

    def _readable(self, kind: str, repo_id: str) -> Repo | None:
        repo = self.hub.find(kind, repo_id)
        if repo is None or (repo.private and self._token not in repo.readers):
            # What is private looks exactly like what is not there; without a token both are 401.
            self._refuse(404 if self._token else 401, "RepoNotFound", "Repository not found")
            return None
        return repo

    @property
    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _content(self, content: bytes | Stored, headers: dict[str, str]) -> None:
        span = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range") or "")
        if span and self.headers.get("If-Range", headers["ETag"]) != headers["ETag"]:
            span = None
        first, last = int(span[1]) if span else 0, len(content) - 1
        if span and first > last:
            self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        last = min(int(span[2] or last), last) if span else last
        if self.path.startswith("/cdn/") and self.command == "GET":
            self.hub.spans.append((first, last))
            if self.hub.cuts:
                self._cut(content, first, last, headers)
                return
        status = 206 if span else 200
        named = {"Content-Range": f"bytes {first}-{last}/{len(content)}"} if span else {"Accept-Ranges": "bytes"}
        if isinstance(content, Stored):
            self._head(status, last + 1 - first, {**headers, **named})
            if self.command != "HEAD":
                self.wfile.flush()
                with contextlib.suppress(OSError):  # whoever asked has gone
                    content.send(self.connection, first, last)
        else:
            self._answer(status, content[first : last + 1], {**headers, **named})

    def _cut(self, content: bytes | Stored, first: int, last: int, headers: dict[str, str]) -> None:
        """Promise all that was asked for and send less."""
        assert isinstance(content, bytes)
        span = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self._head(206 if self.headers.get("Range") else 200, last + 1 - first, {**headers, **span})
        self.wfile.write(content[first : min(last + 1, first + self.hub.cuts.pop(0))])
        self.close_connection = True

    def _refuse(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"error": message}).encode()
        self._answer(status, body, {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})})

    def _head(self, status: int, size: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, len(body), headers or {})
        if self.command != "HEAD":
            self.wfile.write(body)
