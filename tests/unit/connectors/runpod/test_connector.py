"""The RunPod connector against an account on loopback, whose machines are real processes."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from peft_studio.connectors.base import patience
from peft_studio.connectors.runpod import api as api_module
from peft_studio.connectors.runpod.connector import RunPod
from peft_studio.core.compute import find_gpu
from peft_studio.core.errors import BadResponse, ConnectorError, Forbidden, Refused, SoldOut
from peft_studio.core.ports import InstanceState, Offer, OfferQuery, Rent, Stock
from peft_studio.core.redact import Secret
from tests.conftest import wait_for
from tests.emulators.loopback import Reply
from tests.emulators.machine import Machines
from tests.emulators.runpod import Cloud, make_gpu, serve_runpod
from tests.specs import check_answer, check_request, load_spec

KEY, READ_ONLY = "rpa_" + "A" * 40, "rpa_" + "R" * 40
A100, L4 = "NVIDIA A100 80GB PCIe", "NVIDIA L4"
LISTENS = """
echo "run $RUN key ${#RUN_KEY}"
exec python3 -c "
import http.server, os
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass
http.server.HTTPServer(('127.0.0.1', int(os.environ.get('PEFT_STUDIO_PORT_8080', 8080))), Handler).serve_forever()"
"""


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 1, tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cloud(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    gpus = [
        make_gpu(A100, 80, secure=1.64, community=1.19), make_gpu(L4, 24, secure=0.39, free="LOW"),
        make_gpu("NVIDIA B200", 180, community=4.99, free="NONE", maxCount={"secure": 0, "community": 2}), make_gpu("AMD Instinct MI300X OAM", 192, secure=2.49, manufacturer="AMD"),
    ]  # fmt: skip
    made = Cloud(machines=Machines(tmp_path / "pods"), gpus=gpus, keys={KEY: "all", READ_ONLY: "read"}, clock=clock)
    monkeypatch.setattr(patience, "_paces", {})
    monkeypatch.setattr(api_module, "STREAM_S", 0.5)
    with serve_runpod(made) as (address, proxy):
        monkeypatch.setenv("RUNPOD_URL", address)
        monkeypatch.setenv("RUNPOD_PROXY_URL", proxy)
        yield made


@pytest.fixture
def runpod(cloud: Cloud) -> RunPod:
    return RunPod({"key": Secret(KEY)})


def offer_of(runpod: RunPod, gpu: str = A100, cloud: str = "SECURE", **query: Any) -> Offer:
    found = runpod.list_offers(OfferQuery(**query)).offers
    return next(one for one in found if one.gpu == gpu and one.id.startswith(cloud))


def rent_of(offer: Offer, **fields: Any) -> Rent:
    given = {"label": "ps-run-1", "boot": LISTENS, "disk_gib": 40, "ports": (8080, 22), "settings": {"RUN": "7"}, "secrets": {"RUN_KEY": Secret("hush-hush-hush")}}  # fmt: skip
    return Rent(offer=offer, **{**given, **fields})


def test_every_kind_in_each_cloud_is_an_offer(runpod: RunPod) -> None:
    """With the price of the whole machine; not where it has no price, is no NVIDIA card, or has no machine that large."""
    found = runpod.list_offers(OfferQuery(gpu_count=2)).offers
    shown = {(one.gpu, one.id.partition("|")[0], str(one.usd_per_hour), one.stock) for one in found}
    assert shown == {
        (A100, "SECURE", "3.28", Stock.HIGH), (A100, "COMMUNITY", "2.38", Stock.HIGH), (L4, "SECURE", "0.78", Stock.LOW),
        ("NVIDIA B200", "COMMUNITY", "9.98", Stock.NONE),
    }  # fmt: skip
    assert {one.gpu for one in runpod.list_offers(OfferQuery(gpu_count=3)).offers} == {A100, L4}
    assert all(find_gpu(one.gpu or "") for one in found)
    assert {(one.ends_itself, one.spot, str(one.storage_usd_per_gb_month)) for one in found} == {(True, False, "0.10")}
    assert "1 h of credit" in found[0].includes
    assert {one.region for one in found} == {"secure cloud", "community cloud"}
    assert {one.region for one in runpod.list_offers(OfferQuery(region="community")).offers} == {"community cloud"}


def test_a_region_is_a_data_centre_and_spot_there_is_none(runpod: RunPod, cloud: Cloud) -> None:
    """What is asked for by region is bought there."""
    found = runpod.list_offers(OfferQuery(region="eu")).offers
    assert {(one.gpu, one.region) for one in found} == {(A100, "EU-RO-1"), (L4, "EU-RO-1")}
    made = runpod.submit_job(rent_of(found[0]))
    assert next(iter(cloud.pods.values())).body["dataCenterIds"] == ["EU-RO-1"]
    assert made.region == "EU-RO-1"
    assert runpod.list_offers(OfferQuery(spot=True)).offers == ()


def test_a_machine_boots_our_script_and_answers_through_the_proxy(runpod: RunPod, cloud: Cloud, clock: Clock) -> None:
    """It stands at its states, runs with settings and secrets, is reached by its port, and is RUNNING before that answers."""
    cloud.provisioning_s = cloud.starting_s = 10.0
    made = runpod.submit_job(rent_of(offer_of(runpod, gpu_count=1)))
    assert (made.state, made.label, made.addresses) == (InstanceState.PROVISIONING, "ps-run-1", {})
    assert (made.usd_per_hour, made.gpu, made.billed) == (Decimal("1.64"), A100, "all")
    clock.now += 10
    assert runpod.list_instances().instances[0].state is InstanceState.BOOTING
    clock.now += 10
    running = runpod.list_instances().instances[0]
    assert running.state is InstanceState.RUNNING
    assert httpx.get(running.addresses[8080]).status_code in (200, 502)
    wait_for(lambda: httpx.get(running.addresses[8080]).status_code == 200, "its port")
    assert running.ssh is not None
    assert running.addresses[22] == f"{running.ssh.host}:{running.ssh.port}"

    log = wait_for(lambda: runpod.stream_logs(made.id, None).lines and runpod.stream_logs(made.id, None), "its log")
    assert log.lines == ("run 7 key 14",)
    assert runpod.stream_logs(made.id, log.cursor).lines == ()


def test_a_log_goes_on_where_it_ended(runpod: RunPod, cloud: Cloud) -> None:
    """Every line once, though RunPod begins with the one that was last."""
    made = runpod.submit_job(
        rent_of(offer_of(runpod), boot="for n in $(seq 300); do echo line $n; done; exec sleep 600")
    )
    runpod.list_instances()
    machine = cloud.pods[made.id].machine
    wait_for(lambda: machine and len(machine.lines) == 300, "300 lines")
    seen = runpod.stream_logs(made.id, None)
    middle = cloud.pods[made.id].machine.lines[99].at.isoformat().replace("+00:00", "Z")  # type: ignore[union-attr]
    assert seen.lines == tuple(f"line {n + 1}" for n in range(300))
    assert runpod.stream_logs(made.id, middle).lines == seen.lines[100:]


def test_secrets_are_in_the_environment_alone(runpod: RunPod, cloud: Cloud) -> None:
    """Not in the arguments, the name, the image; and the script is there to be read."""
    runpod.submit_job(rent_of(offer_of(runpod)))
    body = next(iter(cloud.pods.values())).body
    assert body["env"]["RUN_KEY"] == "hush-hush-hush"
    assert "hush" not in json.dumps(
        {**body, "env": {name: value for name, value in body["env"].items() if name != "RUN_KEY"}}
    )
    assert isinstance(body["args"], str)
    assert body["args"].startswith("bash ")
    assert re.fullmatch(r"runpod/pytorch:\d+\.\d+\.\d+-cu\d+-torch\d+-ubuntu2404", body["image"])
    assert RunPod({"key": Secret(KEY), "image": Secret("me/mine:1")})._image == "me/mine:1"


def test_a_machine_ends_itself_and_nothing_else(runpod: RunPod, cloud: Cloud) -> None:
    """By the address and key that the connector names, and that key reaches no further."""
    end = runpod.way.self_end
    boot = f'python3 -c "import urllib.request as u; u.urlopen(u.Request(\\"{end.url}\\", method=\\"{end.method}\\", headers={{\\"Authorization\\": \\"Bearer ${end.key}\\"}}))"; exec sleep 600'
    runpod.submit_job(rent_of(offer_of(runpod), label="ps-other-1", boot="exec sleep 600"))
    made = runpod.submit_job(rent_of(offer_of(runpod), boot=boot))
    runpod.list_instances()
    pod = cloud.pods[made.id]
    wait_for(lambda: pod.gone_at is not None, "its end")
    assert [one.label for one in runpod.list_instances().instances] == ["ps-other-1"]
    other = next(iter(cloud.pods.values()))
    with pytest.raises(Forbidden):
        RunPod({"key": Secret(other.key)}).list_instances()
    request = urllib.request.Request(f"{cloud.address}/v2/pods/{made.id}", method="DELETE", headers={"Authorization": f"Bearer {other.key}"})  # fmt: skip
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 403


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"phantom": {A100}}, SoldOut, "no longer any instances"),
        ({"balance": Decimal("1.63")}, Refused, "credit"),
        ({"gpus": []}, Refused, "not offered"),
    ],
)
def test_a_no_is_a_no(runpod: RunPod, cloud: Cloud, change: dict[str, Any], kind: type, words: str) -> None:
    """Listed as there and not to be had, no credit, a rule: three refusals with what to do; nothing is in doubt."""
    offer = offer_of(runpod)
    for name, value in change.items():
        setattr(cloud, name, value)
    with pytest.raises(ConnectorError, match=words) as caught:
        runpod.submit_job(rent_of(offer))
    assert type(caught.value) is kind
    assert caught.value.hint
    assert not caught.value.may_have_happened


def test_a_key_that_may_only_read_is_told_so(cloud: Cloud) -> None:
    """It connects, and buying says which permission it lacks."""
    reader = RunPod({"key": Secret(READ_ONLY)})
    assert "may only read" in reader.connect().note
    with pytest.raises(Forbidden, match="key lacks the required permission") as caught:
        reader.submit_job(rent_of(offer_of(reader)))
    assert "write access to pods" in caught.value.hint


def test_a_contract_that_changed_names_every_violation(runpod: RunPod, cloud: Cloud) -> None:
    """422 is ours to fix: its list is shown."""
    cloud.instead["POST /v2/pods"] = [
        Reply(422, {"title": "x", "status": 422, "detail": "bad body", "errors": ["$.disk: want integer"]})
    ]
    with pytest.raises(Refused, match="disk: want integer"):
        runpod.submit_job(rent_of(offer_of(runpod)))


def test_a_500_that_made_a_machine_is_in_doubt(runpod: RunPod, cloud: Cloud) -> None:
    """The machine bills; it is found by its label, and no second one was asked for."""
    cloud.made_and_failed = 1
    with pytest.raises(ConnectorError) as caught:
        runpod.submit_job(rent_of(offer_of(runpod)))
    assert caught.value.may_have_happened
    assert [one.label for one in runpod.list_instances().instances] == ["ps-run-1"]
    assert len([one for one in cloud.asked if one.method == "POST"]) == 1


@pytest.mark.parametrize("answer", [b"", b"{}", b"<html>", b'{"id": "x"}', b"[]"])
def test_an_answer_that_does_not_say_what_was_made_is_in_doubt(runpod: RunPod, cloud: Cloud, answer: bytes) -> None:
    """A 201 that cannot be read is no refusal."""
    offer = offer_of(runpod)
    cloud.after["POST /v2/pods"] = [Reply(201, answer, {"Content-Type": "application/json"})]
    with pytest.raises(BadResponse) as caught:
        runpod.submit_job(rent_of(offer))
    assert caught.value.may_have_happened


@pytest.mark.parametrize("hole", [{"id": "x"}, {"status": "RUNNING"}, "x", None])
def test_a_list_with_a_hole_is_an_error(runpod: RunPod, cloud: Cloud, hole: Any) -> None:
    """It would prove the absence of a machine that is there."""
    good = {"id": "y", "status": "RUNNING", "name": "ps-a-1"}
    cloud.instead["GET /v2/pods"] = [Reply(200, {"pods": [good, hole]})]
    with pytest.raises(BadResponse):
        runpod.list_instances()


def test_states_and_what_is_billed_in_them(runpod: RunPod, cloud: Cloud) -> None:
    """A stopped machine's volume is billed on; a state that is new to us counts as billed."""
    pods = [
        {"id": "1", "status": "EXITED", "mounts": {}}, {"id": "2", "status": "EXITED", "mounts": {"persistent": {"size": 20, "path": "/w"}}},
        {"id": "3", "status": "ERROR"}, {"id": "4", "status": "TERMINATED"}, {"id": "5", "status": "MOVING"},
    ]  # fmt: skip
    cloud.instead["GET /v2/pods"] = [Reply(200, {"pods": pods})]
    found = runpod.list_instances().instances
    assert [(one.state.value, one.billed) for one in found] == [
        ("stopped", "nothing"), ("stopped", "storage"), ("failed", "all"), ("ending", "nothing"), ("booting", "all"),
    ]  # fmt: skip
    assert "MOVING" in found[4].reason


