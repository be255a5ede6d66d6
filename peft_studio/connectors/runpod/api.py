"""RunPod's REST API v2: addresses, bodies, and its ways to say no. Version 1 ended in November 2026; its own client speaks neither.

Read from its published OpenAPI file (2.0.0) and documentation, November 2026.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from peft_studio.connectors.base.answer import Answer, Platform, build_error, find_words, unreadable
from peft_studio.connectors.base.buying import buy_once
from peft_studio.connectors.base.door import Door
from peft_studio.connectors.runpod import INFO
from peft_studio.core.errors import ConnectorError, Forbidden, Refused, SoldOut, Unavailable
from peft_studio.core.redact import Secret

PLATFORM = Platform(INFO.name, INFO.title, INFO.docs_url)
PACE = (1.0, 20)  # 60 requests a minute, as its RateLimit-Policy says
PAGE = "https://www.runpod.io/console"

# As of 2026-11-26. RunPod's own image, the one its API description names, which its hosts have at hand: Ubuntu 24.04 with Python 3.12.
# Its torch is not used: that of ours is installed, and brings CUDA 13.0 along, which only the host's driver must be new enough for.
IMAGE = "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"
MIN_CUDA = "13.0"  # what torch 2.13.0 on PyPI is built with (cuda-toolkit 13.0.3)

MOST_VARIABLES = 50
MOST_BYTES = 100_000  # of one variable: Linux takes 128 KiB
BOOT = "PEFT_STUDIO_BOOT"
RUN_BOOT = (
    f"""bash -c 'echo "${BOOT}" | base64 -d > "${{TMPDIR:-/tmp}}/boot.sh" && exec bash "${{TMPDIR:-/tmp}}/boot.sh"'"""
)

_NO_ROOM = re.compile(
    r"no longer any instances|no (\w+ )?(capacity|instances)|could not be placed|not (enough|have the) (\w+ )?resources"
    r"|out of stock|(currently )?unavailable|try a different machine", re.I
)  # fmt: skip
TAIL = 5000  # lines, the most that are given
STREAM_S = 4.0  # a stream never ends by itself


class RunPodApi:
    """Calls of one account. ``RUNPOD_URL`` names another address of the API, ``RUNPOD_PROXY_URL`` of its proxy, with {pod} and {port}."""

    def __init__(self, key: Secret | None) -> None:
        address = (os.environ.get("RUNPOD_URL") or "https://api.runpod.io").rstrip("/")
        self.own_pod = f"{address}/v2/pods/${{RUNPOD_POD_ID}}"
        self.proxy = os.environ.get("RUNPOD_PROXY_URL") or "https://{pod}-{port}.proxy.runpod.net"
        credentials = None if key is None else lambda: {"Authorization": f"Bearer {key.reveal()}"}
        self._door = Door(PLATFORM, address, credentials=credentials, pace=PACE, read_error=read_error)

    def list_pods(self) -> list[Any]:
        """All of them, those of clusters too. There are no pages."""
        return self._door.get("/v2/pods", {"includeClusterPods": "true"}).listed("pods")

    def list_gpus(self, *, count: int, cloud: str) -> list[Any]:
        """Kinds of GPU with prices, and how many there are on hosts that our image runs on."""
        params = {
            "include": "AVAILABILITY",
            "product": "POD",
            "count": count,
            "cloud": cloud,
            "minCudaVersion": MIN_CUDA,
        }
        return self._door.get("/v2/catalog/gpus", params).listed("gpus")

    def create_pod(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Buy one. Sent once."""
        return buy_once(self._door, "POST", "/v2/pods", json=body)

    def delete_pod(self, pod: str) -> None:
        """Delete one and its disk."""
        self._door.request("DELETE", f"/v2/pods/{quote(pod, safe='')}")

    def list_billing(self, since: datetime) -> list[Any]:
        """What each pod cost in each hour since then."""
        params = {"startTime": since.isoformat(timespec="seconds").replace("+00:00", "Z"), "bucketSize": "hour"}
        return self._door.get("/v2/billing/pods", params).listed("records")

    def read_logs(self, pod: str, after: str | None) -> Iterator[tuple[str, str]]:
        """``(time, line)``, for some seconds. The stream is made to be listened to, so it is left and not read to its end."""
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        headers |= {"Last-Event-ID": after} if after else {}
        path = f"/v2/pods/{quote(pod, safe='')}/logs?tail={TAIL}"
        with self._door.opened(path, headers=headers, total_s=STREAM_S) as body:
            if "text/event-stream" not in body.headers.get("content-type", ""):
                raise unreadable(PLATFORM, "something else than a stream of lines", status=body.status)
            kept = b""
            try:
                for piece in body.pieces:
                    *events, kept = (kept + piece).replace(b"\r\n", b"\n").split(b"\n\n")
                    yield from filter(None, map(_read_event, events))
            except Unavailable:
                return  # time is over, or the line broke: whoever asks again goes on after the last one


