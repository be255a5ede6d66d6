"""The Lambda connector against a cloud on loopback with its pitfalls."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from peft_studio.connectors.base import door as door_module
from peft_studio.connectors.base import patience
from peft_studio.connectors.base.ssh import SshHome
from peft_studio.connectors.lambdalabs import api
from peft_studio.connectors.lambdalabs.connector import Lambda
from peft_studio.core.errors import (
    BadResponse,
    ConnectorError,
    Forbidden,
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
from tests.emulators.lambdalabs import SSHD, Cloud, Kind, serve_lambda
from tests.emulators.loopback import Reply
from tests.emulators.machine import Machines
from tests.specs import find_answer_faults, find_faults, load_spec

KEY = "secret_tests_" + "0123456789abcdef" * 2 + "." + "A1" * 16
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICN+lJwsONkwrdsSnQsu1ydUkIuIg5oOC+Eslvmtt60T"
PACE = api.LAUNCH_PACE
LAUNCH = "POST /api/v1/instance-operations/launch"
TERMINATE = "POST /api/v1/instance-operations/terminate"


@pytest.fixture
def cloud() -> Cloud:
    return Cloud(
        keys=(KEY,),
        kinds=[
            Kind("gpu_1x_h100_sxm5", stock={"us-west-1": 1, "us-east-1": 0, "europe-central-1": 2}),
            Kind("gpu_8x_a100", gpu="A100 (40 GB SXM4)", gpus=8, cents=1592),
            Kind("cpu_4x_general", gpu="N/A", gpus=0, cents=20, stock={"us-east-1": 9}, disk_gib=100),
        ],
    )


@pytest.fixture
def rental(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lambda]:
    monkeypatch.setattr(api, "PACE", (1000.0, 1000))
    monkeypatch.setattr(api, "LAUNCH_PACE", (1000.0, 1000, "launch"))
    with serve_lambda(cloud) as address:
        monkeypatch.setenv("LAMBDA_URL", address)
        yield Lambda({"key": Secret(KEY)})


def find_offer(rental: Lambda, start: str = "gpu_1x_h100_sxm5@us-west-1") -> Offer:
    return next(offer for offer in rental.list_offers(OfferQuery()).offers if offer.id.startswith(start))


def build_rent(offer: Offer, label: str = "ps-run-1", **more: object) -> Rent:
    given = {"label": label, "offer": offer, "boot": "echo up", "disk_gib": 40, "public_key": PUBLIC, **more}
    return Rent(**given)  # type: ignore[arg-type]


def launches(cloud: Cloud) -> list[str]:
    return [str(request) for request in cloud.asked if str(request) == LAUNCH]


def test_connect_tells_a_key_from_none(rental: Lambda, cloud: Cloud) -> None:
    """Whose it is Lambda does not say; a wrong one is told by its code."""
    assert "0" in rental.connect().note
    cloud.keys = ()
    with pytest.raises(NotAuthorised, match="invalid") as caught:
        rental.connect()
    assert caught.value.hint


def test_offers_are_one_a_region_in_dollars_of_the_whole_machine(rental: Lambda) -> None:
    """Cents become dollars, memory is read from the card's words, and what is sold out is there once and says so."""
    offers = {offer.id: offer for offer in rental.list_offers(OfferQuery()).offers}
    h100, sold_out, cpu = (
        offers["gpu_1x_h100_sxm5@us-west-1"],
        offers["gpu_8x_a100"],
        offers["cpu_4x_general@us-east-1"],
    )

    assert len(offers) == 4
    assert (h100.usd_per_hour, h100.gpu_memory_gib, h100.region, h100.stock) == (
        Decimal("4.29"), 80, "us-west-1", Stock.UNKNOWN,
    )  # fmt: skip
    assert (sold_out.usd_per_hour, sold_out.gpu_count, sold_out.gpu_memory_gib, sold_out.stock, sold_out.region) == (
        Decimal("15.92"), 8, 40, Stock.NONE, None,
    )  # fmt: skip
    assert (cpu.gpu, cpu.gpu_count) == (None, 0)
    assert (h100.rules.granularity_s, h100.rules.bills_start, h100.ends_itself, h100.spot) == (60, False, False, False)
    assert "2,816 GiB of disk" in h100.includes
    assert rental.list_offers(OfferQuery(spot=True)).offers == ()


