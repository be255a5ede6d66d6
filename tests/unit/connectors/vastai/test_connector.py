"""The Vast.ai connector against a market on loopback with its pitfalls."""

from __future__ import annotations

import gzip
import random
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors.base import door as door_module
from peft_studio.connectors.vastai import api, connector
from peft_studio.connectors.vastai.connector import VastAi
from peft_studio.core.errors import (
    BadResponse,
    ConnectorError,
    NotAuthorised,
    RateLimited,
    Refused,
    SoldOut,
    Unavailable,
)
from peft_studio.core.ports.offers import Offer, OfferQuery, Stock
from peft_studio.core.ports.rental import InstanceState, Rent
from peft_studio.core.redact import Secret
from tests.conftest import wait_for
from tests.emulators.loopback import Reply
from tests.emulators.machine import Machines
from tests.emulators.vastai import Ask, Market, serve_vast
from tests.specs import find_answer_faults, find_faults, load_spec

KEY = "ab" * 32
USER = {"id": 42, "email": "ann@example.org", "credit": 12.5}
SEARCH, LIST, ACCEPT = "POST /api/v0/bundles/", "GET /api/v1/instances/", "PUT /api/v0/asks/1001/"
TOO_FREQUENT = Reply(429, b"API requests too frequent: endpoint threshold=4.5", {"Content-Type": "text/plain"})
# Errors of Vast.ai's specification, each known from its own client or documentation.
WRONG_IN_SPEC = {
    r"^type: enum .* 'on-demand' is not": "it says ondemand; the client sends on-demand",
    r"^env: type string": "an object in the documentation and the client",
    r"^order: minItems": "one order is a pair, and a list of them has as many as one likes",
}


@pytest.fixture
def market() -> Market:
    return Market(
        keys={KEY: USER},
        asks=[
            Ask(1001),
            Ask(1002, gpu_name="H100 SXM", gpu_ram=81559, dph_base=2.0, min_bid=1.1),
            Ask(1003, more={"verified": False}),
            Ask(1004, num_gpus=2),
        ],
    )


@pytest.fixture
def rental(market: Market, monkeypatch: pytest.MonkeyPatch) -> Iterator[VastAi]:
    for pace in ("PACE", "SEARCH_PACE", "CREATE_PACE", "DESTROY_PACE"):
        monkeypatch.setattr(api, pace, (1000.0, 1000))
    with serve_vast(market) as address:
        monkeypatch.setenv("VAST_URL", address)
        yield VastAi({"key": Secret(KEY)})


def find_offer(rental: VastAi, name: str = "1001") -> Offer:
    return next(offer for offer in rental.list_offers(OfferQuery()).offers if offer.id == name)


def build_rent(offer: Offer, label: str = "ps-run-1", **more: Any) -> Rent:
    return Rent(**{"label": label, "offer": offer, "boot": "echo up", "disk_gib": 40, "ports": (8080,), **more})


def bodies(market: Market, asked: str = ACCEPT) -> list[dict[str, Any]]:
    return [request.json() for request in market.asked if str(request) == asked]


def test_connect_accepts_either_name_of_what_is_left(rental: VastAi, market: Market) -> None:
    """``credit`` in the documentation, ``balance`` in the specification."""
    assert (rental.connect().name, rental.connect().note) == ("ann@example.org", "$12.50 of credit.")
    market.keys[KEY] = {"id": 42, "balance": 3}
    assert (rental.connect().name, rental.connect().note) == ("42", "$3.00 of credit.")
    market.keys = {}
    for work in (rental.connect, lambda: rental.list_offers(OfferQuery())):  # the search says it with a 404
        with pytest.raises(NotAuthorised) as caught:
            work()
        assert "cloud.vast.ai/manage-keys" in caught.value.hint


