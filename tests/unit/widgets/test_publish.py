"""The Publish panel on a home with completed runs, against a hub on loopback, with a page at the other end."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.connectors.base import door, patience
from peft_studio.connectors.base.parts import Stretch
from peft_studio.core.errors import RunNotFound
from peft_studio.core.ports.platform import Capability
from peft_studio.widgets import _publish_view
from peft_studio.widgets._publish_view import fold_record, web
from tests.emulators.hub import Hub, serve_hub
from tests.emulators.ollama import Daemon, Local, serve_ollama
from tests.made_run import RUN_ID, write_made_run
from tests.ui.hostile import HOSTILE
from tests.ui.write_run import RunWriter, build_spec
from tests.unit._studio.test_publish import COMMIT, TOKEN, account
from tests.unit.widgets.browser import Browser

OpenBrowser = Callable[[Callable[[], Any]], Browser]
UNFINISHED = "r-20261126-101112-00000b"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that knows one key, a daemon of Ollama's with a base, and no pauses."""
    monkeypatch.setattr(patience, "_paces", {})
    monkeypatch.setattr(door, "pause", lambda wait_s: None)
    for name in ("PEFT_STUDIO_CONNECTORS", "PEFT_STUDIO_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    state = Hub(accounts={TOKEN: account()})
    with serve_hub(state) as address, serve_ollama(Daemon(models=[Local("tiny:base")])) as daemon:
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("OLLAMA_HOST", daemon)
        yield state


@pytest.fixture
def studio(hub: Hub, tmp_path: Path) -> Studio:
    """Connected to the hub, with one run that has an adapter."""
    write_made_run(tmp_path / "home")
    made = Studio(home=tmp_path / "home")
    made.connect("huggingface", token=TOKEN, keep=False)
    hub.asked.clear()
    return made


@pytest.fixture
def page(studio: Studio, open_browser: OpenBrowser) -> Browser:
    """The page of its Publish panel, once it shows what would go."""
    browser = open_browser(lambda: studio.panel("publish"))
    browser.wait(lambda: "plan" in browser.sections)
    return browser


def ready(page: Browser) -> dict[str, Any]:
    """The plan that the page shows, once there is one."""
    page.wait(lambda: page.sections["plan"]["state"] in ("ready", "failed"))
    assert page.sections["plan"]["shown"], page.sections["plan"]
    shown: dict[str, Any] = page.sections["plan"]["shown"]
    return shown


def ended(page: Browser) -> dict[str, Any]:
    """The push, once nothing is done for it any more."""
    page.wait(lambda: (page.sections["job"] or {}).get("stage") not in (None, "looking", "asking", "sending"))
    job: dict[str, Any] = page.sections["job"]
    return job


def target(page: Browser, name: str) -> dict[str, Any]:
    """What the page shows of a registry."""
    found: dict[str, Any] = next(one for one in page.sections["targets"] if one["name"] == name)
    return found


def test_what_would_go_is_shown_and_nothing_is_sent(page: Browser, studio: Studio, hub: Hub) -> None:
    """The one connected account and the newest run are taken, privately; files with bytes, the card, what stays, and whether the key may."""
    plan = ready(page)
    same = studio.push(RUN_ID, to="huggingface", repo=ready(page)["repo"])

    assert (page.sections["to"], page.sections["run"], page.sections["form"]["repo"]) == (
        "huggingface",
        RUN_ID,
        plan["repo"],
    )
    assert plan["repo"].startswith("me/")
    assert (plan["private"], plan["ready"], page.sections["reason"]) == (True, True, "")
    assert {path: size for path, size, _ in plan["files"]} == {one.path: one.size_bytes for one in same.files}
    assert plan["card"].startswith("---\nbase_model")
    assert target(page, "huggingface")["account"]["can_write"] is True
    assert target(page, "civitai")["state"] == "by hand"
    assert "no API" in target(page, "civitai")["why"]
    assert target(page, "ollama")["state"] == "connected"
    in_a_cell: dict[str, Any] = {}
    exec(page.panel.code, in_a_cell)
    assert in_a_cell["plan"].id == plan["id"]
    assert hub.asked == []
    assert studio.publications() == []


def test_a_confirmed_plan_arrives_and_is_on_the_record(page: Browser, studio: Studio, hub: Hub) -> None:
    """By the id that was shown; then link, revision and lines; the run's earlier publications; and the code does the same."""
    page.command("set_option", option="repo", value=" me/x ")
    page.wait(lambda: page.sections["plan"]["shown"] is not None and page.sections["plan"]["shown"]["repo"] == "me/x")
    plan = ready(page)
    assert page.command("publish", plan_id=plan["id"])["ok"]
    job = ended(page)

    assert (job["stage"], job["sent_bytes"], job["repo"]) == ("published", plan["size_bytes"], "me/x")
    assert job["url"].endswith("/me/x")
    assert "hf download me/x" in job["lines"]
    repo = hub.find("models", "me/x")
    assert repo is not None
    assert repo.files["README.md"].decode() == plan["card"]  # type: ignore[union-attr]
    assert [(one["what"], one["id"]) for one in studio.publications()] == [
        ("intended", plan["id"]),
        ("published", plan["id"]),
    ]
    assert page.sections["earlier"] == []  # it is shown by itself
    assert f"plan = studio.push('{RUN_ID}', to='huggingface', repo='me/x')\nplan.confirm()" in page.panel.code
    bundle = page.panel._repr_mimebundle_()
    assert "me/x at Hugging Face: published" in bundle["text/html"]
    assert page.command("leave")["ok"]
    page.wait(lambda: bool(page.sections["earlier"]))
    before = page.sections["earlier"][0]
    assert (before["what"], before["url"], before["files"]) == ("published", job["url"], len(plan["files"]))


def test_without_or_with_another_confirmation_nothing_goes(page: Browser, studio: Studio, hub: Hub) -> None:
    """An id that was not shown, or that of a plan that somebody has changed since."""
    first = ready(page)
    assert not page.command("publish", plan_id="push-0000000000000000")["ok"]
    page.command("set_option", option="private", value=False)
    page.wait(lambda: page.sections["plan"]["shown"] is not None and not page.sections["plan"]["shown"]["private"])

    reply = page.command("publish", plan_id=first["id"])

    assert not reply["ok"]
    assert "not what you confirmed" in reply["problem"]["message"]
    assert (hub.asked, studio.publications()) == ([], [])


def test_what_changed_behind_the_confirmation_is_not_sent(page: Browser, studio: Studio, hub: Hub) -> None:
    """The plan is made once more before anything leaves; it is shown anew, and that one goes."""
    plan = ready(page)
    marker = studio.home / "runs" / RUN_ID / "adapter" / "peft_studio.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "note": "new"}))
    page.command("publish", plan_id=plan["id"])

    assert ended(page)["stage"] == "changed"
    assert (hub.asked, studio.publications()) == ([], [])
    page.wait(lambda: page.sections["plan"]["shown"] is not None and page.sections["plan"]["shown"]["id"] != plan["id"])
    page.command("leave")
    page.command("publish", plan_id=page.sections["plan"]["shown"]["id"])
    assert ended(page)["stage"] == "published"


def test_offline_it_waits_and_is_told_when_it_went(page: Browser, studio: Studio, hub: Hub) -> None:
    """With its entry of the outbox; sent later by any process, the page has the link and the lines from the record."""
    studio.offline = "on a train"
    plan = ready(page)
    page.command("publish", plan_id=plan["id"])
    job = ended(page)
    assert (job["stage"], "on a train" in job["why"]) == ("queued", True)
    page.wait(lambda: page.sections["job"]["entry"] is not None)
    assert page.sections["job"]["entry"]["state"] == "waiting"
    assert page.sections["offline"] == "on a train"
    assert hub.asked == []

    studio.offline = False
    studio.sync(timeout_s=30)

    page.wait(lambda: page.sections["job"]["stage"] == "published")
    assert page.sections["job"]["url"].endswith(plan["repo"])
    assert any("hf download" in line for line in page.sections["job"]["lines"])


def test_what_waits_and_is_dropped_is_said(page: Browser, studio: Studio) -> None:
    """By hand, in the outbox. Published again it waits again."""
    studio.offline = "on a train"
    page.command("publish", plan_id=ready(page)["id"])
    page.wait(lambda: page.sections["job"] is not None and page.sections["job"]["entry"] is not None)
    studio.outbox.drop(studio.outbox[0].id)
    page.wait(lambda: page.sections["job"]["stage"] == "dropped")

    page.command("publish", plan_id=page.sections["job"]["id"])
    page.wait(lambda: page.sections["job"]["entry"] is not None)
    assert (page.sections["job"]["stage"], len(studio.outbox)) == ("queued", 1)


def test_a_refusal_says_why_and_can_be_tried_again(page: Browser, hub: Hub) -> None:
    """With what to do about it; the same plan goes once the key may write."""
    plan = ready(page)
    hub.accounts[TOKEN] = account("read")
    page.command("publish", plan_id=plan["id"])
    job = ended(page)
    assert job["stage"] == "failed"
    assert job["problem"]["steps"]
    assert hub.repos == []

    hub.accounts[TOKEN] = account("write")
    page.command("publish", plan_id=plan["id"])
    page.wait(lambda: page.sections["job"]["stage"] == "published")


def test_a_key_that_may_not_write_blocks_it(hub: Hub, tmp_path: Path, open_browser: OpenBrowser) -> None:
    """By what was last heard of it; the page can have it asked again."""
    hub.accounts[TOKEN] = account("read")
    write_made_run(tmp_path)
    studio = Studio(home=tmp_path)
    studio.connect("huggingface", token=TOKEN, keep=False)
    page = open_browser(lambda: studio.panel("publish"))
    page.wait(lambda: "plan" in page.sections)
    plan = ready(page)

    assert [one["code"] for one in page.sections["permission"]] == ["push_forbidden"]
    assert page.sections["permission"][0]["fix"].endswith("then give it in the step Connect.")
    assert page.sections["reason"] == "The account may not write there"
    assert not page.command("publish", plan_id=plan["id"])["ok"]
    assert studio.publications() == []
    assert page.command("check")["ok"]


def test_it_can_be_called_off_on_the_way(
    page: Browser, studio: Studio, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its next piece; nothing is there, and the record says so."""
    held, reached, pieces = threading.Event(), threading.Event(), Stretch.__iter__

    def slowly(self: Stretch) -> Iterator[bytes]:
        reached.set()
        assert held.wait(20)
        yield from pieces(self)

    monkeypatch.setattr(Stretch, "__iter__", slowly)
    page.command("publish", plan_id=ready(page)["id"])
    assert reached.wait(20)
    assert not page.command("set_option", option="private", value=False)["ok"]
    assert page.command("cancel")["ok"]
    page.wait(lambda: page.sections["job"]["cancelling"])
    held.set()

    assert ended(page)["stage"] == "cancelled"
    assert [one["what"] for one in studio.publications()] == ["intended", "cancelled"]
    assert COMMIT not in hub.asked


def test_only_runs_with_an_adapter_can_be_chosen(page: Browser, studio: Studio) -> None:
    """One that is chosen elsewhere and has none is said, and no other is taken in its place."""
    RunWriter(studio.home / "runs" / UNFINISHED, build_spec())
    assert [one["id"] for one in page.sections["runs"]] == [RUN_ID]
    assert not page.command("choose_run", run_id=UNFINISHED)["ok"]
    studio.session.choose(run_id=UNFINISHED)
    page.wait(lambda: page.sections["run"] is None)

    assert page.sections["reason"] == "No run with an adapter is chosen"
    assert page.sections["plan"]["state"] == "none"
    assert repr(page.panel) == "PublishPanel()"
    page.command("choose_run", run_id=RUN_ID)
    assert studio.session.now.run_id == RUN_ID
    assert ready(page)["ready"]


def test_it_is_shown_for_a_run(studio: Studio, open_browser: OpenBrowser) -> None:
    """Which becomes the session's run; one that is not there is an error of the cell."""
    other = RUN_ID[:-1] + "c"
    shutil.copytree(studio.home / "runs" / RUN_ID, studio.home / "runs" / other)
    page = open_browser(lambda: studio.panel("publish", other))
    page.wait(lambda: page.sections.get("run") == other)

    assert studio.session.now.run_id == other
    with pytest.raises(RunNotFound):
        studio.panel("publish", "r-20200101-000000-000000")


def test_elsewhere_it_is_private_again(page: Browser, studio: Studio) -> None:
    """That others may see it is said for one place at a time. A page's steps are told; a folder is made, nothing is uploaded."""
    page.command("set_option", option="private", value=False)
    page.command("choose_target", to="civitai")
    page.wait(
        lambda: page.sections["plan"]["shown"] is not None and page.sections["plan"]["shown"]["title"] == "Civitai"
    )
    plan = ready(page)
    page.command("publish", plan_id=plan["id"])
    job = ended(page)

    assert page.sections["form"]["private"] is True
    assert plan["steps"][0].startswith("Open https://civitai.com")
    assert (job["stage"], Path(job["folder"]).is_dir(), len(job["lines"])) == ("bundled", True, len(plan["steps"]))


def test_ollama_asks_for_its_base(hub: Hub, tmp_path: Path, tiny_model: Path, open_browser: OpenBrowser) -> None:
    """By its own name there. The form is the one that its server reads, and a base that is gone is not fetched for a plan."""
    write_made_run(tmp_path, model=str(tiny_model), method="rslora")
    page = open_browser(lambda: Studio(home=tmp_path).panel("publish"))
    page.wait(lambda: "plan" in page.sections)
    assert (page.sections["to"], page.sections["reason"]) == (None, "Choose where to")
    page.command("choose_target", to="ollama")
    assert page.sections["reason"] == "The base has no name of Ollama's yet"
    page.command("set_option", option="from_model", value="tiny:base")
    page.command("set_option", option="compare", value=False)
    page.wait(lambda: page.sections["plan"]["shown"] is not None)
    plan = ready(page)

    assert (plan["form"], plan["asked"], plan["local"]) == ("GGUF", 0, True)
    assert "from_model='tiny:base', prompts=[])" in page.panel.code
    page.command("publish", plan_id=plan["id"])
    assert ended(page)["lines"][0].startswith("ollama run ")


def test_a_base_that_is_gone_is_not_fetched_for_a_plan(page: Browser, hub: Hub) -> None:
    """It says how to bring it back."""
    page.command("choose_target", to="ollama")
    page.command("set_option", option="from_model", value="tiny:base")
    page.wait(lambda: page.sections["plan"]["state"] == "failed")

    assert "not on this machine any more" in page.sections["plan"]["problem"]["message"]
    assert "studio.prepare" in page.sections["plan"]["problem"]["hint"]
    assert hub.asked == []


def test_without_a_run_there_is_nothing_to_publish(tmp_path: Path, hub: Hub, open_browser: OpenBrowser) -> None:
    """And no outbox, record or key is made."""
    page = open_browser(lambda: Studio(home=tmp_path / "home").panel("publish"))
    page.wait(lambda: "runs" in page.sections)

    assert (page.sections["runs"], page.sections["reason"]) == ([], "No run with an adapter is chosen")
    assert not (tmp_path / "home" / "outbox").exists()
    assert "Nothing has been shared" in page.panel._repr_mimebundle_()["text/html"]


def test_a_connector_says_why_it_cannot(studio: Studio) -> None:
    """In its own sentence, with no network; one that can says nothing."""
    studio.offline = True

    assert "no API" in studio._catalog.find_reason("civitai", Capability.PUBLISH)
    assert studio._catalog.find_reason("huggingface", Capability.PUBLISH) == ""


@pytest.mark.parametrize("text", HOSTILE[::25])
def test_hostile_words_stay_words(text: str) -> None:
    """Of the record, which others may have written, and in the picture that a notebook keeps."""
    line = {
        "id": text,
        "what": "published",
        "at": text,
        "to": text,
        "repo": text,
        "url": f"javascript:{text}",
        "by": text,
        "use": [text],
    }
    intent = {
        "id": text,
        "what": "intended",
        "at": text,
        "to": text,
        "repo": text,
        "run": "r",
        "files": [{"size_bytes": text}, text],
    }
    record = fold_record([intent, line, {"id": 3}, [], {"what": text}])  # type: ignore[list-item]
    earlier = _publish_view.view_earlier(record, "r", {})
    html = _publish_view.build_snapshot(text, {"plan": {"shown": None}, "job": None, "earlier": earlier})

    assert [(one["at"], one["url"], one["size_bytes"]) for one in earlier] == [(None, "", 0)]
    for tag in ("<script", "<img", "<svg", "<iframe", "<style"):
        assert tag not in html.lower()
    assert web(f"https://x/{text}\x1b[2J") == ""
