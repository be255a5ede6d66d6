"""The Jobs API of a Ray cluster's dashboard: addresses, bodies, and errors that arrive as tracebacks.

Read from ray 2.60.0 (``ray/dashboard/modules``) and tried on a cluster of it, November 2026. The API's own version is 4.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from peft_studio.connectors.base.answer import Answer, Platform, build_error, unreadable
from peft_studio.connectors.base.buying import buy_once
from peft_studio.connectors.base.door import Door
from peft_studio.connectors.base.patience import Limits
from peft_studio.connectors.ray import INFO
from peft_studio.core.errors import ConnectorError, NotAuthorised, NotFound, Unavailable
from peft_studio.core.redact import Secret

PLATFORM = Platform(INFO.name, INFO.title)
PACE = (50.0, 100)  # the cluster is the user's own
LIMITS = Limits(connect_s=5.0)
PORT = 8265
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same content is the same package
FILES = {name: Path(__file__).with_name(name) for name in ("job.py", "mate.py", "together.py")}

_EXISTS = re.compile(r"already exists")
_LAST = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception): (.+)", re.M)


class RayApi:
    """Calls of one cluster. ``RAY_API_SERVER_ADDRESS`` names it where ``address`` does not."""

    def __init__(self, address: str | None, token: Secret | None) -> None:
        self.address = build_address(address or os.environ.get("RAY_API_SERVER_ADDRESS") or "127.0.0.1")
        credentials = None if token is None else lambda: {"Authorization": f"Bearer {token.reveal()}"}
        self._door = Door(
            PLATFORM, self.address, credentials=credentials, pace=PACE, limits=LIMITS, read_error=read_error
        )

    def get_version(self) -> str:
        """Ray's version there."""
        found = self._door.get("api/version").record().get("ray_version")
        if not isinstance(found, str):
            raise unreadable(PLATFORM, "no version: something else listens there")
        return found

    def list_nodes(self) -> list[Any]:
        """Its nodes, those that are gone among them."""
        found = self._door.get("nodes", {"view": "summary"}).record().get("data")
        if not isinstance(found, dict) or not isinstance(found.get("summary"), list):
            raise unreadable(PLATFORM, "no list of its nodes")
        nodes: list[Any] = found["summary"]
        return nodes

    def get_usage(self) -> Mapping[str, Any]:
        """By node and resource: how much is taken, and how much there is."""
        found: Any = self._door.get("api/cluster_status").record().get("data")
        for name in ("clusterStatus", "loadMetricsReport", "usageByNode"):
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def list_jobs(self) -> list[Any]:
        """All jobs that it remembers, ended ones among them."""
        return self._door.get("api/jobs/").listed()

    def find_job(self, job: str) -> dict[str, Any] | None:
        """One of them; None where there is none."""
        try:
            return self._door.get(f"api/jobs/{quote(job, safe='')}").record()
        except NotFound:
            return None

    def read_logs(self, job: str) -> str:
        """What a job printed so far; nothing where its node does not say."""
        found = self._door.get(f"api/jobs/{quote(job, safe='')}/logs").record().get("logs")
        return found if isinstance(found, str) else ""

    def put_package(self, package: bytes) -> str:
        """Leave the files of a job in the cluster; returns the address that the job gives them. The same content again is nothing.

        The cluster forgets them some minutes later, or with the last job that has them.
        """
        name = f"_ray_pkg_{hashlib.sha256(package).hexdigest()[:32]}.zip"
        self._door.request(
            "PUT", f"api/packages/gcs/{name}", content=package, headers={"Content-Type": "application/octet-stream"}
        )
        return f"gcs://{name}"

    def submit(self, body: Mapping[str, Any]) -> None:
        """Put a job in line. Sent once; one that is there already under this id is the one that was meant."""
        try:
            buy_once(self._door, "POST", "api/jobs/", json=body)
        except Unavailable as exc:
            if not (exc.may_have_happened and _EXISTS.search(exc.message)):
                raise

    def stop(self, job: str) -> None:
        """Have a job ended. One that still waits is ended when its turn comes, before it does anything."""
        self._door.request("POST", f"api/jobs/{quote(job, safe='')}/stop", repeatable=True)

    def delete(self, job: str) -> None:
        """Forget a job that has ended."""
        self._door.request("DELETE", f"api/jobs/{quote(job, safe='')}")


def build_address(given: str) -> str:
    """A base address from what people write: ``head``, ``head:8265``, ``https://…/ray``."""
    scheme, mark, rest = given.strip().rpartition("://")
    host, slash, path = rest.partition("/")
    if not mark and not re.search(r":\d+$", host):
        host = f"{host}:{PORT}"
    return f"{scheme or 'http'}://{host}{slash}{path}".rstrip("/") + "/"


def build_package(boot: str, secrets: Mapping[str, Secret]) -> bytes:
    """The files of a job. Secrets stand in one that the job deletes as it starts: its settings are shown to whoever sees the dashboard."""
    lines = "".join(f"{name} {secret.reveal()}\n" for name, secret in sorted(secrets.items()))
    ours = {name: path.read_text(encoding="utf-8") for name, path in FILES.items()}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**ours, "boot.sh": boot, "secrets": lines}.items():
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def read_error(answer: Answer) -> ConnectorError | None:
    """An error without the traceback that it arrives in; and which keys it does not take."""
    if answer.status == 403:
        return NotAuthorised(
            "The Ray cluster does not take this token.",
            hint="It is in RAY_AUTH_TOKEN or ~/.ray/auth_token of the cluster's head; connect again with it.",
            platform=INFO.name, status=403,
        )  # fmt: skip
    said = _LAST.findall(answer.content.decode("utf-8", "replace"))
    if not said:
        return None
    plain = json.dumps({"error": said[-1].strip()}).encode()
    return build_error(Answer(answer.platform, answer.status, answer.headers, plain, answer.url))