def test_offers_hold_their_disk_and_say_so(rental: VastAi) -> None:
    """On demand and for bids; hosts that are not verified are not asked for; the disk is not counted twice."""
    offers = {offer.id: offer for offer in rental.list_offers(OfferQuery()).offers}
    assert list(offers) == ["1001:bid", "1001", "1002:bid", "1002"]
    found = offers["1001"]
    disk_hour = Decimal("0.15") * 43 / 730  # 40 GiB are 43 GB

    assert abs(found.usd_per_hour - Decimal("0.4") - disk_hour) < Decimal("1e-12")
    assert abs(found.rules.usd_per_hour - Decimal("0.4")) < Decimal("1e-12")
    assert (found.holds_disk_gb, found.storage_usd_per_gb_month, found.download_usd_per_gb, found.upload_usd_per_gb) == (
        43, Decimal("0.15"), Decimal("0.002"), Decimal("0.003"),
    )  # fmt: skip
    assert (found.region, found.reliability, found.ends_itself, found.stock, found.spot, found.cpus) == (
        "Sweden, SE", 0.9971, True, Stock.LOW, False, 16,
    )  # fmt: skip
    assert found.stops_at is not None
    assert abs(found.stops_at - found.seen_at - timedelta(days=10)) < timedelta(seconds=1)
    assert 23 < (found.gpu_memory_gib or 0) < 24
    assert offers["1001:bid"].spot
    assert offers["1001:bid"].usd_per_hour < found.usd_per_hour


def test_a_search_asks_for_what_is_wanted(rental: VastAi, market: Market) -> None:
    """Cards and memory are filtered, a part of a name is looked for here, and one kind is one search."""
    assert {offer.gpu for offer in rental.list_offers(OfferQuery(gpu="h100")).offers} == {"H100 SXM"}
    assert {offer.id for offer in rental.list_offers(OfferQuery(gpu_count=2, spot=False)).offers} == {"1004"}
    assert {offer.id for offer in rental.list_offers(OfferQuery(min_memory_gib=24, spot=True)).offers} == {
        "1001:bid",
        "1002:bid",
    }
    assert {offer.id for offer in rental.list_offers(OfferQuery(min_memory_gib=80, spot=False)).offers} == {"1002"}
    assert len(bodies(market, SEARCH)) == 5


def test_the_same_question_is_not_searched_for_twice(rental: VastAi, market: Market) -> None:
    """A search counts against a daily quota; a taken offer makes the answer stale."""
    query = OfferQuery(spot=False)
    first = rental.list_offers(query)
    assert rental.list_offers(query) is first
    market.asks[0].rented = True
    with pytest.raises(SoldOut):
        rental.submit_job(build_rent(first.offers[0]))
    assert [offer.id for offer in rental.list_offers(query).offers] == ["1002"]
    assert len(bodies(market, SEARCH)) == 2