def build_create(
    *, label: str, offer: str, image: str | None, boot: str, env: Mapping[str, str], disk_gib: int, ports: tuple[int, ...]
) -> dict[str, Any]:  # fmt: skip
    """The body that buys what an offer's id names.

    The boot script travels in the environment, which only this account can see, as secrets do: arguments and images are for more eyes.

    Raises:
        Refused: It does not fit into what RunPod takes. Nothing was sent.
    """
    cloud, count, gpu, region = _split_offer(offer)
    variables = {**env, BOOT: base64.b64encode(boot.encode()).decode()}
    large = [name for name, value in variables.items() if len(value) > MOST_BYTES]
    if len(variables) > MOST_VARIABLES or large:
        what = (
            f"{large[0]} is longer than {MOST_BYTES:,} characters"
            if large
            else f"{len(variables)} variables are too many"
        )
        raise Refused(
            f"RunPod does not take that environment: {what}. Nothing was sent.",
            hint="Give it less.",
            platform=INFO.name,
        )
    return {
        "name": label, "image": image or IMAGE, "cloud": cloud, "disk": disk_gib, "env": variables, "args": RUN_BOOT,
        "gpu": {"id": gpu, "count": int(count), "minCudaVersion": MIN_CUDA},
        "ports": [f"{port}/tcp" if port == 22 else f"{port}/http" for port in ports],
        **({"dataCenterIds": [region]} if region else {}),
    }  # fmt: skip


def offer_id(*, cloud: str, count: int, gpu: str, region: str | None) -> str:
    """What :func:`build_create` reads again."""
    return "|".join((cloud, str(count), gpu, region or ""))


def _split_offer(offer: str) -> tuple[str, ...]:
    parts = tuple(offer.split("|"))
    if len(parts) != 4 or not parts[1].isdecimal():
        raise Refused(f"{offer!r} is no offer of RunPod.", hint="Take one from studio.offers().", platform=INFO.name)
    return parts


def read_error(answer: Answer) -> ConnectorError | None:
    """What RunPod means by 400, 402, 403 and 422, which are one status for several things."""
    error = build_error(answer)
    said = _said(answer)
    given: dict[str, Any] = {"platform": INFO.name, "status": answer.status}
    if answer.status == 400 and _NO_ROOM.search(said):
        return SoldOut(f"RunPod has none of these free now: {said}", hint="Take another offer.", **given)
    if answer.status == 402:
        return Refused(
            f"RunPod wants credit for an hour at least before it starts a machine: {said}",
            hint=f"Add credit at {PAGE}/user/billing; no other offer of RunPod will do without.", **given
        )  # fmt: skip
    if answer.status == 403:
        return Forbidden(
            f"RunPod knows this key, which may not do that: {said}",
            hint=f"Give a restricted or read-only key read and write access to pods at {INFO.docs_url}; some machines are closed to some accounts.",
            **given,
        )
    if answer.status == 422:
        return Refused(
            f"RunPod does not take the request as it was made: {said}",
            hint="That is an error of PEFT Studio or a change of RunPod's: please report it. No other offer will do.", **given,
        )  # fmt: skip
    return error


def _said(answer: Answer) -> str:
    """Its sentence, with the single violations that it lists."""
    try:
        found = json.loads(answer.content)
    except ValueError:
        found = None
    words = found.get("detail") if isinstance(found, dict) else None
    more = found.get("errors") if isinstance(found, dict) else None
    listed = [one for one in more if isinstance(one, str)] if isinstance(more, list) else []
    return "; ".join(
        [words if isinstance(words, str) and words else find_words(answer.content) or "no reason given", *listed]
    )[:600]


def _read_event(event: bytes) -> tuple[str, str] | None:
    """``(id, line)`` of a log event; None for a comment that keeps the line open."""
    fields = [line.partition(": ") for line in event.decode("utf-8", "replace").split("\n")]
    data = "\n".join(value for name, _, value in fields if name == "data")
    if not data:
        return None
    try:
        found = json.loads(data)
        line, cursor = str(found["line"]), str(found["ts"])
    except (ValueError, KeyError, TypeError) as exc:
        raise unreadable(PLATFORM, "a line of the log that cannot be read") from exc
    named = [value for name, _, value in fields if name == "id" and value]
    return (named[-1] if named else cursor), line