def test_a_machine_is_bought_found_and_ended(rental: Lambda, cloud: Cloud) -> None:
    """It carries its label from the first moment, has no address while it boots, and is gone once the list says so."""
    made = rental.submit_job(build_rent(find_offer(rental)))
    assert (made.label, made.state) == ("ps-run-1", InstanceState.BOOTING)

    booting, active = rental.list_instances().instances + rental.list_instances().instances
    assert (booting.id, booting.label, booting.state, booting.billed, booting.ssh) == (
        made.id, "ps-run-1", InstanceState.BOOTING, "nothing", None,
    )  # fmt: skip
    assert active.state is InstanceState.RUNNING
    assert active.ssh is not None
    assert (active.ssh.host, active.ssh.user, active.usd_per_hour) == ("198.51.100.1", "ubuntu", Decimal("4.29"))

    assert rental.end_instance(made.id).known
    (ending,) = rental.list_instances().instances
    assert (ending.state, ending.billed, ending.ssh) == (InstanceState.ENDING, "all", None)
    assert rental.list_instances().instances == ()
    assert cloud.rented[0].status == "terminated"
    assert rental.list_instances().instances == ()
    assert not rental.end_instance(made.id).known
    assert not rental.end_instance("nothing").known


def test_a_termination_that_is_not_done_does_not_hide_the_machine(rental: Lambda, cloud: Cloud) -> None:
    """Lambda agreed to it; the list says what became of that."""
    made = rental.submit_job(build_rent(find_offer(rental)))
    cloud.deaf = True
    assert rental.end_instance(made.id).known
    assert [one.id for one in rental.list_instances().instances] == [made.id]


@pytest.mark.parametrize(
    ("status", "state", "billed"),
    [
        ("unhealthy", InstanceState.AILING, "all"),
        ("preempted", InstanceState.STOPPED, "all"),
        ("something new", InstanceState.RUNNING, "all"),
    ],
)
def test_odd_states_are_told_with_their_word(
    rental: Lambda, cloud: Cloud, status: str, state: InstanceState, billed: str
) -> None:
    """What is not known counts as billed, and is never left out."""
    rental.submit_job(build_rent(find_offer(rental)))
    cloud.rented[0].status = status
    (found,) = rental.list_instances().instances
    assert (found.state, found.billed) == (state, billed)
    assert status in found.reason


def test_capacity_that_went_is_sold_out_and_nothing_was_made(rental: Lambda, cloud: Cloud) -> None:
    """Between the list and the launch another bought it."""
    offer = find_offer(rental)
    cloud.kinds[0].stock["us-west-1"] = 0
    with pytest.raises(SoldOut) as caught:
        rental.submit_job(build_rent(offer))
    assert (caught.value.may_have_happened, cloud.rented, len(launches(cloud))) == (False, [], 1)