def test_a_used_up_quota_is_not_asked_again_before_midnight(
    rental: VastAi, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request finds out; machines are still listed, bought and ended."""
    offer = find_offer(rental)
    market.searches_left = 0
    asked = len(bodies(market, SEARCH))
    for _ in range(3):
        with pytest.raises(RateLimited, match="midnight") as caught:
            rental.list_offers(OfferQuery(gpu="RTX"))
        assert 0 < (caught.value.retry_after_s or 0) <= 86400
    assert len(bodies(market, SEARCH)) == asked + 1
    made = rental.submit_job(build_rent(offer))
    assert [one.id for one in rental.list_instances().instances] == [made.id]
    assert rental.end_instance(made.id).known


def test_a_hurried_search_is_sent_again(rental: VastAi, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 429 in plain text, with and without a Retry-After."""
    waits: list[float] = []
    monkeypatch.setattr(door_module, "pause", waits.append)
    market.instead[SEARCH] = [TOO_FREQUENT, Reply(429, TOO_FREQUENT.body, {"Retry-After": "3"})]
    assert rental.list_offers(OfferQuery()).offers
    assert max(waits) >= 3


def test_a_machine_goes_its_way(rental: VastAi, market: Market) -> None:
    """No address before it runs; what is billed follows the state."""
    made = rental.submit_job(build_rent(find_offer(rental)))
    assert (made.state, made.label) == (InstanceState.PROVISIONING, "ps-run-1")
    seen = [rental.list_instances().instances[0] for _ in range(4)]

    assert [(one.state, one.billed) for one in seen] == [
        (InstanceState.PROVISIONING, "storage"), (InstanceState.BOOTING, "storage"), (InstanceState.RUNNING, "all"),
        (InstanceState.RUNNING, "all"),
    ]  # fmt: skip
    assert [dict(one.addresses) for one in seen] == [{}, {}, {8080: "127.0.0.1:40123"}, {8080: "127.0.0.1:40123"}]
    assert seen[2].ssh is not None
    assert (seen[2].ssh.host, seen[2].ssh.port) == ("ssh7.vast.ai", 10600)
    assert (seen[0].usd_per_hour or 9) < Decimal("0.01") < Decimal("0.4") < (seen[2].usd_per_hour or 0)


@pytest.mark.parametrize(
    ("status", "state", "billed"),
    [
        ("stopped", InstanceState.STOPPED, "storage"),
        ("frozen", InstanceState.STOPPED, "all"),
        ("exited", InstanceState.FAILED, "storage"),
        ("offline", InstanceState.FAILED, "all"),
        ("unknown", InstanceState.FAILED, "all"),
        ("something new", InstanceState.PROVISIONING, "all"),
    ],
)
def test_odd_states_are_told_with_their_word(
    rental: VastAi, market: Market, status: str, state: InstanceState, billed: str
) -> None:
    """What is not known counts as billed, and is never left out."""
    rental.submit_job(build_rent(find_offer(rental)))
    market.contracts[0].status = status
    (found,) = rental.list_instances().instances
    assert (found.state, found.billed, dict(found.addresses)) == (state, billed, {})
    assert status in found.reason


def test_a_bid_is_always_sent(rental: VastAi, market: Market) -> None:
    """Without a price Vast.ai rents on demand; the price is the most that was agreed to, less the disk's share."""
    spot = find_offer(rental, "1001:bid")
    made = rental.submit_job(build_rent(spot))
    assert market.contracts[0].is_bid
    assert bodies(market)[0]["price"] == pytest.approx(0.2, abs=1e-5)
    rental.end_instance(made.id)
    rental.submit_job(build_rent(spot, max_usd_per_hour=Decimal("0.5")))
    assert bodies(market)[1]["price"] == pytest.approx(0.5 - 0.15 * 43 / 730, abs=1e-5)
    rental.submit_job(build_rent(find_offer(rental, "1002")))
    assert "price" not in bodies(market, "PUT /api/v0/asks/1002/")[0]


def test_being_outbid_stops_a_machine_and_leaves_its_disk(rental: VastAi, market: Market) -> None:
    """It is told as that, with what it still costs."""
    rental.submit_job(build_rent(find_offer(rental, "1001:bid")))
    for _ in range(3):
        rental.list_instances()
    market.outbid(market.contracts[0])
    (found,) = rental.list_instances().instances
    assert (found.state, found.billed) == (InstanceState.STOPPED, "storage")
    assert "outbid" in found.reason
    assert Decimal(0) < (found.usd_per_hour or 0) < Decimal("0.01")


def test_a_no_that_made_a_machine_is_in_doubt(rental: VastAi, market: Market) -> None:
    """The bid had become too low: an error, and a machine that stands there stopped. The list has it, by its label."""
    spot = find_offer(rental, "1001:bid")
    market.asks[0].min_bid = 0.3
    with pytest.raises(Refused) as caught:
        rental.submit_job(build_rent(spot))
    assert caught.value.may_have_happened
    assert not isinstance(caught.value, SoldOut)
    (found,) = rental.list_instances().instances
    assert (found.label, found.state, found.billed) == ("ps-run-1", InstanceState.STOPPED, "storage")
    assert rental.end_instance(found.id).known


@pytest.mark.parametrize(
    ("reply", "error", "doubt"),
    [
        (Reply(410, {"success": False, "error": "no_such_ask", "msg": "error 410/3907: no_such_ask Gone."}), SoldOut, False),
        (Reply(200, {"success": False, "error": "invalid_args", "msg": "error 404/3603: no_such_ask No."}), SoldOut, False),
        (Reply(400, {"success": False, "error": "invalid_args", "msg": "error 400/3467: Invalid args"}), Refused, False),
        (TOO_FREQUENT, RateLimited, False),
    ],
)  # fmt: skip
def test_a_plain_no_made_nothing(
    rental: VastAi, market: Market, reply: Reply, error: type[ConnectorError], doubt: bool
) -> None:
    """Also one that comes with status 200."""
    offer = find_offer(rental)
    market.instead[ACCEPT] = [reply]
    with pytest.raises(error) as caught:
        rental.submit_job(build_rent(offer))
    assert (caught.value.may_have_happened, caught.value.platform, len(bodies(market))) == (doubt, "vastai", 1)
    assert caught.value.hint


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500, b"<html>"),
        Reply(200, {"success": True}),
        Reply(200, {"success": False, "error": "x", "new_contract": 1}),
        Reply(200, b"<html>"),
        Reply(302, b"", {"Location": "/api/v0/asks/1001"}),
    ],
)
def test_a_purchase_in_doubt_is_sent_once(rental: VastAi, market: Market, reply: Reply) -> None:
    """It was made, and the answer does not say which. A PUT that buys is no PUT that may be repeated."""
    offer = find_offer(rental)
    market.after[ACCEPT] = [reply]
    with pytest.raises(ConnectorError) as caught:
        rental.submit_job(build_rent(offer))
    assert caught.value.may_have_happened
    assert len(bodies(market)) == len(market.contracts) == 1
    assert [one.label for one in rental.list_instances().instances] == ["ps-run-1"]


