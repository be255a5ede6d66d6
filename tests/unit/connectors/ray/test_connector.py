"""Nodes as offers and jobs as machines, against an emulated dashboard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from peft_studio.connectors.ray.api import build_address
from peft_studio.connectors.ray.connector import TOLD_S, Ray
from peft_studio.core.compute import find_gpu
from peft_studio.core.errors import NotAuthorised, Refused, Unavailable
from peft_studio.core.ports import Offer, OfferQuery, Rent
from peft_studio.core.ports.rental import InstanceState
from peft_studio.core.redact import Secret
from tests.emulators.ray import Cluster, serve_ray

LABEL = "ps-aaaaaa-r-20261126-120000-abcdef-1-7fffffff"
GIB = 2**30


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes with cards of two kinds, one without, one that is gone."""
    made = Cluster(
        nodes={
            "a": {"CPU": 16.0, "GPU": 4.0, "accelerator_type:A100": 1.0, "memory": 100.0 * GIB},
            "b": {"CPU": 8.0, "GPU": 2.0, "accelerator_type:T4": 1.0, "memory": 50.0 * GIB},
            "c": {"CPU": 4.0, "memory": 8.0 * GIB},
            "d": {"CPU": 64.0, "GPU": 8.0},
        },
        cards={"a": [{"name": "NVIDIA A100-SXM4-80GB", "memoryTotal": 81920}] * 4},
        taken={"a": {"CPU": 4.0, "GPU": 3.0}, "b": {"CPU": 8.0}},
        dead={"d"},
    )
    with serve_ray(made) as address:
        made.address = address  # type: ignore[attr-defined]
        yield made


@pytest.fixture
def ray(cluster: Any) -> Ray:
    return Ray({"address": Secret(cluster.address)})


def offer_of(ray: Ray, **query: Any) -> Offer:
    """The first place."""
    return ray.list_offers(OfferQuery(**query)).offers[0]


def submit(ray: Ray, label: str = LABEL, **query: Any) -> Any:
    """A job in line."""
    secrets = {"PS_TOKEN": Secret("t" * 40)}
    return ray.submit_job(
        Rent(label=label, offer=offer_of(ray, **query), boot="echo hi\n", disk_gib=40, secrets=secrets)
    )


def test_offers_are_places_on_living_nodes_with_what_is_free(ray: Ray) -> None:
    """A kind of card each, and the nodes without; a job takes its share of the CPUs; what has none free waits."""
    found = ray.list_offers(OfferQuery()).offers
    assert [(one.gpu, one.region, one.stock.value, one.cpus) for one in found] == [
        ("NVIDIA A100-SXM4-80GB", "1 of 4 GPUs free", "low", 4),
        ("T4", "0 of 2 GPUs free", "unknown", 4),
        (None, "1 of 1 CPU nodes free", "low", 4),
    ]
    assert found[0].gpu_memory_gib == 80.0
    assert all((one.usd_per_hour, one.queues, one.ends_itself) == (Decimal(0), True, True) for one in found)
    assert [find_gpu(one.gpu).name for one in found[:2]] == ["A100-80GB", "T4"]  # type: ignore[union-attr, arg-type]


def test_several_cards_are_those_of_one_node(ray: Ray) -> None:
    """Four fit on one, eight on none; a bid finds nothing."""
    assert [one.region for one in ray.list_offers(OfferQuery(gpu_count=4)).offers if one.gpu] == [
        "0 of 1 places of 4 GPUs free"
    ]
    assert not [one for one in ray.list_offers(OfferQuery(gpu_count=8)).offers if one.gpu]
    assert not ray.list_offers(OfferQuery(spot=True)).offers


def test_several_machines_are_nodes_of_one_kind(cluster: Cluster, ray: Ray) -> None:
    """Their places are asked for by the job itself, all at once; until it has them it waits, whatever Ray calls that."""
    cluster.nodes["e"] = cluster.nodes["c"]
    [places] = ray.list_offers(OfferQuery(machines=2)).offers
    assert (places.machines, places.gpu_count, places.region) == (2, 0, "1 of 1 places of 2 nodes free")
    submit(ray, machines=2)
    job = cluster.jobs[LABEL]
    assert job["entrypoint"] == "exec python3 together.py 2 0 4 -"
    assert "entrypoint_num_cpus" not in job
    cluster.logs[LABEL] = "peft-studio: waits for its nodes\n"
    assert [one.state for one in ray.list_instances().instances] == [InstanceState.PROVISIONING]
    cluster.logs[LABEL] += "peft-studio: its door is on port 20001 of 10.0.0.9\n"
    [one] = ray.list_instances().instances
    assert (one.state, one.addresses) == (InstanceState.RUNNING, {8443: "10.0.0.9:20001"})


