"""The HTTP door against servers that misbehave on real sockets."""

from __future__ import annotations

import gzip
import inspect
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peft_studio.connectors.base import door as door_module
from peft_studio.connectors.base import wire
from peft_studio.connectors.base.answer import Platform
from peft_studio.connectors.base.door import Door
from peft_studio.connectors.base.patience import Limits
from peft_studio.core.errors import (
    BadResponse,
    ConnectorError,
    Forbidden,
    NotAuthorised,
    NotFound,
    RateLimited,
    Refused,
    Unavailable,
    Untrusted,
)
from tests.emulators.faulty import Authority, Faulty, serve_faulty
from tests.emulators.faulty.plans import cut_short, drip, flood, good, hang, lose_reply, raw, redirect

KEY = "key-that-must-not-travel"
SHOP = Platform("shop", "The Shop", "https://shop.example/keys")
QUICK = Limits(connect_s=2, read_s=2, write_s=2, total_s=5, first_wait_s=0.001)


@pytest.fixture
def state() -> Faulty:
    return Faulty()


@pytest.fixture
def address(state: Faulty) -> Iterator[str]:
    with serve_faulty(state) as address:
        yield address


def make_door(address: str, limits: Limits = QUICK, **options: object) -> Door:
    return Door(
        SHOP,
        address,
        credentials=lambda: {"Authorization": f"Bearer {KEY}"},
        limits=limits,
        pace=(1000, 1000),
        **options,
    )  # type: ignore[arg-type]


def test_an_answer_arrives_with_who_we_are(state: Faulty, address: str) -> None:
    """User-Agent, key and query travel; the answer is there as JSON."""
    state.plan("/things", good({"a": 1}))

    answer = make_door(address).get("/things", {"q": "x y", "expand": ["a", "b"], "none": None})

    assert answer.record() == {"a": 1}
    request = state.asked[0]
    assert request.path == "/things?q=x+y&expand=a&expand=b" or request.path == "/things?q=x%20y&expand=a&expand=b"
    assert request.headers["user-agent"].startswith("peft-studio/0.")
    assert request.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "fault",
    [lose_reply(), good({}, status=500), good({}, status=503), good({}, status=429), cut_short(b"{", promised=9)],
)
def test_what_may_be_asked_twice_is_asked_again(fault: object, state: Faulty, address: str) -> None:
    """A GET survives two failures of every transient kind."""
    state.plan("/things", fault, fault, good({"ok": True}))  # type: ignore[arg-type]

    assert make_door(address).get("/things").json() == {"ok": True}
    assert len(state.asked) == 3


@pytest.mark.parametrize(
    ("fault", "error"), [(lose_reply("made"), Unavailable), (good({}, status=502, effect="made"), Unavailable)]
)
def test_a_post_that_may_have_worked_is_not_repeated(
    fault: object, error: type[ConnectorError], state: Faulty, address: str
) -> None:
    """One effect at most, and the error says that it may be there."""
    state.plan("/make", fault)  # type: ignore[arg-type]

    with pytest.raises(error) as caught:
        make_door(address).request("POST", "/make", json={})

    assert caught.value.may_have_happened
    assert state.effects == ["made"]
    assert len(state.asked) == 1


def test_a_post_that_the_caller_calls_repeatable_is(state: Faulty, address: str) -> None:
    """A lost reply is made good, and the error of a later refusal does not claim an effect."""
    state.plan("/make", lose_reply("made"), good({"ok": 1}, effect="made"))

    assert make_door(address).request("POST", "/make", json={}, repeatable=True).json() == {"ok": 1}
    assert state.asked[0].body == state.asked[1].body == b"{}"