def test_more_than_was_agreed_to_is_not_bought(rental: VastAi, market: Market) -> None:
    """Before anything is sent."""
    for name in ("1001", "1001:bid"):
        with pytest.raises(Refused, match="agreed"):
            rental.submit_job(build_rent(find_offer(rental, name), max_usd_per_hour=Decimal("0.1")))
    assert bodies(market) == []


def rent_many(market: Market, count: int) -> None:
    for number in range(count):
        market.rent(Ask(5000 + number), {"image": "x", "disk": 10, "label": f"ps-many-{number}"})


def test_the_list_has_every_page(rental: VastAi, market: Market) -> None:
    """Twenty-five a page, machines of others among them, each once."""
    rent_many(market, 61)
    found = rental.list_instances().instances
    assert [one.label for one in found] == [f"ps-many-{number}" for number in range(61)]
    assert len([request for request in market.asked if str(request) == LIST]) == 3


@pytest.mark.parametrize(
    "page",
    [
        Reply(500, b""),
        TOO_FREQUENT,
        Reply(400, {"error": "invalid_token", "msg": "Invalid pagination token"}),
        Reply(200, {"success": False, "error": "x", "msg": "y"}),
        Reply(200, {"success": True, "instances": [1], "next_token": None}),
        Reply(200, {"success": True, "instances": [{"label": "ps-x-1"}], "next_token": None}),
        Reply(200, {"success": True, "next_token": None}),
        Reply(200, {"success": True, "instances": [], "next_token": 5}),
        Reply(200, {"success": True, "instances": [], "total_instances": 61, "next_token": None}),
    ],
)
def test_a_list_with_a_gap_is_an_error(rental: VastAi, market: Market, page: Reply) -> None:
    """The first page is whole and the second is not: absence would prove that a machine is gone."""
    rent_many(market, 61)
    first = rental.list_instances()
    assert len(first.instances) == 61
    market.after[LIST] = [_first_page(market), *[page] * 4]
    with pytest.raises(ConnectorError):
        rental.list_instances()


def _first_page(market: Market) -> Reply:
    shown = [market.shown(one) for one in market.contracts[:25]]
    return Reply(200, {"success": True, "instances": shown, "total_instances": 61, "next_token": "dG9rZW4="})


def test_rows_that_are_kept_back_are_noticed(rental: VastAi, market: Market) -> None:
    """Vast.ai counts more than it shows."""
    rent_many(market, 30)
    market.lacks = 1
    with pytest.raises(BadResponse, match="of 30"):
        rental.list_instances()


