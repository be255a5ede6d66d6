"""A call that got no usable answer: what to tell, and whether it may be tried again. Knows httpcore's errors, so that nobody else does."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import httpcore
import httpx

from peft_studio.connectors.base.answer import Platform, unreadable
from peft_studio.core.errors import ConnectorError, Unavailable, Untrusted

FAILURES = (
    httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError,
    httpcore.UnsupportedProtocol, httpx.DecodingError,
)  # fmt: skip
_NOT_SENT = (
    httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout, httpcore.ProxyError, httpcore.UnsupportedProtocol,
)  # fmt: skip


class Miss(Exception):  # never leaves connectors.base: one attempt missed, the call may not have
    """One attempt without a usable answer. ``again``: another may follow, ``wait_s`` later where the platform said so."""

    def __init__(self, error: ConnectorError, *, again: bool, wait_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error, self.again, self.wait_s = error, again, wait_s


def build_miss(platform: Platform, exc: Exception, *, host: str, twice: bool, redact: Callable[[str], str]) -> Miss:
    """What an exception of httpcore or httpx means. ``twice``: the request may be sent a second time."""
    sent = not isinstance(exc, _NOT_SENT)
    certificate = _find_certificate_error(exc)
    if certificate is not None:
        return Miss(_untrusted(platform, host, certificate), again=False)
    if isinstance(exc, httpx.DecodingError):
        return Miss(unreadable(platform, "a body that cannot be unpacked"), again=twice)
    if isinstance(exc, httpcore.RemoteProtocolError) and "without sending complete" in str(exc):
        error: ConnectorError = unreadable(platform, "an answer that was cut short")
    else:
        error = Unavailable(
            f"{platform.title} {_what(exc)} ({host}{_why(exc, redact)}).", hint=_hint(exc), platform=platform.name
        )
    error.may_have_happened = sent and not twice
    return Miss(error, again=twice or not sent)


def _what(exc: Exception) -> str:
    if isinstance(exc, httpcore.ConnectTimeout):
        return "did not answer the call in time"
    if isinstance(exc, httpcore.ConnectError):
        return "cannot be reached"
    if isinstance(exc, httpcore.ProxyError):
        return "cannot be reached through the proxy"
    if isinstance(exc, httpcore.PoolTimeout):
        return "has too many calls of ours already"
    if isinstance(exc, httpcore.TimeoutException):
        return "took too long to answer"
    if isinstance(exc, httpcore.UnsupportedProtocol):
        return "has an address, or a proxy, of a kind that is not spoken here"
    return "broke the connection off"


def _hint(exc: Exception) -> str:
    if isinstance(exc, httpcore.ProxyError):
        return "Look at HTTPS_PROXY and NO_PROXY in the environment."
    if isinstance(exc, httpcore.UnsupportedProtocol):
        return "Addresses begin with https://, proxies with http:// or https://."
    if isinstance(exc, httpcore.ConnectError):
        return (
            "Look at the network, its proxy settings (HTTPS_PROXY) and the address; what is local goes on without it."
        )
    return "Try again in a few minutes."


def _why(exc: Exception, redact: Callable[[str], str]) -> str:
    words = redact(str(exc)).strip()
    return f": {words}" if words else ""


def _find_certificate_error(exc: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while exc is not None:
        if isinstance(exc, ssl.SSLCertVerificationError):
            return exc
        exc = exc.__cause__ or exc.__context__
    return None


def _untrusted(platform: Platform, host: str, exc: ssl.SSLCertVerificationError) -> Untrusted:
    return Untrusted(
        f"{host} could not prove that it is {platform.title}: {exc.verify_message}. Nothing was sent.",
        hint="Look at this machine's clock and network. Where a company's proxy opens TLS, SSL_CERT_FILE names its certificates. "
        "Verification cannot be turned off.",
        platform=platform.name,
    )
