"""The part that every emulator serves with: what no route takes fails, and each way a platform goes wrong arrives as it should."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from tests.emulators.loopback import Emulated, HangUp, Reply, Request, Routes, serve


@dataclass
class Shop(Emulated):
    goods: list[str] = field(default_factory=list)


ROUTES: Routes[Shop] = Routes()


@ROUTES.on("GET", "/goods/([^/]+)")
def show(shop: Shop, request: Request, name: str) -> Reply:
    return Reply(200, {"name": name, "there": name in shop.goods, "token": request.token})


@ROUTES.on("POST", "/goods")
def add(shop: Shop, request: Request) -> Reply:
    shop.goods.append(request.json()["name"])
    return Reply(201, {})


@ROUTES.on("GET", "/pieces")
def pieces(shop: Shop, request: Request) -> Reply:
    def given() -> Iterator[bytes]:
        yield b"one"
        if request.query.get("whole") != ["yes"]:
            raise HangUp
        yield b"two"

    return Reply(200, given())


def ask(address: str, method: str, target: str, body: str = "") -> tuple[int, bytes]:
    line = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    try:
        line.request(method, target, body, {"Authorization": "Bearer k"})
        reply = line.getresponse()
        return reply.status, reply.read()
    finally:
        line.close()


def test_routes_answer_by_method_and_whole_path() -> None:
    """With groups unescaped, JSON both ways, and HEAD as GET without a body; everything is kept."""
    shop = Shop(goods=["a b"])
    with serve(shop, ROUTES) as address:
        assert ask(address, "GET", "/goods/a%20b?x=1") == (200, b'{"name": "a b", "there": true, "token": "k"}')
        assert ask(address, "HEAD", "/goods/c") == (200, b"")
        assert ask(address, "POST", "/goods", '{"name": "c"}')[0] == 201
    assert shop.goods == ["a b", "c"]
    assert [str(one) for one in shop.asked] == ["GET /goods/a b", "HEAD /goods/c", "POST /goods"]


@pytest.mark.parametrize(("method", "target"), [("GET", "/good"), ("PUT", "/goods"), ("POST", "/goods")])
def test_what_no_route_takes_fails_the_test(method: str, target: str) -> None:
    """A path, a method, and a body over which the route breaks: 501 at once, and the block that served it fails."""
    with pytest.raises(AssertionError, match=target), serve(Shop(), ROUTES) as address:
        assert ask(address, method, target)[0] == 501


def test_replies_are_lost_before_and_after() -> None:
    """``instead`` does nothing, ``after`` and ``lost_replies`` come once it was done; each is used up."""
    shop = Shop()
    shop.instead["POST /goods"] = [Reply(429, {}, {"Retry-After": "1"})]
    with serve(shop, ROUTES) as address:
        assert ask(address, "POST", "/goods", '{"name": "a"}') == (429, b"{}")
        assert shop.goods == []
        shop.after["POST /goods"] = [Reply(500)]
        assert ask(address, "POST", "/goods", '{"name": "a"}') == (500, b"")
        shop.lost_replies.append("POST /goods")
        with pytest.raises(http.client.RemoteDisconnected):
            ask(address, "POST", "/goods", '{"name": "b"}')
        assert shop.goods == ["a", "b"]
        assert ask(address, "POST", "/goods", '{"name": "c"}') == (201, b"{}")


def test_an_answer_ends_too_early() -> None:
    """In the middle of its pieces, or short of the length it promised."""
    shop = Shop(instead={"GET /goods/a": [Reply(200, b"abc", {"Content-Length": "10"})]})
    with serve(shop, ROUTES) as address:
        assert ask(address, "GET", "/pieces?whole=yes") == (200, b"onetwo")
        for target in ("/pieces", "/goods/a"):
            with pytest.raises(http.client.IncompleteRead):
                ask(address, "GET", target)
