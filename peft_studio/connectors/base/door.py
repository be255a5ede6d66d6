"""The one door to a platform's HTTP API: what every connector's ``api.py`` speaks through.

Every call is bounded as a whole, repeated only where that is safe, verified, paced and capped, and its errors are typed. Credentials
go to the origin they are for and nowhere else, whatever a redirect says. Knows nothing of any platform.
"""

from __future__ import annotations

import json as json_text
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from peft_studio.connectors.base.answer import Answer, Platform, build_error, unreadable
from peft_studio.connectors.base.courier import Call, Content, Courier, Credentials
from peft_studio.connectors.base.failures import Miss
from peft_studio.connectors.base.patience import Limits, backoff_s, pace_for, parse_retry_after
from peft_studio.core.errors import ConnectorError, RateLimited
from peft_studio.core.markup import visible
from peft_studio.core.redact import REDACTOR

SAFE_TWICE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})  # RFC 9110, 9.2.2
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
CLOSED_AT_MOST_S = 900.0  # a Retry-After may close a platform for this process no longer
STREAM_S = 24 * 3600.0

T = TypeVar("T")
pause = time.sleep


@dataclass(frozen=True, slots=True)
class Body:
    """An answer whose body is still to come. Header names are in lower case; ``pieces`` raises ConnectorError."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]


class Door:
    """A platform's API. Threads may share one.

    Args:
        platform: Whom it leads to.
        base_url: What paths are relative to. Credentials go to its scheme, host and port alone.
        credentials: Headers that say who asks.
        limits: What a call may take.
        pace: Requests a second to this host, and how many at once, of all doors in this process together; with a name those of that name,
            which the platform counts apart.
        redact: Takes secrets out of text that becomes part of an error.
        read_error: The platform's own meaning of an error answer, where it says more than the status does; else None.
        certificate: The one that is trusted in place of the world's authorities, in PEM.
    """

    def __init__(
        self,
        platform: Platform,
        base_url: str,
        *,
        credentials: Credentials | None = None,
        limits: Limits | None = None,
        pace: tuple[float, int] | tuple[float, int, str] = (5.0, 10),
        redact: Callable[[str], str] = REDACTOR.text,
        read_error: Callable[[Answer], ConnectorError | None] = lambda answer: None,
        certificate: str | None = None,
    ) -> None:
        self.platform = platform
        self._limits = limits or Limits()
        self._read_error = read_error
        self._courier = Courier(
            platform, base_url, credentials=credentials, limits=self._limits, redact=redact, certificate=certificate
        )
        self._pace = pace_for(
            f"{self._courier.base.netloc.decode()} {''.join(map(str, pace[2:]))}", per_s=pace[0], burst=pace[1]
        )

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Ask for something; see :meth:`request`."""
        return self.request("GET", path, params=params)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> Answer:
        """Send a request and return its answer, whole, with a status below 400.

        Args:
            path: Relative to the base, or an absolute address such as the one of a next page.
            params: A list becomes a name that comes several times; None is left out.
            content: A body that is no JSON; its type belongs into ``headers``.
            repeatable: Whether doing it twice is the same as once; else by the method, and then a POST is not. What is not
                repeatable is tried again only where it surely did not leave.

        Raises:
            ConnectorError: Its subclass says what is wrong, its hint what to do.
        """
        url = self._courier.base.join(path.removeprefix("/"))
        given = {name: value for name, value in (params or {}).items() if value is not None}
        call = Call(
            method=method,
            url=url.copy_merge_params(given) if given else url,
            headers=headers or {},
            content=content if json is None else json_text.dumps(json, allow_nan=False).encode(),
            twice=method in SAFE_TWICE if repeatable is None else repeatable,
            until=time.monotonic() + self._limits.total_s,
        )
        return self._patiently(call, lambda: self._whole(call))

    def lines(self, method: str, path: str, *, json: Any = None, total_s: float = STREAM_S) -> Iterator[bytes]:
        """The lines of an answer as they arrive. Nothing is repeated once the answer has begun.

        ``total_s`` bounds the whole stream; between two pieces the limits' ``read_s`` does.

        Raises:
            ConnectorError: As :meth:`request`; BadResponse where the stream breaks or a line is larger than an answer may be.
        """
        content = None if json is None else json_text.dumps(json, allow_nan=False).encode()
        url = self._courier.base.join(path.removeprefix("/"))
        call = Call(method, url, {}, content, twice=False, until=time.monotonic() + total_s)
        kept = b""
        with closing(self._patiently(call, lambda: self._opened(call))) as response:
            try:
                for piece in self._courier.pieces(call, response):
                    *whole, kept = (kept + piece).split(b"\n")
                    yield from (line for line in whole if line.strip())
                    if len(kept) > self._limits.answer_bytes:
                        raise unreadable(self.platform, "a line without an end")
            except Miss as miss:
                raise miss.error from miss.__cause__
        if kept.strip():
            yield kept

    @contextmanager
    def opened(self, path: str, *, headers: Mapping[str, str], total_s: float = STREAM_S) -> Iterator[Body]:
        """Ask for something large and read its body piece by piece, as it was packed for the way.

        Raises:
            ConnectorError: As :meth:`request`; nothing is repeated once the answer has begun.
        """
        now = time.monotonic()
        url = self._courier.base.join(path.removeprefix("/"))
        call = Call("GET", url, headers, None, True, now + self._limits.total_s, body_until=now + total_s)
        with closing(self._patiently(call, lambda: self._opened(call))) as response:
            known = {name.lower(): value for name, value in response.headers.items()}
            yield Body(response.status_code, known, self._pieces(call, response))

    def _pieces(self, call: Call, response: httpx.Response) -> Iterator[bytes]:
        try:
            yield from self._courier.pieces(call, response, packed=True)
        except Miss as miss:
            raise miss.error from miss.__cause__

    def close(self) -> None:
        """Close idle connections."""
        self._courier.close()

    def _patiently(self, call: Call, attempt: Callable[[], T]) -> T:
        """Attempts until one hits, with pauses between them, as long as the call may take."""
        for count in range(self._limits.attempts):
            self._wait_for_turn(call)
            try:
                return attempt()
            except Miss as miss:
                wait_s = (miss.wait_s or 0.0) + backoff_s(count, first_s=self._limits.first_wait_s)
                last = count + 1 == self._limits.attempts or time.monotonic() + wait_s >= call.until
                if last or not miss.again or wait_s > self._limits.longest_wait_s:
                    raise miss.error from miss.__cause__
                pause(wait_s)
        raise AssertionError("the last attempt returns or raises")

    def _wait_for_turn(self, call: Call) -> None:
        now = time.monotonic()
        wait_s = self._pace.reserve(now)
        if now + wait_s >= call.until or wait_s > self._limits.longest_wait_s:
            self._pace.give_back()
            raise RateLimited(
                f"{self.platform.title} asked for fewer requests, or has been asked much; our turn comes in {wait_s:.0f} s.",
                hint="Try again then. Nothing was sent.", platform=self.platform.name, retry_after_s=wait_s,
            )  # fmt: skip
        if wait_s:
            pause(wait_s)

    def _whole(self, call: Call) -> Answer:
        with closing(self._opened(call)) as response:
            return self._answer(call, response)

    def _opened(self, call: Call) -> httpx.Response:
        """An answer with a status below 400, its body still to come."""
        response = self._courier.send(call)
        if response.status_code < 400:
            return response
        with closing(response):
            answer = self._answer(call, response)
        own = self._read_error(answer)
        after_s = parse_retry_after(answer.headers.get("retry-after")) or (own.retry_after_s if own else None)
        if after_s is not None and answer.status in (429, 503):
            self._pace.close_until(time.monotonic() + min(after_s, CLOSED_AT_MOST_S))
        error = own or build_error(answer, retry_after_s=after_s)
        error.message = visible(self._courier.redact(error.message))
        error.args = (error.message,)
        error.may_have_happened = answer.status >= 500 and not call.twice
        raise Miss(error, again=call.twice and answer.status in AGAIN, wait_s=after_s)

    def _answer(self, call: Call, response: httpx.Response) -> Answer:
        content = b"".join(self._courier.pieces(call, response, at_most=self._limits.answer_bytes))
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(self.platform, response.status_code, headers, content, str(response.request.url))