def test_what_is_sold_out_everywhere_is_not_asked_for(rental: Lambda, cloud: Cloud) -> None:
    """Its offer has no region."""
    with pytest.raises(SoldOut):
        rental.submit_job(build_rent(find_offer(rental, "gpu_8x_a100")))
    assert launches(cloud) == []


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(500, {"error": {"code": "global/internal-error", "message": "An internal server error occurred."}}), Unavailable),
        (Reply(502, b"<html>", {"Content-Type": "text/html"}), Unavailable),
        (Reply(429, b"slow down"), RateLimited),
        (Reply(429, b"slow down", {"Retry-After": "1"}), RateLimited),
        (Reply(400, {"error": {"code": "provider/unknown", "message": "Provider error."}}), Unavailable),
        (Reply(200, b"<html>", {"Content-Type": "text/html"}), BadResponse),
        (Reply(200, {"data": {"instance_ids": []}}), BadResponse),
        (Reply(302, b"", {"Location": "/elsewhere"}), BadResponse),
    ],
)  # fmt: skip
def test_a_launch_in_doubt_is_sent_once_and_says_so(
    rental: Lambda, cloud: Cloud, reply: Reply, error: type[ConnectorError]
) -> None:
    """The machine was made and the answer was none: the list has it, by its label."""
    offer = find_offer(rental)
    cloud.after[LAUNCH] = [reply]
    with pytest.raises(error) as caught:
        rental.submit_job(build_rent(offer))

    assert caught.value.may_have_happened
    assert (len(launches(cloud)), cloud.launches) == (1, 1)
    assert [one.label for one in rental.list_instances().instances] == ["ps-run-1"]


def test_a_lost_reply_is_in_doubt(rental: Lambda, cloud: Cloud) -> None:
    """The line broke after the machine was made."""
    offer = find_offer(rental)
    cloud.lost_replies = [LAUNCH]
    with pytest.raises(Unavailable) as caught:
        rental.submit_job(build_rent(offer))
    assert (caught.value.may_have_happened, len(launches(cloud)), cloud.launches) == (True, 1, 1)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(400, {"error": {"code": "global/quota-exceeded", "message": "Quota exceeded.", "suggestion": "Contact Support."}}), Refused),
        (Reply(403, {"error": {"code": "global/account-inactive", "message": "Inactive.", "suggestion": "Pay."}}), Forbidden),
        (Reply(404, {"error": {"code": "global/object-does-not-exist", "message": "No.", "suggestion": ""}}), ConnectorError),
    ],
)  # fmt: skip
def test_a_plain_no_made_nothing(
    rental: Lambda, cloud: Cloud, reply: Reply, error: type[ConnectorError]
) -> None:  # fmt: skip
    """By its code, with Lambda's own suggestion."""
    offer = find_offer(rental)
    cloud.instead[LAUNCH] = [reply]
    with pytest.raises(error) as caught:
        rental.submit_job(build_rent(offer))
    assert not caught.value.may_have_happened
    assert caught.value.hint


def test_a_price_that_rose_is_not_agreed_to(rental: Lambda, cloud: Cloud) -> None:
    """The list is asked right before the launch, which names no price itself."""
    offer = find_offer(rental)
    object.__setattr__(cloud.kinds[0], "cents", 998)
    with pytest.raises(Refused, match=r"9\.98") as caught:
        rental.submit_job(build_rent(offer, max_usd_per_hour=Decimal("4.29")))
    assert not caught.value.may_have_happened
    assert launches(cloud) == []
    object.__setattr__(cloud.kinds[0], "cents", 429)
    assert rental.submit_job(build_rent(offer, max_usd_per_hour=Decimal("4.29"))).label == "ps-run-1"


def test_the_key_is_registered_once_and_found_again(rental: Lambda, cloud: Cloud) -> None:
    """Under a name of ours, or under that which it had; its comment does not matter."""
    cloud.kinds[0].stock["us-west-1"] = 3
    offer = find_offer(rental)
    rental.submit_job(build_rent(offer))
    rental.submit_job(build_rent(offer, "ps-run-2", public_key=f"{PUBLIC} laptop"))
    assert len(cloud.ssh_keys) == 1
    assert cloud.rented[0].ssh_keys == cloud.rented[1].ssh_keys == [cloud.ssh_keys[0]["name"]]

    cloud.ssh_keys[0]["name"] = "my laptop"
    rental.submit_job(build_rent(offer, "ps-run-3"))
    assert cloud.rented[2].ssh_keys == ["my laptop"]
    with pytest.raises(Refused, match="SSH key"):
        rental.submit_job(build_rent(offer, "ps-run-4", public_key=None))