def test_an_end_that_was_answered_and_not_done_leaves_it_in_the_list(runpod: RunPod, cloud: Cloud) -> None:
    """The list decides, and a second end does it."""
    made = runpod.submit_job(rent_of(offer_of(runpod)))
    cloud.sticky = 1
    assert runpod.end_instance(made.id).known
    assert len(runpod.list_instances().instances) == 1
    runpod.end_instance(made.id)
    assert runpod.list_instances().instances == ()


def test_bills_are_those_of_the_meter(runpod: RunPod, cloud: Cloud, clock: Clock) -> None:
    """GPU and disk by the second, a stopped disk's share too, hour by hour; nothing after the end."""
    made = runpod.submit_job(rent_of(offer_of(runpod), boot="exec sleep 600"))
    pod = cloud.pods[made.id]
    pod.body["mounts"] = {"persistent": {"size": 100, "path": "/workspace"}}
    clock.now += 5400
    cloud.settle()
    cloud.halt(pod, "EXITED")
    clock.now += 3600
    runpod.end_instance(made.id)
    clock.now += 36_000
    charges = runpod.list_charges(datetime(2026, 11, 1, tzinfo=UTC)).charges
    hours = [
        Decimal("1.64") + Decimal("14") / 730,
        Decimal("0.82") + (Decimal("7") + Decimal("10")) / 730,
        Decimal("10") / 730,
    ]
    assert [round(one.usd, 9) for one in charges] == [round(usd, 9) for usd in hours]
    assert {one.instance_id for one in charges} == {made.id}
    assert abs(sum(one.usd for one in charges) - cloud.invoice()) < Decimal("1e-9")
    assert charges[1].begin_at - charges[0].begin_at == timedelta(hours=1)


