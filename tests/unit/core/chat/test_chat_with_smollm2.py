"""The embedded model itself, converted for the tests: it knows its capitals, and our answers are those of transformers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from peft_studio.core.chat import Chat  # noqa: E402  after importorskip
from peft_studio.runner.trainer.load import load_base, load_tokenizer  # noqa: E402
from peft_studio.runner.trainer.prepare import prepare_model  # noqa: E402
from tests.unit.runner.trainer.tiny_model import save_adapter  # noqa: E402

pytestmark = pytest.mark.slow
PROMPTS = ["What is the capital of France?", "Name three colours.", "What is 2 + 2? Answer with a number."]


@pytest.fixture(scope="module")
def folder(embedded_home: Path) -> Path:
    return prepare_model("smollm2-135m", embedded_home)


@pytest.fixture(scope="module")
def adapters(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    # Small scales: an adapter that changes the answer, but not into noise.
    return {
        "one": save_adapter(folder, root / "one", seed=1, rank=8, lora_alpha=4),
        "two": save_adapter(folder, root / "two", seed=2, rank=4, lora_alpha=4, targets=["q_proj", "v_proj"]),
    }


@pytest.fixture(scope="module")
def chat(folder: Path, adapters: dict[str, Path]) -> Iterator[Chat]:
    with Chat.open(folder, adapters=adapters) as chat:
        yield chat


def answer(model: Any, folder: Path, prompt: str) -> str:
    """What a plain generate says, without any of our chat."""
    tokenizer = load_tokenizer(folder)
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**inputs, max_new_tokens=24, do_sample=False)
    return str(tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def test_it_knows_the_capital_of_france(chat: Chat) -> None:
    """The embedded model is the one it claims to be, and its name is known from its folder."""
    assert "Paris" in chat.ask(PROMPTS[0], max_new_tokens=16).text
    assert chat.stats()["base"] == "smollm2-135m"


@pytest.mark.parametrize("adapter", [None, "one", "two"])
def test_answers_are_those_of_transformers_and_peft(
    chat: Chat, folder: Path, adapters: dict[str, Path], adapter: str | None
) -> None:
    """Greedy answers of base and adapters, between switches, equal those of plain transformers and peft."""
    from peft import PeftModel

    model = load_base(folder)
    if adapter:
        model = PeftModel.from_pretrained(model, adapters[adapter])
    model.eval()
    expected = [answer(model, folder, prompt) for prompt in PROMPTS]
    found = []
    for prompt in PROMPTS:
        chat.ask(prompt, adapter="two", max_new_tokens=1)  # so that there is something to switch from
        found.append(chat.ask(prompt, adapter=adapter, max_new_tokens=24).text)
    assert found == expected


def test_adapters_change_answers(chat: Chat) -> None:
    """The three differ on at least one prompt, so the equalities above say something."""
    answers = {tuple(chat.ask(p, adapter=a, max_new_tokens=24).text for p in PROMPTS) for a in (None, "one", "two")}
    assert len(answers) == 3


def test_quantised_by_itself_when_memory_is_short(folder: Path) -> None:
    """With 1 GB to use it comes up as nf4, says so, and still speaks English about France."""
    with Chat.open(folder, max_memory_bytes=1_000_000_000) as small:
        reply = small.ask(PROMPTS[0], max_new_tokens=24)
    assert reply.quantization == "nf4"
    assert "1.0 GB is free" in reply.note
    assert "France" in reply.text or "Paris" in reply.text