def test_a_post_that_did_not_leave_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens: several attempts, and the error knows that nothing happened."""
    waits: list[float] = []
    door = make_door("http://127.0.0.1:9")

    monkeypatch.setattr(door_module, "pause", waits.append)

    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        door.request("POST", "/make", json={})

    assert len(waits) == QUICK.attempts - 1
    assert not caught.value.may_have_happened


@pytest.mark.parametrize("given", ["7", "date"])
def test_retry_after_is_honoured(given: str, state: Faulty, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given in seconds or as a date, it is waited for and no less."""
    from email.utils import formatdate

    waits: list[float] = []
    monkeypatch.setattr(door_module, "pause", waits.append)
    state.plan(
        "/things", good({}, status=429, Retry_After=formatdate(time.time() + 7) if given == "date" else given), good({})
    )

    make_door(address, Limits(total_s=60, first_wait_s=0.001)).get("/things")

    assert 5 < waits[0] < 7.1


def test_a_long_retry_after_is_the_callers(state: Faulty, address: str) -> None:
    """An hour is not slept away: the error carries it, and the next call is told at once without asking."""
    state.plan("/things", good({"error": "slow down"}, status=429, Retry_After="3600"))
    door = make_door(address)

    with pytest.raises(RateLimited, match="slow down") as caught:
        door.get("/things")
    with pytest.raises(RateLimited, match="Nothing was sent") as again:
        door.get("/things")
    with pytest.raises(RateLimited, match="Nothing was sent"):  # though a stream may take a day
        next(door.lines("POST", "/things"))

    assert caught.value.retry_after_s == 3600
    assert again.value.retry_after_s is not None
    assert len(state.asked) == 1