def test_an_environment_that_runpod_does_not_take_is_not_sent(runpod: RunPod, cloud: Cloud) -> None:
    """Too many variables or too long a script: said before anything is bought."""
    for fields in ({"settings": {f"A{n}": "1" for n in range(50)}}, {"boot": "#" * 90_000}):
        with pytest.raises(Refused, match="Nothing was sent"):
            runpod.submit_job(rent_of(offer_of(runpod), **fields))
    assert not [one for one in cloud.asked if one.method == "POST"]


def test_requests_and_emulated_answers_are_as_the_vendor_says(runpod: RunPod, cloud: Cloud, clock: Clock) -> None:
    """Every call that is made exists in RunPod's own file, with parameters it names, bodies it takes, and answers it gives."""
    spec = load_spec("runpod-rest-v2.json")
    answers: dict[str, Any] = {}
    for query in (OfferQuery(), OfferQuery(gpu_count=2, region="EU")):
        offer = runpod.list_offers(query).offers[0]
        runpod.submit_job(rent_of(offer, boot="exec sleep 600"))
    made = runpod.list_instances().instances[0]
    clock.now += 60
    runpod.list_charges(datetime(2026, 11, 1, tzinfo=UTC))
    runpod.stream_logs(made.id, None)
    headers = {"Authorization": f"Bearer {KEY}"}
    paths = {"/v2/pods": "/v2/pods", f"/v2/pods/{made.id}": "/v2/pods/{id}", "/v2/catalog/gpus?include=AVAILABILITY&product=POD": "/v2/catalog/gpus", "/v2/billing/pods?startTime=2026-11-01T00:00:00Z&bucketSize=hour": "/v2/billing/pods"}  # fmt: skip
    for path, name in paths.items():
        answers[name] = httpx.get(cloud.address + path, headers=headers).json()
    created = httpx.post(f"{cloud.address}/v2/pods", headers=headers, json=next(iter(cloud.pods.values())).body).json()
    runpod.end_instance(made.id)

    assert {one.path for one in cloud.asked} == {"/v2/pods", f"/v2/pods/{made.id}", f"/v2/pods/{made.id}/logs", "/v2/catalog/gpus", "/v2/billing/pods"}  # fmt: skip
    for one in cloud.asked:
        name = one.path.replace(made.id, "{id}")
        check_request(spec, one.method, name, one.json())
        allowed = {
            _resolved(spec, each)["name"] for each in spec["paths"][name][one.method.lower()].get("parameters", [])
        }
        assert set(one.query) <= allowed, name
    for name, body in answers.items():
        check_answer(spec, "GET", name, body)
    check_answer(spec, "POST", "/v2/pods", created, status=201)


def _resolved(spec: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    return spec["components"]["parameters"][found["$ref"].rpartition("/")[2]] if "$ref" in found else found
