"""One attempt of a call: who we say we are, where credentials may go, which redirects are followed, how much is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import httpx

from peft_studio import __version__
from peft_studio.connectors.base.answer import Platform, unreadable
from peft_studio.connectors.base.failures import FAILURES, Miss, build_miss
from peft_studio.connectors.base.patience import Limits
from peft_studio.connectors.base.wire import Wire, is_loopback
from peft_studio.core.errors import BadResponse, NotAuthorised, Untrusted

Content = (
    bytes | Iterable[bytes]
)  # what can be begun anew for every attempt; with a Content-Length, or it is sent in chunks
Credentials = Callable[[], Mapping[str, str]]  # asked for at the moment of sending, so that nobody else holds the value

USER_AGENT = f"peft-studio/{__version__}"
MOVED = frozenset({301, 302, 303, 307, 308})
_SHORTEST_SECRET = 6  # shorter values would tear holes into ordinary text


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked for. ``twice``: it may be sent a second time; ``until``: when all of it must be over, by time.monotonic, but for
    a body with a time of its own, ``body_until``."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    content: Content | None
    twice: bool
    until: float
    body_until: float | None = None


class Courier:
    """Carries calls to one platform. Threads may share one."""

    def __init__(
        self,
        platform: Platform,
        base_url: str,
        *,
        credentials: Credentials | None,
        limits: Limits,
        redact: Callable[[str], str],
        certificate: str | None = None,
    ) -> None:
        self.platform = platform
        self.base = httpx.URL(base_url.rstrip("/") + "/")
        self._credentials = credentials
        self._limits = limits
        self._redact = redact
        self._wire = Wire(certificate)

    def send(self, call: Call) -> httpx.Response:
        """Send a call and follow where it is sent on to; the body is still to be read.

        Raises:
            Miss: No answer came.
            Untrusted: A redirect would leave TLS, or the key would travel in the clear.
        """
        url = call.url
        for _ in range(self._limits.redirects + 1):
            response = self._send(call, url)
            location = response.headers.get("Location", "")
            if response.status_code not in MOVED or not location:
                return response
            response.close()
            url = self._moved(call, url, location)
        raise BadResponse(
            f"{self.platform.title} sends from one address to the next without end.",
            hint="Try again later; if it stays, look at the address that was asked for.",
            platform=self.platform.name,
        )

    def pieces(
        self, call: Call, response: httpx.Response, *, at_most: int | None = None, packed: bool = False
    ) -> Iterator[bytes]:
        """The body, unpacked unless ``packed``. Errors of the wire come as Miss.

        Raises:
            BadResponse: It is larger than ``at_most`` bytes.
        """
        size = 0
        try:
            for piece in response.iter_raw() if packed else response.iter_bytes():
                size += len(piece)
                if at_most is not None and size > at_most:
                    raise unreadable(self.platform, f"more than {at_most / 1e6:.0f} MB", status=response.status_code)
                yield piece
        except FAILURES as exc:
            raise self._miss(call, exc, response.request.url.host) from exc

    def redact(self, text: str) -> str:
        """A text without the credentials of this door and without what the given redactor knows."""
        for value in self._secrets():
            text = text.replace(value, "***")
        return self._redact(text)

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def _send(self, call: Call, url: httpx.URL) -> httpx.Response:
        own = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"}
        if call.content is not None:
            own["Content-Type"] = "application/json"
        request = httpx.Request(
            call.method, url, headers={**own, **call.headers, **self._credentials_for(url)}, content=call.content
        )
        try:
            return self._wire.send(
                request,
                until=call.until,
                timeouts=self._limits.timeouts,
                fresh=not call.twice,
                body_until=call.body_until,
            )
        except FAILURES as exc:
            raise self._miss(call, exc, url.host) from exc

    def _credentials_for(self, url: httpx.URL) -> Mapping[str, str]:
        """Credentials, for the origin they are for."""
        found = self._credentials() if self._credentials and _origin(url) == _origin(self.base) else {}
        if found and url.scheme != "https" and not is_loopback(url.host):
            raise Untrusted(
                f"A key would travel unencrypted to {url.host}. Nothing was sent.",
                hint="Use an https:// address; http:// is for this machine (localhost) alone.",
                platform=self.platform.name,
            )
        if any(not value.isascii() or not value.isprintable() for value in found.values()):
            raise NotAuthorised(
                f"The key for {self.platform.title} has characters that no key has. Nothing was sent.",
                hint="Copy it again, without line ends or quotation marks around it.",
                platform=self.platform.name,
            )
        return found

    def _secrets(self) -> list[str]:
        values = self._credentials().values() if self._credentials else ()
        words = {word for value in values for word in (value, value.rpartition(" ")[2])}
        return sorted((word for word in words if len(word) >= _SHORTEST_SECRET), key=len, reverse=True)

    def _moved(self, call: Call, url: httpx.URL, location: str) -> httpx.URL:
        """Where a redirect leads, if it may be followed."""
        try:
            target = url.join(location)
        except httpx.InvalidURL as exc:
            raise unreadable(self.platform, "a redirect to nowhere") from exc
        if call.method not in ("GET", "HEAD"):
            raise BadResponse(
                f"{self.platform.title} has moved what was to be changed to {target.host}. Nothing was sent there.",
                hint="The address or name has changed; use the new one.",
                platform=self.platform.name,
            )
        if target.scheme != url.scheme and target.scheme != "https":
            raise Untrusted(
                f"{self.platform.title} sends on to {target.scheme or 'no'}://, away from TLS. It was not followed.",
                hint="Somebody between here and there may be at work: try another network.",
                platform=self.platform.name,
            )
        return target

    def _miss(self, call: Call, exc: Exception, host: str) -> Miss:
        return build_miss(self.platform, exc, host=host, twice=call.twice, redact=self.redact)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)
