"""The Compute panel on providers on loopback, with a page at the other end. What launches is stood in for: nothing is rented here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.connectors.base import door, patience
from peft_studio.core.ports.offers import Offer
from peft_studio.core.services.offers import OfferList, say_memory
from peft_studio.core.services.rent.caps import LONGEST_HOURS
from peft_studio.core.services.start_history import record_start
from peft_studio.widgets._compute_proposal import build_proposal
from peft_studio.widgets._compute_view import say_rate
from tests.emulators.lambdalabs import Cloud as Lambda
from tests.emulators.lambdalabs import serve_lambda
from tests.emulators.loopback import Reply
from tests.emulators.machine import Machines
from tests.emulators.ray import Cluster, serve_ray
from tests.emulators.runpod import Cloud, make_gpu, serve_runpod
from tests.speed import write_speed
from tests.tiny import write_rows, write_tokenizer
from tests.ui.hostile import HOSTILE
from tests.unit.widgets.browser import Browser

KEY, OTHER = "rpa_" + "A" * 40, "secret_lambda_" + "a" * 32
OpenBrowser = Callable[[Callable[[], Any]], Browser]


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """RunPod with three kinds, one of which is sold out."""
    monkeypatch.setattr(patience, "_paces", {})
    monkeypatch.setattr(door, "pause", lambda wait_s: None)
    for name in ("PEFT_STUDIO_CONNECTORS", "PEFT_STUDIO_OFFLINE", "RUNPOD_API_KEY", "LAMBDA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    gpus = [
        make_gpu("NVIDIA L4", 24, secure=0.39),
        make_gpu("NVIDIA A100 80GB PCIe", 80, secure=1.64, community=1.19),
        make_gpu("NVIDIA A40", 48, secure=0.4, free="NONE"),
    ]
    made = Cloud(machines=Machines(tmp_path / "pods"), gpus=gpus, keys={KEY: "all"})
    with serve_runpod(made) as (address, proxy):
        monkeypatch.setenv("RUNPOD_URL", address)
        monkeypatch.setenv("RUNPOD_PROXY_URL", proxy)
        yield made


@pytest.fixture
def studio(cloud: Cloud, tmp_path: Path) -> Studio:
    """With a draft, and nobody connected."""
    folder = tmp_path / "model"
    folder.mkdir()
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": write_tokenizer(folder), "max_position_embeddings": 512,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    made = Studio(home=write_speed(tmp_path / "home"))
    made.spec(model=str(folder), data=made.data(str(write_rows(tmp_path / "rows.jsonl", 200))), name="orders")
    return made


@pytest.fixture
def launched(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was launched, in place of launching it."""
    found: list[dict[str, Any]] = []

    def launch(spec: Any, **given: Any) -> Any:
        found.append({"spec": spec, **given})
        return SimpleNamespace(id="r-20261126-101112-00000b")

    monkeypatch.setattr(studio, "launch", launch)
    return found


@pytest.fixture
def page(studio: Studio, open_browser: OpenBrowser) -> Browser:
    """The page of a studio that is connected to RunPod, once it lists machines."""
    studio.connect("runpod", key=KEY, keep=False)
    return shown(open_browser(lambda: studio.panel("compute")))


def shown(page: Browser) -> Browser:
    """The same page, once what it lists is of now."""
    page.wait(lambda: page.sections.get("market") is not None and page.sections["state"] == "ready")
    return page


def rows(page: Browser) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.sections["market"]["rows"]
    return found


def find(page: Browser, gpu: str) -> dict[str, Any]:
    """The first row of a card."""
    return next(row for row in rows(page) if gpu in row["gpu"])


def test_without_a_draft_the_step_that_is_missing_is_named(
    cloud: Cloud, tmp_path: Path, open_browser: OpenBrowser
) -> None:
    """And there is a way to it."""
    empty = Studio(home=tmp_path / "empty")
    page = open_browser(lambda: empty.panel("compute"))
    page.wait(lambda: "missing" in page.sections)

    assert page.sections["missing"] == ["model", "data"]
    assert page.command("go", panel="models")["ok"]
    assert empty.session.now.panel == "models"
    assert cloud.asked == []