def test_a_wait_that_the_call_could_afford_is_still_the_callers_beyond_the_longest(
    state: Faulty, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute would fit into the call; nobody is kept in the dark for so long."""
    waits: list[float] = []
    monkeypatch.setattr(door_module, "pause", waits.append)
    state.plan("/things", good({}, status=503, Retry_After="30"))

    with pytest.raises(Unavailable):
        make_door(address, Limits(total_s=120)).get("/things")
    assert waits == []


def test_429_without_retry_after_backs_off_and_ends(state: Faulty, address: str) -> None:
    """All attempts, then a typed error."""
    state.plan("/things", raw(b"API requests too frequent", status=429, Content_Type="text/plain"))

    with pytest.raises(RateLimited, match="API requests too frequent"):
        make_door(address).get("/things")
    assert len(state.asked) == QUICK.attempts


@pytest.mark.parametrize(
    "plan", [hang(), drip(every_s=0.02, in_head=True), drip(every_s=0.02, in_head=False)], ids=["hang", "head", "body"]
)
def test_no_server_is_slow_enough_to_hold_a_caller(plan: object, state: Faulty, address: str) -> None:
    """The deadline of the whole call ends it, although a byte came every 20 ms."""
    state.plan("/things", plan)  # type: ignore[arg-type]
    began = time.monotonic()

    with pytest.raises(Unavailable, match="took too long"):
        make_door(address, Limits(read_s=20, total_s=0.5, attempts=4, first_wait_s=0.001)).get("/things")

    assert time.monotonic() - began < 10  # of the 20 that it would wait for a byte


def test_a_stream_keeps_its_own_deadline(state: Faulty, address: str) -> None:
    """Another call in the same thread, with a shorter deadline, does not end it."""
    state.plan("/lines", raw(b"1\n2\n" * 40_000))
    state.plan("/things", good({}))
    door = make_door(address, Limits(total_s=0.2))
    lines = door.lines("POST", "/lines")
    first = next(lines)

    door.get("/things")
    began = time.monotonic()
    while time.monotonic() < began + 0.25:
        pass

    assert [first, *lines] == [b"1", b"2"] * 40_000


def test_a_stream_that_is_cut_says_so(state: Faulty, address: str) -> None:
    """What came is given, then the typed error."""
    state.plan("/lines", cut_short(b'{"status": "one"}\n{"sta', promised=500))
    seen = []

    with pytest.raises(BadResponse, match="cut short"):
        seen.extend(make_door(address).lines("POST", "/lines"))
    lines = make_door(address).lines("POST", "/lines")

    assert next(lines) == b'{"status": "one"}'


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (cut_short(b'{"a"', promised=100), "cut short"),
        (raw(b'{"a": '), "no JSON"),
        (raw(b"<html>Log in</html>"), "no JSON"),
        (raw(b"[" * 100_000), "no JSON"),
        (raw(b"\xff\xfe\xfd"), "no JSON"),
        (raw(gzip.compress(b"{}")[:-9] + b"rubbish!!", Content_Encoding="gzip"), "unpacked"),
        (raw(b"not gzip", Content_Encoding="gzip"), "unpacked"),
        (flood(), "more than"),
        (raw(gzip.compress(b"0" * 30_000_000), Content_Encoding="gzip"), "more than"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_typed_error(plan: object, says: str, state: Faulty, address: str) -> None:
    """Cut short, corrupt, no JSON, nested without end, too large, larger once unpacked."""
    state.plan("/things", plan)  # type: ignore[arg-type]

    with pytest.raises(BadResponse, match=says) as caught:
        make_door(address, Limits(answer_bytes=1_000_000, first_wait_s=0.001, total_s=5)).get("/things").json()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Refused),
        (401, NotAuthorised),
        (403, Forbidden),
        (404, NotFound),
        (409, Refused),
        (410, NotFound),
        (422, Refused),
    ],
)
def test_a_refusal_is_typed_and_not_repeated(
    status: int, error: type[ConnectorError], state: Faulty, address: str
) -> None:
    """Each status has its class, the platform's words and a next step."""
    state.plan("/things", good({"error": {"message": "because of x"}}, status=status))

    with pytest.raises(error, match="because of x") as caught:
        make_door(address).get("/things")

    assert caught.value.status == status
    assert caught.value.platform == "shop"
    assert caught.value.hint
    assert len(state.asked) == 1


def test_a_key_never_follows_to_another_host(state: Faulty, address: str) -> None:
    """Another port and another name get the request without the key; the same origin gets it with."""
    other = Faulty()
    with serve_faulty(other) as elsewhere:
        for path, to in (
            ("/a", f"{elsewhere}/x"),
            ("/b", f"{elsewhere.replace('127.0.0.1', 'localhost')}/x"),
            ("/c", "/d"),
        ):
            state.plan(path, redirect(to, status=307))
        state.plan("/d", good({}))
        other.plan("/x", good({"from": "elsewhere"}))
        door = make_door(address)

        assert door.get("/a").json() == door.get("/b").json() == {"from": "elsewhere"}
        door.get("/c")

    assert all(KEY not in str(request) for request in other.asked)
    assert len(other.asked) == 2
    assert state.asked[-1].headers["authorization"] == f"Bearer {KEY}"


def test_an_address_of_another_host_gets_no_key(state: Faulty, address: str) -> None:
    """A next page that leads elsewhere is asked for without it."""
    state.plan("/x", good([], Link=f'<{address}/y?cursor=2>; rel="next"'))
    door = make_door("http://localhost:9")

    assert door.get(f"{address}/x").next_url == f"{address}/y?cursor=2"
    assert "authorization" not in state.asked[0].headers


def test_what_changes_something_is_not_redirected(state: Faulty, address: str) -> None:
    """A POST that is sent on ends with an error; nothing arrives there."""
    other = Faulty()
    with serve_faulty(other) as elsewhere:
        state.plan("/make", redirect(f"{elsewhere}/x", status=307))
        with pytest.raises(BadResponse, match="Nothing was sent there"):
            make_door(address).request("POST", "/make", json={"a": 1})
    assert other.asked == []


def test_redirects_end(state: Faulty, address: str) -> None:
    """A circle is found, and a redirect to another scheme is not followed."""
    state.plan("/a", redirect("/a"))
    state.plan("/b", redirect("file:///etc/passwd"))

    with pytest.raises(BadResponse, match="without end"):
        make_door(address).get("/a")
    with pytest.raises(Untrusted, match="away from TLS"):
        make_door(address).get("/b")


def test_a_key_never_travels_in_the_clear() -> None:
    """http:// to another machine is refused before a connection is made."""
    with pytest.raises(Untrusted, match="unencrypted"):
        make_door("http://192.0.2.1").get("/things")


def test_errors_do_not_hold_the_key(state: Faulty, address: str) -> None:
    """A platform that repeats the key in its answer, or a key that no header can carry, does not put it into an error."""
    state.plan("/things", good({"error": f"bad key {KEY}, see planted"}, status=401))
    with pytest.raises(NotAuthorised) as caught:
        make_door(address, redact=lambda text: text.replace("planted", "***")).get("/things")
    assert KEY not in str(caught.value)
    assert "planted" not in str(caught.value)

    door = Door(SHOP, address, credentials=lambda: {"Authorization": f"Bearer {KEY}\r\nX: y"}, limits=QUICK)
    with pytest.raises(NotAuthorised, match="characters that no key has") as bad:
        door.get("/things")
    assert KEY not in str(bad.value)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    wire.trusted.cache_clear()
    yield made
    wire.trusted.cache_clear()


def test_a_good_certificate_is_accepted(state: Faulty, authority: Authority) -> None:
    """With the authority trusted, TLS works: the refusals below are for their own reason."""
    state.plan("/things", good({"ok": 1}))
    with serve_faulty(state, authority.server("127.0.0.1")) as address:
        assert make_door(address).get("/things").json() == {"ok": 1}


@pytest.mark.parametrize(
    ("host", "expired", "says"), [("127.0.0.1", True, "expired"), ("other.example", False, "not valid for")]
)
def test_a_bad_certificate_is_refused(host: str, expired: bool, says: str, state: Faulty, authority: Authority) -> None:
    """Expired, or of another host: nothing is sent, nothing repeated."""
    state.plan("/things", good({}))
    with serve_faulty(state, authority.server(host, expired=expired)) as address, pytest.raises(Untrusted, match=says):
        make_door(address).get("/things")
    assert state.asked == []


def test_an_unknown_authority_is_refused(state: Faulty, tmp_path: Path) -> None:
    """A certificate that anybody could make."""
    state.plan("/things", good({}))
    wire.trusted.cache_clear()
    with (
        serve_faulty(state, Authority(tmp_path).server("127.0.0.1")) as address,
        pytest.raises(Untrusted, match="could not prove"),
    ):
        make_door(address).get("/things")


def test_tls_is_not_left_by_a_redirect(state: Faulty, authority: Authority) -> None:
    """From https to http is not followed, even to the same host."""
    other = Faulty()
    with serve_faulty(state, authority.server("127.0.0.1")) as address, serve_faulty(other) as plain:
        state.plan("/things", redirect(f"{plain}/x"))
        with pytest.raises(Untrusted, match="away from TLS"):
            make_door(address).get("/things")
    assert other.asked == []


def test_verification_has_no_switch() -> None:
    """No parameter of the door speaks of it, and its context checks certificate and name."""
    import ssl

    names = {name for cls in (Door, wire.Wire) for name in inspect.signature(cls).parameters}

    assert not [name for name in names if "verify" in name or "tls" in name or "ssl" in name or "insecure" in name]
    assert wire.trusted().verify_mode is ssl.CERT_REQUIRED
    assert wire.trusted().check_hostname


def test_proxies_come_from_the_environment(state: Faulty, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to another machine goes through HTTP_PROXY; one to this machine, or named in NO_PROXY, does not."""
    import httpx

    monkeypatch.setenv("http_proxy", address)
    monkeypatch.setenv("no_proxy", "here.example")
    state.plan("http://shop.example/things", good({"by": "proxy"}))

    answer = Door(SHOP, "http://shop.example", limits=QUICK).get("/things")

    assert answer.json() == {"by": "proxy"}
    assert wire.find_proxy(httpx.URL("http://127.0.0.1:80/")) == ""
    assert wire.find_proxy(httpx.URL("http://here.example/")) == ""


def test_a_lane_has_a_pace_of_its_own(state: Faulty, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the platform counts apart does not wait for the rest, and does not make it wait."""
    waits: list[float] = []
    monkeypatch.setattr(door_module, "pause", waits.append)
    state.plan("/", good({}))
    usual, rare = (Door(SHOP, address, limits=QUICK, pace=(0.25, 1, lane)) for lane in ("", "rare"))
    usual.get("/")
    rare.get("/")
    assert waits == []
    rare.get("/")
    assert 3 < waits.pop() <= 4