def test_a_registration_whose_reply_was_lost_is_no_duplicate(rental: Lambda, cloud: Cloud) -> None:
    """The second attempt is told that the name is taken, and finds its own key there."""
    offer = find_offer(rental)
    cloud.lost_replies = ["POST /api/v1/ssh-keys"]
    assert rental.submit_job(build_rent(offer)).label == "ps-run-1"
    assert len(cloud.ssh_keys) == 1


def test_launches_are_twelve_seconds_apart(
    cloud: Cloud, rental: Lambda, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The third of three at once is not sent: its turn is too far away."""
    waits: list[float] = []
    monkeypatch.setattr(door_module, "pause", waits.append)
    monkeypatch.setattr(patience, "_paces", {})
    monkeypatch.setattr(api, "LAUNCH_PACE", PACE)
    rental = Lambda({"key": Secret(KEY)})
    cloud.kinds[0].stock["us-west-1"] = 3
    offer = find_offer(rental)
    rental.submit_job(build_rent(offer, "ps-a-1"))
    rental.submit_job(build_rent(offer, "ps-a-2"))
    assert 11 < max(waits) <= 12
    with pytest.raises(RateLimited) as caught:
        rental.submit_job(build_rent(offer, "ps-a-3"))
    assert not caught.value.may_have_happened
    assert cloud.launches == 2


def test_ending_is_asked_again_until_it_is_heard(rental: Lambda, cloud: Cloud) -> None:
    """A terminate that met trouble may be sent twice, and is."""
    made = rental.submit_job(build_rent(find_offer(rental)))
    cloud.instead[TERMINATE] = [Reply(429, b"slow down"), Reply(503, b"")]
    cloud.lost_replies = [TERMINATE]
    assert rental.end_instance(made.id).known
    assert cloud.rented[0].status == "terminating"


@pytest.mark.parametrize("reply", [Reply(404, b"<html>"), Reply(404, {"error": "no"}), Reply(200, {"data": {}})])
def test_only_lambda_itself_can_say_that_there_was_no_such_machine(rental: Lambda, cloud: Cloud, reply: Reply) -> None:
    """A 404 of somebody on the way is an error."""
    cloud.instead[TERMINATE] = [reply]
    with pytest.raises(ConnectorError):
        rental.end_instance("1")


@pytest.mark.parametrize("body", [{"data": [1]}, {"data": {}}, {}, [], {"data": [{"status": "active"}]}])
def test_a_list_with_a_gap_is_an_error(rental: Lambda, cloud: Cloud, body: object) -> None:
    """Absence from it proves that a machine is gone, so it is whole or nothing."""
    cloud.instead["GET /api/v1/instances"] = [Reply(200, body)]
    with pytest.raises(BadResponse):
        rental.list_instances()


def test_the_meter_counts_minutes_from_health_on(rental: Lambda, cloud: Cloud) -> None:
    """As the offer's rules say it: booting is free, started minutes are whole."""
    now = datetime(2026, 11, 26, tzinfo=UTC)
    cloud.now = lambda: now
    offer = find_offer(rental)
    made = rental.submit_job(build_rent(offer))
    now += timedelta(minutes=9)
    rental.list_instances()
    rental.list_instances()
    now += timedelta(minutes=61, seconds=1)
    rental.end_instance(made.id)
    assert cloud.bill_usd(cloud.rented[0]) == offer.rules.compute_usd(61 * 60 + 1) == Decimal("4.29") * 62 / 60


def test_secrets_are_in_no_request(rental: Lambda, cloud: Cloud) -> None:
    """Neither as they are nor packed: what a machine was started with, everybody on it can read."""
    rental.submit_job(
        build_rent(find_offer(rental), settings={"PS_RUN": "it's"}, secrets={"HF_TOKEN": Secret("hf_" + "s" * 30)})
    )
    (body,) = (request.json() for request in cloud.asked if str(request) == LAUNCH)
    assert "hf_sss" not in str(body)
    assert "HF_TOKEN" not in str(body)
    assert """export PS_RUN='it'"'"'s'""" in body["user_data"].replace('\\"', '"')


def test_what_does_not_fit_is_refused_before_anything_is_sent(rental: Lambda, cloud: Cloud) -> None:
    """A script of over a megabyte, and a setting that no shell can name."""
    offer, before = find_offer(rental), len(cloud.asked)
    with pytest.raises(Refused, match="larger"):
        rental.submit_job(build_rent(offer, boot="#" * 1_000_001))
    with pytest.raises(Refused, match="variable"):
        rental.submit_job(build_rent(offer, settings={"A;rm": "1"}))
    assert len(cloud.asked) == before


def test_every_request_and_answer_is_as_the_specification_says(rental: Lambda, cloud: Cloud) -> None:
    """Ours against Lambda's own file, and the emulator's answers, too."""
    made = rental.submit_job(build_rent(find_offer(rental), host_key=Secret("-----BEGIN OPENSSH PRIVATE KEY-----")))
    rental.list_instances()
    rental.list_instances()
    shown = [cloud.shown(one) for one in cloud.rented]
    rental.end_instance(made.id)

    assert {str(request) for request in cloud.asked} == {
        "GET /api/v1/instance-types", "GET /api/v1/ssh-keys", "POST /api/v1/ssh-keys", LAUNCH, "GET /api/v1/instances", TERMINATE,
    }  # fmt: skip
    assert [fault for request in cloud.asked for fault in find_faults(load_spec("lambda.json"), request)] == []
    answer = {"data": shown}
    assert find_answer_faults(load_spec("lambda.json"), "GET", "/api/v1/instances", status=200, body=answer) == []


@pytest.mark.skipif(SSHD is None, reason="no sshd on this machine (Debian: openssh-server)")
def test_a_bought_machine_is_reached_and_runs_its_script(
    rental: Lambda, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way with real processes: bought, booted, verified by the host key that was placed, given its secrets, ended."""
    keys = SshHome(tmp_path / "home" / "ssh")
    boot = """
        until read -r name token 2>/dev/null </home/ubuntu/.peft-studio/secrets; do sleep 0.02; done
        echo "$name ${#token}"
        exec sleep 600"""
    with Machines(tmp_path / "machines") as cloud.machines:
        rental.submit_job(
            build_rent(
                find_offer(rental), boot=boot, public_key=keys.public_key(), host_key=keys.host_key("ps-run-1"),
            )
        )  # fmt: skip
        monkeypatch.setenv("PATH", str(cloud.machines.root / "network"), prepend=os.pathsep)
        found = wait_for(
            lambda: next((one for one in rental.list_instances().instances if one.ssh), None), "an address", timeout_s=20
        )  # fmt: skip
        way = keys.way(found.label, found.ssh, platform="lambdalabs")
        way.send_secrets({"HF_TOKEN": Secret("hf_" + "s" * 30)})
        vm = cloud.rented[0].vm
        assert vm is not None
        wait_for(lambda: vm.log == "HF_TOKEN 33\n", "the script")
        rental.end_instance(found.id)
        assert vm.machine.processes == []
        with pytest.raises(Unavailable):
            way.run("true")


@pytest.mark.skipif(SSHD is None, reason="no sshd on this machine (Debian: openssh-server)")
def test_a_machine_that_switches_itself_off_is_still_there_and_billed(
    rental: Lambda, cloud: Cloud, tmp_path: Path
) -> None:  # fmt: skip
    """Lambda has no key for it: only a termination ends the bill."""
    with Machines(tmp_path / "machines") as cloud.machines:
        made = rental.submit_job(build_rent(find_offer(rental), boot="shutdown -h now"))
        found = wait_for(
            lambda: next((one for one in rental.list_instances().instances if "unhealthy" in one.reason), None), "its end",
            timeout_s=20,
        )  # fmt: skip
        assert (found.id, found.billed, found.usd_per_hour) == (made.id, "all", Decimal("4.29"))
        assert rental.end_instance(made.id).known
