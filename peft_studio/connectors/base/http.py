"""Files from a run's agent, by ranges: the token in a header and nowhere else. Platforms are reached through ``door.py``."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import httpx

from peft_studio.core.errors import StudioError

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
CHUNK_BYTES = 8 * 2**20


def fetch_file(url: str, to: Path, *, token: str, tls: ssl.SSLContext | None = None) -> Path:
    """Download a file by ranges, going on from what ``to`` + ``.part`` already holds; in place only when it is whole.

    Raises:
        StudioError: The other side has no such file, or stopped answering.
    """
    part = to.with_name(to.name + ".part")
    to.parent.mkdir(parents=True, exist_ok=True)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        # An agent on this machine, at the end of a tunnel, or behind a certificate of ours: no proxy may come between.
        with (
            httpx.Client(
                timeout=TIMEOUT, headers=headers, trust_env=False, follow_redirects=False, verify=tls or True
            ) as client,
            part.open("ab") as file,
        ):
            size: int | None = None
            while size is None or file.tell() < size:
                first = file.tell()
                answer = client.get(url, headers={"Range": f"bytes={first}-{first + CHUNK_BYTES - 1}"})
                if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    if first == _total(answer):
                        break  # the part was already whole
                    file.truncate(0)  # of an older, longer file
                    file.seek(0)
                    continue
                answer.raise_for_status()
                size = _total(answer)
                file.write(answer.content)
    except httpx.HTTPError as exc:
        raise StudioError(
            f"Could not fetch {to.name}: {exc}", hint="Try again: the transfer goes on where it stopped."
        ) from exc
    os.replace(part, to)
    return to


def _total(answer: httpx.Response) -> int:
    """The size of the whole file, from ``Content-Range: bytes a-b/size``."""
    return int(answer.headers["Content-Range"].rpartition("/")[2])
