"""What a push leaves behind works: the code of the card, run by a stranger against the hub; and Ollama held to the adapter's real answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from peft_studio import Studio
from peft_studio.core.errors import Refused
from peft_studio.core.models.weights import fingerprint_base
from tests.emulators.hub import Hub, Repo, serve_hub
from tests.emulators.ollama import Daemon, Local, serve_ollama
from tests.made_run import RUN_ID, write_made_run

pytestmark = pytest.mark.slow
pytest.importorskip("torch")
TOKEN = "hf_" + "a" * 34
ACCOUNT = {"type": "user", "name": "me", "orgs": [], "auth": {"type": "access_token", "accessToken": {"role": "write"}}}


@pytest.fixture
def made(tmp_path: Path, tiny_model: Path) -> Studio:
    """A home with a run whose adapter belongs to the tiny model."""
    folder = write_made_run(tmp_path / "home", model=str(tiny_model))
    facts = {"base_model": str(tiny_model), "base_sha256": fingerprint_base(tiny_model), "method": "lora"}
    (folder / "adapter" / "peft_studio.json").write_text(json.dumps(facts))
    return Studio(home=tmp_path / "home")


def test_the_code_of_the_card_works(
    made: Studio, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pushed, then run as it stands there, in a process that knows the hub and nothing of us."""
    base = Repo("org/tiny", {path.name: path.read_bytes() for path in tiny_model.iterdir() if path.is_file()})
    hub = Hub(repos=[base], accounts={TOKEN: ACCOUNT})
    with serve_hub(hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        made.connect("huggingface", token=TOKEN, keep=False)
        made.push(RUN_ID, to="huggingface", repo="me/x", base="org/tiny", confirm=True)
        repo = hub.find("models", "me/x")
        assert repo is not None
        code = repo.files["README.md"].decode().split("```python\n")[1].split("```")[0]
        env = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "cache")}
        ran = subprocess.run(
            [sys.executable, "-c", code + "print('peft:', type(model).__name__)"],
            capture_output=True,
            text=True,
            env=env,
        )

    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "peft: PeftModelForCausalLM" in ran.stdout


def test_ollama_is_held_to_the_adapters_answers(
    made: Studio, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that answers otherwise is not kept; one that answers the same is."""
    prompts = ["Please send 3 lamps to Oslo.", "Hello"]
    with made.chat(str(tiny_model), adapters={"it": made.run(RUN_ID).adapter}) as chat:
        ours = {prompt: chat.ask(prompt, adapter="it", max_new_tokens=32).text for prompt in prompts}
    daemon = Daemon(models=[Local("tiny:base")], answers={**ours, "Hello": "something else"})
    with serve_ollama(daemon) as address:
        monkeypatch.setenv("OLLAMA_HOST", address)
        plan = made.push(RUN_ID, to="ollama", repo="orders", from_model="tiny:base", prompts=prompts)
        with pytest.raises(Refused, match="1 of 2 answers differ"):
            plan.confirm()
        assert [one.name for one in daemon.models] == ["tiny:base"]
        daemon.answers = ours

        done = plan.confirm()

    assert "2 of 2 answers" in repr(done)
    assert {one.name for one in daemon.models} == {"tiny:base", "orders"}
    assert [line["what"] for line in made.publications()] == ["intended", "failed", "intended", "published"]


def test_a_dora_adapter_is_merged_for_ollama(made: Studio, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own; without prompts it is not offered; once it is there, the merged copy here is gone."""
    run = made.run(RUN_ID)
    sha256 = write_dora(tiny_model, run.folder.path / "adapter")
    events = run.folder.events.read_text()
    run.folder.events.write_text(events.replace(run.adapter.sha256, sha256))
    made = Studio(home=made.home)
    prompts = ["Please send 3 lamps to Oslo.", "Hello"]
    assert not made.push(RUN_ID, to="ollama", repo="orders", prompts=[]).ready
    plan = made.push(RUN_ID, to="ollama", repo="orders", prompts=prompts)
    assert {"config.json", "model.safetensors", "tokenizer.json", "Modelfile"} <= {file.path for file in plan.files}
    merged = next(file.source for file in plan.files if file.path == "model.safetensors")
    assert merged is not None
    with made.chat(str(merged.parent)) as chat:  # the daemon answers as the merged model does
        daemon = Daemon(answers={prompt: chat.ask(prompt, max_new_tokens=32).text for prompt in prompts})
    with serve_ollama(daemon) as address:
        monkeypatch.setenv("OLLAMA_HOST", address)
        done = plan.confirm()

    assert "2 of 2 answers" in repr(done)
    assert [one.name for one in daemon.models] == ["orders"]
    assert not merged.exists()


def write_dora(base: Path, folder: Path) -> str:
    """A DoRA adapter in the place of another; gives the digest of its weights."""
    import hashlib

    from tests.unit.runner.trainer.tiny_model import save_adapter

    facts = (folder / "peft_studio.json").read_text()
    save_adapter(base, folder, seed=3, rank=4, use_dora=True)
    (folder / "peft_studio.json").write_text(facts)
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()