def test_a_job_asks_for_its_place_and_holds_no_secret_where_it_is_shown(ray: Ray, cluster: Cluster) -> None:
    """Card, share of CPUs and kind; what opens its door is in a file of its package alone."""
    submit(ray)
    job = cluster.jobs[LABEL]
    asked = job["entrypoint_num_gpus"], job["entrypoint_num_cpus"], job["entrypoint_resources"]
    assert asked == (1, 4, {"accelerator_type:A100": 0.001})
    assert "t" * 40 not in str(job)
    assert cluster.files(LABEL)["secrets"] == f"PS_TOKEN {'t' * 40}\n"


def test_the_same_label_twice_is_one_job(ray: Ray, cluster: Cluster) -> None:
    """Ray refuses the second, and it is taken for the one that is there."""
    assert submit(ray) == submit(ray)
    assert cluster.made == 1


def test_a_waiting_job_has_no_door_and_a_running_one_says_where(ray: Ray, cluster: Cluster) -> None:
    """On its node, at the port that it printed; that is asked for once."""
    cluster.starts = False
    assert submit(ray).state is InstanceState.PROVISIONING
    [one] = ray.list_instances().instances
    assert (one.state, one.addresses) == (InstanceState.PROVISIONING, {})
    cluster.run(LABEL, port=23456)
    for _ in range(2):
        [one] = ray.list_instances().instances
        assert (one.state, one.addresses) == (InstanceState.RUNNING, {8443: "10.0.0.7:23456"})
    assert [str(request) for request in cluster.asked].count(f"GET /api/jobs/{LABEL}/logs") == 1


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"status": "SUCCEEDED"}, None),
        ({"status": "STOPPED"}, None),
        ({"status": "FAILED", "message": "no pip"}, InstanceState.FAILED),
        ({"status": "FAILED", "error_type": "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"}, InstanceState.STOPPED),
        ({"status": "FAILED", "end_time": int((time.time() - 2 * TOLD_S) * 1000)}, None),
    ],
)
def test_what_has_ended_is_gone_and_what_failed_says_so_once(
    ray: Ray, cluster: Cluster, change: dict[str, Any], state: InstanceState | None
) -> None:
    """One that Ray let wait too long lost its turn; an old failure is told to nobody."""
    submit(ray)
    cluster.jobs[LABEL] |= change
    listed = ray.list_instances().instances
    assert [one.state for one in listed] == ([state] if state else [])
    if state is InstanceState.FAILED:
        assert (listed[0].reason, listed[0].billed) == ("no pip", "nothing")
    if state:
        ray.end_instance(LABEL)
        assert not ray.list_instances().instances


def test_jobs_of_others_are_listed_and_not_looked_into(ray: Ray, cluster: Cluster) -> None:
    """Their logs are theirs; a driver that was never submitted is no machine."""
    submit(ray, "raysubmit_xyz")
    assert [(one.id, one.addresses) for one in ray.list_instances().instances] == [("raysubmit_xyz", {})]


def test_an_error_is_the_last_line_of_its_traceback(ray: Ray, cluster: Cluster) -> None:
    """And not the forty before it."""
    cluster.instead["POST /api/jobs/"] = []
    offer = offer_of(ray)
    from tests.emulators.loopback import Reply

    cluster.instead["POST /api/jobs/"] = [Reply(500, b'Traceback\n  File "x.py", line 3\nValueError: no such thing\n')]
    with pytest.raises(Unavailable, match="no such thing") as caught:
        ray.submit_job(Rent(label=LABEL, offer=offer, boot="", disk_gib=40))
    assert "File" not in caught.value.message
    assert caught.value.may_have_happened


def test_an_offer_of_somebody_else_is_refused(ray: Ray, cluster: Cluster) -> None:
    """Before anything is sent."""
    offer = offer_of(ray).model_copy(update={"id": "SECURE|1|NVIDIA L4|"})
    with pytest.raises(Refused):
        ray.submit_job(Rent(label=LABEL, offer=offer, boot="", disk_gib=40))
    assert not cluster.packages


def test_a_token_that_is_not_taken(cluster: Any) -> None:
    """Ray says 401 without one and 403 to a wrong one: both are about the token."""
    cluster.token = "right" * 10
    for keys in ({}, {"token": Secret("wrong" * 10)}):
        with pytest.raises(NotAuthorised):
            Ray({"address": Secret(cluster.address), **keys}).connect()


def test_who_it_is(ray: Ray) -> None:
    """Version, address, and what it has."""
    account = ray.connect()
    assert account.name.startswith("Ray 2.60.0 at 127.0.0.1:")
    assert account.note.startswith("3 nodes, 6 GPUs, 28 CPUs.")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("head", "http://head:8265/"),
        ("head:80", "http://head:80/"),
        ("http://head", "http://head/"),
        ("https://ray.example.org/cluster/", "https://ray.example.org/cluster/"),
    ],
)
def test_addresses_as_people_write_them(given: str, address: str) -> None:
    """Without a scheme the dashboard's port is meant."""
    assert build_address(given) == address