def test_pages_in_a_circle_end(rental: VastAi, market: Market) -> None:
    """The same token twice."""
    rent_many(market, 2)
    market.after[LIST] = [_first_page(market)] * 3
    with pytest.raises(BadResponse, match="without an end"):
        rental.list_instances()


def test_ending_is_asked_again_until_it_is_heard(rental: VastAi, market: Market) -> None:
    """A 429 leaves charges, so it is repeated; a lost reply leads to a machine that is gone already."""
    made = rental.submit_job(build_rent(find_offer(rental)))
    path = f"DELETE /api/v0/instances/{made.id}/"
    market.instead[path] = [TOO_FREQUENT]
    market.lost_replies = [path]
    assert not rental.end_instance(made.id).known
    assert rental.list_instances().instances == ()
    for name in ("nothing", "../users", "٣", ""):
        assert not rental.end_instance(name).known
    for reply in (Reply(404, b"<html>"), Reply(404, {"detail": "Not Found"}), Reply(200, {"success": False})):
        market.instead["DELETE /api/v0/instances/7/"] = [reply]
        with pytest.raises(ConnectorError):
            rental.end_instance("7")


def test_a_long_script_comes_by_the_environment(rental: VastAi, market: Market, tmp_path: Path) -> None:
    """The first command has at most 4,048 characters; the same script runs either way, and a real process proves it."""
    noise = b64encode(random.Random(1).randbytes(12_000)).decode()
    script = f"echo ran $A; : {noise}"
    assert len(b64encode(gzip.compress(script.encode()))) > 4048
    with Machines(tmp_path) as market.machines:
        for boot, label in (("echo ran $A", "ps-a-1"), (script, "ps-b-1")):
            market.asks[0].rented = False
            made = rental.submit_job(build_rent(find_offer(rental), label, boot=boot, settings={"A": "it's"}))
            for _ in range(3):
                rental.list_instances()
            contract = market.contract(made.id)
            assert contract is not None
            assert contract.machine is not None
            wait_for(lambda one=contract.machine: one.text == "ran it's\n", "the script")
            wait_for(lambda one=contract.machine: one.exit_code == 0, "its end")
            found = {one.label: one for one in rental.list_instances().instances}[label]
            assert found.state is InstanceState.FAILED  # its container's process is at its end
    assert all(len(body["onstart"]) <= 4048 for body in bodies(market))
    noise = b64encode(random.Random(1).randbytes(200_000)).decode()
    with pytest.raises(Refused, match="larger"):
        rental.submit_job(build_rent(find_offer(rental), boot=noise))
    with pytest.raises(Refused, match="variable"):
        rental.submit_job(build_rent(find_offer(rental), settings={"-p 22:22": "1"}))


def test_a_machine_can_end_itself_and_nothing_else(rental: VastAi, market: Market, tmp_path: Path) -> None:
    """By a call whose address and key its environment has; another's is refused to that key."""
    market.asks[1].rented = False
    with Machines(tmp_path) as market.machines:
        other = rental.submit_job(build_rent(find_offer(rental, "1002"), "ps-other-1", boot="sleep 600"))
        end = rental.way.self_end
        assert end is not None
        call = f'curl -fsS -X {end.method} -H "Authorization: Bearer ${end.key}" "{end.url}"'
        boot = f"OWN=$CONTAINER_ID; CONTAINER_ID={other.id}; {call} || echo refused; CONTAINER_ID=$OWN; {call}"
        rental.submit_job(build_rent(find_offer(rental), boot=boot))
        wait_for(
            lambda: [one.label for one in rental.list_instances().instances] == ["ps-other-1"], "its end", timeout_s=20
        )
        assert market.gone[0].machine is not None
        assert "refused" in market.gone[0].machine.text
        assert market.gone[0].body["label"] == "ps-run-1"


