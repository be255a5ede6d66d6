"""Vast.ai's REST API: addresses with their trailing slashes, pages, and the paces that it counts apart for each of them.

After its own OpenAPI file (August 2026), which is wrong in places: ``env`` of a purchase is an object, and ``type`` of a search is
spelled ``on-demand``, as its own client does.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from peft_studio.connectors.base import door as door_module
from peft_studio.connectors.base.answer import Answer, unreadable
from peft_studio.connectors.base.buying import buy_once, in_doubt
from peft_studio.connectors.base.door import Door
from peft_studio.connectors.base.patience import Limits
from peft_studio.connectors.vastai.errors import PLATFORM, MadeAnyway, build_no, read_error
from peft_studio.core.errors import Forbidden, NotFound, RateLimited, Unavailable
from peft_studio.core.redact import Secret

# Requests a second and how many at once: Vast.ai names the seconds between two of a kind in its 429s.
PACE = (1.0, 2)
SEARCH_PACE = (0.5, 2)
CREATE_PACE = (1 / 4.5, 1)
DESTROY_PACE = (1 / 3.0, 1)
CREATE_LIMITS = Limits(read_s=60.0, total_s=90.0)
PAGE = 25  # the most that it gives
MOST_PAGES = 400
CHARGES_PAGE = 500
LOG_TRIES, LOG_WAIT_S = 30, 0.3  # its own client asks every 0.3 s for 9 s


class VastApi:
    """Calls of the API. ``VAST_URL`` names another address of it."""

    def __init__(self, key: Secret) -> None:
        self.address = (os.environ.get("VAST_URL") or "https://console.vast.ai").rstrip("/")
        self._no_search_until = 0.0

        def credentials() -> Mapping[str, str]:
            return {"Authorization": f"Bearer {key.reveal()}"}

        def make(lane: str, pace: tuple[float, int], limits: Limits | None = None) -> Door:
            return Door(
                PLATFORM,
                self.address,
                credentials=credentials,
                limits=limits,
                pace=(*pace, lane),
                read_error=read_error,
            )

        self._door = make("", PACE)
        self._searches = make("search", SEARCH_PACE)
        self._creates = make("create", CREATE_PACE, CREATE_LIMITS)
        self._destroys = make("destroy", DESTROY_PACE)

    def me(self) -> Mapping[str, Any]:
        """Whose key it is."""
        return _agreed(self._door.get("/api/v0/users/current/"))

    def search(self, filters: Mapping[str, Any]) -> list[Any]:
        """Machines on offer now. Each search counts against a daily quota; once that is used up, none is sent until midnight UTC."""
        left_s = self._no_search_until - time.monotonic()
        if left_s > 0:
            raise RateLimited(
                "Vast.ai's searches of today are used up; there are new ones at midnight UTC. Nothing was sent.",
                hint="Offers that were found before can still be bought.", platform=PLATFORM.name, retry_after_s=left_s,
            )  # fmt: skip
        try:
            answer = self._searches.request("POST", "/api/v0/bundles/", json=filters, repeatable=True)
        except RateLimited as exc:
            if exc.status is not None and exc.retry_after_s is not None and exc.retry_after_s > CREATE_LIMITS.total_s:
                self._no_search_until = time.monotonic() + exc.retry_after_s
            raise
        _agreed(answer)
        return answer.listed("offers")

    def create(self, ask: str, body: Mapping[str, Any]) -> str:
        """Accept an offer, by one request alone, and return the machine's number."""
        try:
            said = buy_once(self._creates, "PUT", f"/api/v0/asks/{ask}/", json=body)
        except MadeAnyway as exc:
            raise in_doubt(exc) from None
        made = said.get("new_contract")
        if said.get("success") is False:
            error = build_no(said, Answer(PLATFORM, 200, {}, json.dumps(said).encode(), ""))
            raise in_doubt(error) if isinstance(error, MadeAnyway) else error
        if not isinstance(made, int) or isinstance(made, bool):
            raise in_doubt(unreadable(PLATFORM, "no number of the machine that was bought"))
        return str(made)

    def list_instances(self) -> list[Mapping[str, Any]]:
        """All machines of the account: every page, or an error.

        Raises:
            BadResponse: A page is missing, or there are fewer machines than Vast.ai counts.
        """
        params = {
            "limit": PAGE,
            "order_by": json.dumps([{"col": "id", "dir": "asc"}]),
        }  # new ones come last, and none is passed over
        found, last = self._pages("/api/v1/instances/", params, "instances")
        total = last.get("total_instances")
        if isinstance(total, int) and len(found) < total:
            raise unreadable(PLATFORM, f"{len(found)} of {total} machines")
        return found

    def destroy(self, number: str) -> None:
        """End a machine and delete its disk. As often as one likes.

        Raises:
            NoSuch: There is none of that number.
        """
        _agreed(self._destroys.request("DELETE", f"/api/v0/instances/{number}/"))

    def read_log(self, number: str, *, tail: int) -> list[str]:
        """The last lines that a machine printed: Vast.ai puts them into a file elsewhere, which comes after a while."""
        asked = _agreed(
            self._door.request("PUT", f"/api/v0/instances/request_logs/{number}/", json={"tail": str(tail)})
        )
        url = asked.get("result_url")
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            raise unreadable(PLATFORM, "no address of the log")
        for _ in range(LOG_TRIES):
            try:
                answer = self._door.get(url)  # the key stays behind: it goes to Vast.ai's own origin alone
            except (NotFound, Forbidden):  # S3 says 403 for what is not there yet
                door_module.pause(LOG_WAIT_S)
                continue
            return answer.content.decode("utf-8", "replace").splitlines()
        raise Unavailable(
            "Vast.ai did not bring the log of this machine in time.", hint="Try again.", platform=PLATFORM.name
        )

    def list_charges(self, *, since_s: int, until_s: int) -> list[Mapping[str, Any]]:
        """What machines cost between two times, a row a machine."""
        wanted = {"day": {"gte": since_s, "lte": until_s}, "type": {"in": ["instance"]}}
        params = {"select_filters": json.dumps(wanted), "limit": CHARGES_PAGE, "latest_first": "false"}
        return self._pages("/api/v0/charges/", params, "results")[0]

    def _pages(
        self, path: str, params: Mapping[str, Any], name: str
    ) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
        """The rows of all pages, and the last page."""
        found: list[Mapping[str, Any]] = []
        token, seen = None, set[str]()
        for _ in range(MOST_PAGES):
            answer = self._door.get(path, {**params, "after_token": token})
            page = _agreed(answer)
            rows = answer.listed(name)
            if not all(isinstance(row, Mapping) for row in rows):
                raise unreadable(PLATFORM, "something else where an object belongs")
            found += rows
            token = page.get("next_token")
            if token is None:
                return found, page
            if not isinstance(token, str) or token in seen:
                break
            seen.add(token)
        raise unreadable(PLATFORM, "pages without an end")


def _agreed(answer: Answer) -> dict[str, Any]:
    """A body that does not say no in an answer with status 200."""
    said = answer.record()
    if said.get("success") is False:
        raise build_no(said, answer)
    return said