def test_machines_with_their_money(page: Browser, studio: Studio) -> None:
    """As ``studio.quotes`` has them: here first at no cost, then by total dollars, sold out at the end with what to take instead."""
    quotes = studio.quotes(studio.session.now.draft, measure=False)  # type: ignore[arg-type]

    assert rows(page)[0]["local"]
    assert rows(page)[0]["total"] == {"value": "$0", "range": ""}
    assert [row["total"]["value"] for row in rows(page)] == [quotes.cells(row)[3].split(" ")[0] for row in quotes]
    assert find(page, "L4")["per_hour"] == "$0.39"
    assert "secure cloud" in find(page, "L4")["detail"]
    assert "assumed" in find(page, "L4")["starts_basis"]
    assert find(page, "L4")["fits"]
    last = rows(page)[-1]
    assert (last["gpu"], last["to_be_had"], last["stock"]) == ("NVIDIA A40", False, "sold out")
    assert {one["key"] for one in last["in_place"]} == {row["key"] for row in rows(page)[1:-1]}
    assert {one["more"] for one in last["in_place"]} == {"about the same", "+$0.05", "+$0.08"}
    assert page.sections["market"]["connected"] == ["RunPod"]
    in_a_cell: dict[str, Any] = {}
    exec(page.panel.code, in_a_cell)
    html = page.panel._repr_mimebundle_()["text/html"]
    assert "NVIDIA L4" in html
    assert "Nothing has been rented here" in html


def test_starts_that_were_seen_are_told(studio: Studio, page: Browser) -> None:
    """Theirs, and of how many."""
    for seconds in (40, 50, 60):
        record_start(studio.home, "runpod", "NVIDIA L4", seconds=seconds)
    page.command("look_again")
    page.wait(lambda: find(page, "L4")["starts"] == "50 s")
    assert find(page, "L4")["starts_basis"] == "3 starts of this card at this provider"


def test_prices_and_memory_are_short(studio: Studio, page: Browser) -> None:
    """Of a market they come with sixteen digits; what is shown is never less than what is asked."""
    offer = studio.offers()[0]
    for exact, shown in (("0.2088356164383562", "$0.209"), ("0.39", "$0.39"), ("1.6401", "$1.641"), ("12", "$12.00")):
        assert say_rate(offer.model_copy(update={"usd_per_hour": Decimal(exact)})) == shown
    for gib, shown in ((23.9883, "24 GiB"), (47.5371, "47.5 GiB"), (80.0, "80 GiB")):
        assert say_memory(offer.model_copy(update={"gpu_memory_gib": gib})) == shown


def test_filter_and_order(page: Browser) -> None:
    """This machine stays; what Python would be asked for is shown; what is not an order is refused."""
    page.command("narrow", gpu="A100")
    page.wait(lambda: len(rows(page)) == 3)
    assert [row["local"] for row in rows(page)] == [True, False, False]
    assert "gpu='A100'" in page.panel.code
    page.command("narrow", spot="only")
    page.wait(lambda: [row["local"] for row in rows(page)] == [True])
    page.command("narrow", region="community cloud")
    page.wait(lambda: [row["per_hour"] for row in rows(page)] == ["$0", "$1.19"])
    assert page.sections["market"]["regions"] == ["community cloud", "secure cloud"]
    assert "region='community cloud'" in page.panel.code
    page.command("narrow")
    page.command("sort", by="rate", descending=True)
    page.wait(lambda: rows(page)[0]["per_hour"] == "$1.64")
    assert not page.command("sort", by="colour")["ok"]
    assert not page.command("narrow", spot="perhaps")["ok"]


def test_nobody_connected(studio: Studio, open_browser: OpenBrowser) -> None:
    """This machine is shown all the same."""
    page = shown(open_browser(lambda: studio.panel("compute")))
    assert page.sections["market"]["connected"] == []
    assert [row["local"] for row in rows(page)] == [True]
    assert page.sections["market"]["notes"] == []


