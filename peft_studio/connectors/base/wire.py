"""Connections under the HTTP door: TLS that is always verified, proxies by environment, and a deadline that no slow server outlives.

httpx's timeouts bound each wait for a piece, so a server that sends a byte a second holds a caller for ever. Here every read and
write may take at most what is left of the whole call. Knows sockets; knows nothing of retries, credentials or what an answer means.
"""

from __future__ import annotations

import functools
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any

import httpcore
import httpx

CONNECTIONS = 8  # at once to one platform, and its answers are small
IDLE_S = 15.0  # common load balancers close idle connections after 60 s
PIECE_BYTES = 64 * 2**10


class Wire:
    """Sends requests and reads answers. One a platform; any thread may use it.

    A request that must not be sent twice goes over a connection of its own: an idle one may have been closed by the other side
    at this moment, and then nobody can say whether the request arrived.
    """

    def __init__(self, certificate: str | None = None) -> None:
        """``certificate``, in PEM, is trusted in place of the world's authorities: that of a machine of ours."""
        self._trusted = trust_only(certificate) if certificate else None
        self._backend = _Backend()
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, bool], httpcore.ConnectionPool] = {}

    def send(
        self,
        request: httpx.Request,
        *,
        until: float,
        timeouts: dict[str, float],
        fresh: bool = False,
        body_until: float | None = None,
    ) -> httpx.Response:
        """Send, and return the answer with its body still to be read; the caller closes it.

        ``until``: the time of ``time.monotonic`` after which nothing is waited for any more, the body included unless ``body_until``
        gives it a time of its own.

        Raises:
            httpcore.NetworkError, TimeoutException, ProtocolError, ProxyError: As httpcore says it.
        """
        self._backend.clock.until = until
        url = request.url
        sent = self._pool(url, fresh).handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions={"timeout": timeouts},
            )
        )
        return httpx.Response(
            sent.status,
            headers=sent.headers,
            stream=_Body(sent, self._backend.clock, body_until or until),
            request=request,
        )

    def close(self) -> None:
        """Close idle connections. The wire opens new ones when it is used again."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.close()

    def _pool(self, url: httpx.URL, fresh: bool) -> httpcore.ConnectionPool:
        proxy = find_proxy(url)
        with self._lock:
            if (proxy, fresh) not in self._pools:
                options: dict[str, Any] = {
                    "ssl_context": self._trusted or trusted(), "max_connections": CONNECTIONS, "keepalive_expiry": IDLE_S,
                    "max_keepalive_connections": 0 if fresh else CONNECTIONS, "network_backend": self._backend,
                }  # fmt: skip
                if proxy:
                    by = httpx.Proxy(proxy)
                    self._pools[proxy, fresh] = httpcore.HTTPProxy(str(by.url), proxy_auth=by.raw_auth, **options)
                else:
                    self._pools[proxy, fresh] = httpcore.ConnectionPool(**options)
            return self._pools[proxy, fresh]


@functools.cache
def trusted() -> ssl.SSLContext:
    """The one TLS context: certificates and host names are checked. ``SSL_CERT_FILE`` names a company's own authority."""
    return httpx.create_ssl_context()


def trust_only(certificate: str) -> ssl.SSLContext:
    """A context that accepts this certificate, in PEM, and no other. It says who is there, so the name does not matter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # one certificate is trusted at all: a machine's address is known after it only
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=certificate)
    return context


def find_proxy(url: httpx.URL) -> str:
    """The proxy that ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` name for this address; empty for none."""
    if is_loopback(url.host) or urllib.request.proxy_bypass(url.host):
        return ""
    named = urllib.request.getproxies()
    return named.get(url.scheme) or named.get("all") or ""


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own and nobody can listen in on it."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class _Clock(threading.local):
    """When the call that this thread makes has to be over."""

    until = float("inf")

    def left(self, timeout: float | None, error: type[httpcore.TimeoutException]) -> float:
        left = self.until - time.monotonic()
        if left <= 0:
            raise error("the whole call took too long")
        return left if timeout is None else min(timeout, left)


class _Backend(httpcore.SyncBackend):
    def __init__(self) -> None:
        super().__init__()
        self.clock = _Clock()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = self.clock.left(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, left, local_address, socket_options), self.clock)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, clock: _Clock) -> None:
        self._inner, self._clock = inner, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._clock.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), PIECE_BYTES):
            self._inner.write(buffer[start : start + PIECE_BYTES], self._clock.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._clock.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Body(httpx.SyncByteStream):
    """A body that keeps to its own call's deadline, whatever its thread has called in between."""

    def __init__(self, answer: httpcore.Response, clock: _Clock, until: float) -> None:
        self._answer, self._clock, self._until = answer, clock, until

    def __iter__(self) -> Iterator[bytes]:
        self._clock.until = self._until
        for piece in self._answer.iter_stream():
            yield piece
            self._clock.until = self._until

    def close(self) -> None:
        self._answer.close()