def test_logs_come_from_elsewhere_without_the_key(
    rental: VastAi, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are polled for; what is new is told by what stood before it."""
    monkeypatch.setattr(connector, "TAIL", 6)
    with Machines(tmp_path) as market.machines:
        made = rental.submit_job(
            build_rent(find_offer(rental), boot="for n in 1 2 3; do echo line $n; done; sleep 600")
        )
        for _ in range(3):
            rental.list_instances()
        machine = market.contracts[0].machine
        assert machine is not None
        wait_for(lambda: len(machine.lines) == 3, "three lines")
        first = rental.stream_logs(made.id, None)
        assert first.lines == ("line 1", "line 2", "line 3")
        assert rental.stream_logs(made.id, first.cursor).lines == ()
        machine.lines += [type(machine.lines[0])(datetime.now(UTC), f"line {n}") for n in (3, 3, 4)]
        second = rental.stream_logs(made.id, first.cursor)
        assert second.lines == ("line 3", "line 3", "line 4")
        machine.lines += [type(machine.lines[0])(datetime.now(UTC), f"later {n}") for n in range(9)]
        assert rental.stream_logs(made.id, second.cursor).lines == tuple(f"later {n}" for n in range(3, 9))
    asked_elsewhere = [request for request in market.asked if request.path.startswith("/s3/")]
    assert len(asked_elsewhere) >= 12
    assert not [request for request in asked_elsewhere if KEY in str(request.headers)]
    market.logs_after = 10_000
    monkeypatch.setattr(api, "LOG_TRIES", 3)
    with pytest.raises(Unavailable, match="in time"):
        rental.stream_logs(made.id, None)


def test_the_meter_agrees_with_the_offers_rules(rental: VastAi, market: Market) -> None:
    """GPU by the second while it ran, disk from the creation on, stopped or not: the bill is what the rules say, to the cent."""
    now = datetime(2026, 11, 26, 10, tzinfo=UTC)
    market.now = lambda: now
    offer = find_offer(rental, "1001:bid")
    made = rental.submit_job(build_rent(offer))
    now += timedelta(minutes=3)  # loading is free
    for _ in range(3):
        rental.list_instances()
    now += timedelta(hours=2, seconds=7)
    market.outbid(market.contracts[0])
    now += timedelta(days=3)
    rental.end_instance(made.id)
    (charge,) = rental.list_charges(now - timedelta(days=7)).charges

    told = offer.rules.compute_usd(2 * 3600 + 7) + offer.rules.storage_usd(43e9, 3 * 86400 + 2 * 3600 + 7 + 180)
    assert abs(charge.usd - told) < Decimal("0.005")
    assert charge.usd > Decimal("1.0")
    assert (charge.instance_id, charge.begin_at) == (made.id, datetime(2026, 11, 26, 10, tzinfo=UTC))
    assert charge.end_at == now
    assert rental.list_charges(now + timedelta(days=1)).charges == ()


def test_every_request_is_as_the_specification_says(rental: VastAi, market: Market) -> None:
    """Ours against Vast.ai's own file, but for its known errors; and the emulator's list, too."""
    made = rental.submit_job(build_rent(find_offer(rental, "1001:bid")))
    rental.connect()
    shown = [rental.list_instances() and market.shown(market.contracts[0]) for _ in range(4)]
    rental.list_charges(datetime.now(UTC) - timedelta(days=1))
    rental.stream_logs(made.id, None)
    rental.end_instance(made.id)

    ours = [request for request in market.asked if not request.path.startswith("/s3/")]
    assert {request.path.replace(made.id, "ID") for request in ours} == {
        "/api/v0/bundles/", "/api/v0/asks/1001/", "/api/v0/users/current/", "/api/v1/instances/", "/api/v0/charges/",
        "/api/v0/instances/request_logs/ID/", "/api/v0/instances/ID/",
    }  # fmt: skip
    assert all(request.path.endswith("/") for request in ours)
    assert [
        fault for request in ours for fault in find_faults(load_spec("vast.yaml"), request, except_for=WRONG_IN_SPEC)
    ] == []
    assert {fault.partition(":")[0] for request in ours for fault in find_faults(load_spec("vast.yaml"), request)} == {
        "type",
        "env",
        "order",
    }
    for row in shown:
        answer = {"success": True, "instances": [row], "next_token": None}
        faults = find_answer_faults(load_spec("vast.yaml"), "GET", "/api/v1/instances", status=200, body=answer)
        assert [fault for fault in faults if "None is not of type" not in fault] == []  # what is not there yet is null