def test_one_that_fails_is_named_and_the_others_are_there(
    page: Browser, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its reason, and with a name of its own."""
    other = Lambda(keys={OTHER}, kinds=[])
    with serve_lambda(other) as address:
        monkeypatch.setenv("LAMBDA_URL", address)
        studio.connect("lambdalabs", key=OTHER, keep=False)
        other.instead["GET /api/v1/instance-types"] = [Reply(500)] * 20
        page.command("look_again")
        page.wait(lambda: bool(page.sections["market"]["notices"]))

    notice = page.sections["market"]["notices"][0]
    assert (notice["title"], notice["old"]) == ("Lambda", False)
    assert notice["why"]
    assert find(page, "L4")["to_be_had"]
    assert not [note for note in page.sections["market"]["notes"] if note.startswith("lambdalabs")]


def test_without_a_network_what_was_seen_is_shown_and_nothing_is_rented(
    page: Browser, studio: Studio, launched: list[dict[str, Any]]
) -> None:
    """With the reason; the click is refused."""
    studio.offline = "on a train"
    page.wait(lambda: page.sections["offline"] == "on a train" and bool(page.sections["market"]["notices"]))
    notice = page.sections["market"]["notices"][0]
    assert notice["old"]
    assert "on a train" in notice["why"]
    reply = page.command("rent", key=find(page, "L4")["key"], max_usd="1", max_hours="24")
    assert "Nothing was rented" in reply["problem"]["message"]
    assert launched == []


def test_the_question_names_the_money(page: Browser, studio: Studio, cloud: Cloud) -> None:
    """Total, cap, longest life, what happens when this computer is away; other caps are read as they are typed."""
    asked = len(cloud.asked)
    made = page.command("propose", key=find(page, "L4")["key"])["value"]

    assert (made["gpu"], made["provider"], made["per_hour"]) == ("NVIDIA L4", "RunPod", "$0.39")
    assert made["total"] == find(page, "L4")["total"]
    high = Decimal(made["total"]["range"].rpartition("$")[2])
    assert high < Decimal(made["max_usd"]) <= high + Decimal("0.3")
    assert made["at_most"] == f"${made['max_usd']}"
    assert (
        "If this computer is off when it ends, the machine is kept 15 m at $0.10, then it ends itself" in made["away"]
    )
    assert "10 m " in made["away"]
    assert f"max_usd='{made['max_usd']}'" in made["code"]
    other = page.command("propose", key=made["key"], max_usd="$0.789", max_hours="1")["value"]
    assert (other["at_most"], other["latest"]) == ("$0.78", "1 h")
    for typed in ("", "a lot", "nan", "-1", "0.01"):
        wrong = page.command("propose", key=made["key"], max_usd=typed)["value"]
        assert (wrong["at_most"], wrong["problem"]["field"]) == ("", "max_usd"), typed
    assert page.command("propose", key=made["key"], max_hours="x")["value"]["problem"]["field"] == "max_hours"
    assert len(cloud.asked) == asked


def test_a_machine_that_cannot_end_itself_is_said_to_be_one(studio: Studio, page: Browser) -> None:
    """Plainly, with what that costs."""
    draft = studio.session.now.draft
    row = next(row for row in studio.quotes(draft, measure=False) if row.offer)  # type: ignore[arg-type]
    stuck = replace(row, offer=row.offer.model_copy(update={"ends_itself": False}))  # type: ignore[union-attr]
    made = build_proposal(stuck, draft, {"runpod": "RunPod"})  # type: ignore[arg-type]
    assert "the bill goes on until you end it" in made["never_ends"]
    assert "ends itself" not in made["away"]
    able = build_proposal(row, draft, {"runpod": "RunPod"})  # type: ignore[arg-type]
    assert able["never_ends"] == ""


def test_a_place_on_a_cluster_needs_no_dollars(studio: Studio, page: Browser, launched: list[dict[str, Any]]) -> None:
    """Where none is free it waits in line; where one is, it does not; no cap has to be named. Yes to what is proposed launches it."""
    node = {"CPU": 16.0, "memory": 64.0 * 2**30, "GPU": 2.0, "accelerator_type:A100": 1.0}
    cluster = Cluster(nodes={"n1": node}, taken={"n1": {"CPU": 16.0, "GPU": 2.0}})
    with serve_ray(cluster) as address:
        studio.connect("ray", address=address, keep=False)
        page.command("look_again")
        page.wait(lambda: any(row["queues"] for row in rows(page)))
        row = next(row for row in rows(page) if row["queues"])
        assert (row["per_hour"], row["total"]["value"], row["starts"]) == ("$0", "$0", "in its turn")
        assert row["detail"] == "0 of 2 GPUs free"
        made = page.command("propose", key=row["key"])["value"]
        assert (made["free"], made["queues"], made["problem"]) == (True, True, None)
        assert "$" not in made["away"]
        cluster.taken.clear()
        page.command("look_again")
        page.wait(lambda: any(row["queues"] and row["starts"] != "in its turn" for row in rows(page)))
        row = next(row for row in rows(page) if row["queues"])
        made = page.command("propose", key=row["key"])["value"]
        assert (made["free"], made["queues"]) == (True, False)
        told = page.command("rent", key=row["key"], max_usd=made["max_usd"], max_hours=made["max_hours"])
        assert told["ok"], told
    assert (launched[0]["max_usd"], launched[0]["max_hours"]) == (0, LONGEST_HOURS)


def test_what_was_confirmed_is_what_is_launched(
    page: Browser, studio: Studio, launched: list[dict[str, Any]], cloud: Cloud
) -> None:
    """That offer at that price, that spec, those caps; then the run is shown. Without a confirmed key nothing is."""
    assert not page.command("rent", key="m-000000000000000000000000", max_usd="1", max_hours="24")["ok"]
    assert not page.command("rent", key=find(page, "A40")["key"], max_usd="1", max_hours="24")["ok"]
    assert not page.command("rent", key=find(page, "L4")["key"], max_usd="", max_hours="24")["ok"]
    assert launched == []
    assert page.command("rent", key=find(page, "L4")["key"], max_usd="0.80", max_hours="2")["ok"]

    (one,) = launched
    assert [(offer.gpu, offer.usd_per_hour) for offer in one["compute"]] == [("NVIDIA L4", Decimal("0.39"))]
    assert (one["max_usd"], one["max_hours"]) == (Decimal("0.80"), 2.0)
    assert one["spec"].name == "orders"
    page.wait(lambda: page.sections["started"] == "r-20261126-101112-00000b")
    assert studio.session.now.panel == "run"
    assert studio.session.now.run_id == "r-20261126-101112-00000b"


def test_what_is_tried_next_is_seen_and_can_be_left_out(
    page: Browser, studio: Studio, launched: list[dict[str, Any]], cloud: Cloud
) -> None:
    """The dialog, its Python and the launch have one list; what was sold out since is skipped, and other machines are refused."""
    key = find(page, "L4")["key"]
    made = page.command("propose", key=key, max_usd="5")["value"]
    assert [(one["words"], one["more"], one["on"]) for one in made["next"]] == [
        ("NVIDIA A100 80GB PCIe at RunPod, community cloud", "+$0.05", True),
        ("NVIDIA A100 80GB PCIe at RunPod, secure cloud", "+$0.08", True),
    ]
    first, second = (one["key"] for one in made["next"])
    assert page.command("propose", key=key, max_usd="")["value"]["next"] == []
    assert page.command("propose", key=key, max_usd="0.04")["value"]["next"] == []
    less = page.command("propose", key=key, max_usd="5", without=[first])["value"]
    assert [one["on"] for one in less["next"]] == [False, True]
    monkey: dict[str, Any] = {}
    lines = less["code"].splitlines()
    exec("\n".join(lines[: next(at for at, line in enumerate(lines) if line.startswith("studio.launch("))]), monkey)
    assert [row.offer.usd_per_hour for row in monkey["rows"]] == [Decimal("0.39"), Decimal("1.64")]
    assert "compute=[row.offer for row in rows], max_usd='5.00'" in less["code"]

    other = find(page, "A40")["key"]
    assert not page.command("rent", key=key, max_usd="5", max_hours="24", then=[other])["ok"]
    assert launched == []
    cloud.gpus[0]["free"] = "NONE"
    assert page.command("rent", key=key, max_usd="5", max_hours="24", then=[first, second])["ok"]
    assert [offer.usd_per_hour for offer in launched[0]["compute"]] == [Decimal("1.19"), Decimal("1.64")]


def test_another_price_is_refused_and_shown(
    page: Browser, studio: Studio, launched: list[dict[str, Any]], cloud: Cloud
) -> None:
    """Of an offer that became dearer, was sold out, or whose provider fails; and of a draft that was changed since."""
    key = find(page, "L4")["key"]
    cloud.gpus[0]["price"]["secure"] = 0.49
    reply = page.command("rent", key=key, max_usd="1", max_hours="24")
    assert "$0.49 an hour now" in reply["problem"]["message"]
    page.wait(lambda: find(page, "L4")["per_hour"] == "$0.49")
    assert not page.command("rent", key=key, max_usd="1", max_hours="24")["ok"]

    key = find(page, "L4")["key"]
    cloud.gpus[0]["free"] = "NONE"
    assert "sold out" in page.command("rent", key=key, max_usd="1", max_hours="24")["problem"]["message"]
    page.wait(lambda: not find(page, "L4")["to_be_had"])

    key = find(page, "A100")["key"]
    draft = studio.session.now.draft
    assert draft is not None
    studio.session.choose(draft=draft.replace(rank=64))
    assert not page.command("rent", key=key, max_usd="1", max_hours="24")["ok"]
    assert launched == []
    assert cloud.pods == {}


def test_hostile_words_stay_words(studio: Studio, page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of cards, regions, prices and providers' faults: none is markup, none has a control character, and Python stays Python."""
    real = next(one for one in studio.offers() if one.gpu == "NVIDIA L4")
    texts = [text[:90] for text in HOSTILE[:200]]
    bad: list[Offer] = [
        real.model_copy(update={"id": text, "gpu": text, "region": text, "includes": text}) for text in texts
    ]
    listed = OfferList(bad, missing={"runpod": HOSTILE[0]}, old={}, notes=[HOSTILE[1]])
    monkeypatch.setattr(studio, "_fetch_offers", lambda query, provider: listed)
    page.command("look_again")
    page.wait(lambda: page.sections["market"]["every"] == len(bad) and page.sections["state"] == "ready")
    sent = json.dumps(page.sections, ensure_ascii=False)
    assert not {"\\u001b", "\x1b", "\u202e", "\\u0000"} & {
        mark for mark in ("\\u001b", "\x1b", "\u202e", "\\u0000") if mark in sent
    }
    html = page.panel._repr_mimebundle_()["text/html"]
    assert "<script" not in html
    assert "<img" not in html
    for row in rows(page)[1:8]:
        code = page.command("propose", key=row["key"])["value"]["code"]
        compile(code, "cell", "exec")
