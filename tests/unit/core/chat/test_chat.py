"""Chat with a real process over a tiny model: answers, adapters, refusals, and every way for either end to die."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

torch = pytest.importorskip("torch")

from peft_studio.core.chat import BaseDoubt, Chat, Reply  # noqa: E402  after importorskip
from peft_studio.core.errors import AdapterMismatch, ChatError  # noqa: E402
from peft_studio.core.models import ModelFailure  # noqa: E402
from tests.unit.runner.trainer.tiny_model import save_adapter, save_tiny_model  # noqa: E402

PROMPT = "the capital of france is"
WAIT_S = 60.0  # an upper bound, never waited for in full when things are right


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def adapters(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    return {"one": save_adapter(tiny, root / "one", seed=1), "v1.2": save_adapter(tiny, root / "two", seed=2, rank=8)}


@pytest.fixture(scope="module")
def chat(tiny: Path, adapters: dict[str, Path]) -> Iterator[Chat]:
    with Chat.open(tiny, adapters=adapters) as chat:
        yield chat
    assert chat.closed


def by_transformers(tiny: Path, adapter: Path | None, tokens: int) -> str:
    """What transformers and peft answer without us, greedily."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny)
    model = PeftModel.from_pretrained(model, adapter).eval() if adapter else model.eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": PROMPT}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    return str(tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


@pytest.mark.parametrize("adapter", [None, "one", "v1.2"])
def test_greedy_answers_are_those_of_transformers(
    chat: Chat, tiny: Path, adapters: dict[str, Path], adapter: str | None
) -> None:
    """Base and adapters give the same text as plain transformers and peft; the pieces of a stream are that text."""
    expected = by_transformers(tiny, adapters[adapter] if adapter else None, 40)
    reply = chat.ask(PROMPT, adapter=adapter, max_new_tokens=40)
    assert reply.text == expected
    assert "".join(chat.stream(PROMPT, adapter=adapter, max_new_tokens=40)) == expected
    assert chat.last is not None
    assert chat.last.text == expected


def test_reply_says_what_it_cost(chat: Chat) -> None:
    """A reply has tokens, rates, times, memory, adapter and how it ended; its text is its str()."""
    reply = chat.ask(PROMPT, adapter="one", max_new_tokens=5)
    assert isinstance(reply, Reply)
    assert (reply.tokens, reply.adapter, reply.ended, reply.quantization) == (5, "one", "length", None)
    assert 0 < reply.first_token_s <= reply.total_s
    assert 0 < reply.switch_s < reply.total_s
    assert reply.tokens_per_s > 0
    assert reply.memory_bytes > 50_000_000
    assert reply.prompt_tokens > 5
    assert str(reply) == reply.text
    assert all(word in repr(reply) for word in ("'one'", "5 tokens", "GB"))


def test_adapters_differ_from_the_base_and_leave_it_alone(chat: Chat) -> None:
    """Adapters change the answer; the base answers the same before and after."""
    before = chat.ask(PROMPT, max_new_tokens=20).text
    others = {chat.ask(PROMPT, adapter=name, max_new_tokens=20).text for name in ("one", "v1.2")}
    assert len(others | {before}) == 3
    assert chat.ask(PROMPT, max_new_tokens=20).text == before
    assert chat.stats()["fast_switch"]


def test_messages(chat: Chat) -> None:
    """A conversation is a list of messages; a string is one user message."""
    assert (
        chat.ask([{"role": "user", "content": PROMPT}], max_new_tokens=9).text
        == chat.ask(PROMPT, max_new_tokens=9).text
    )
    longer = [{"role": "system", "content": "a cat"}, {"role": "user", "content": PROMPT}]
    assert chat.ask(longer, max_new_tokens=9).prompt_tokens > chat.ask(PROMPT, max_new_tokens=9).prompt_tokens


def test_sampling(chat: Chat) -> None:
    """With a temperature answers vary with the seed and repeat with it."""
    one = [chat.ask(PROMPT, max_new_tokens=20, temperature=2.0, seed=seed).text for seed in (1, 2, 1)]
    assert (one[0] == one[2], one[0] == one[1]) == (True, False)


@pytest.mark.parametrize("adapter", [None, "one"])
def test_many_at_once(chat: Chat, adapter: str | None) -> None:
    """Asked together, each prompt, short or long, gets the answer that it gets alone, in order; progress is told."""
    prompts = [PROMPT, "yes", "a cat runs fast a dog runs fast", [{"role": "user", "content": "name"}], "no"] * 4
    alone = [chat.ask(prompt, adapter=adapter, max_new_tokens=12).text for prompt in prompts[:5]] * 4
    told: list[int] = []
    assert chat.ask_many(prompts, adapter=adapter, max_new_tokens=12, on_answer=told.append) == alone
    assert told == list(range(1, 21))


def test_progress_that_raises_leaves_the_line_free(chat: Chat) -> None:
    """An error in the caller's progress display is the caller's; the next question is answered."""

    def fail(count: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        chat.ask_many([PROMPT] * 40, max_new_tokens=3, on_answer=fail)
    assert chat.ask(PROMPT, max_new_tokens=2).tokens == 2


def test_unknown_adapter(chat: Chat) -> None:
    """A misspelt adapter is refused with the right name, and the chat goes on."""
    with pytest.raises(ChatError) as caught:
        chat.ask(PROMPT, adapter="on")
    assert "'one'" in caught.value.hint
    assert chat.ask(PROMPT, max_new_tokens=1).tokens == 1


def test_prompt_that_is_too_long(chat: Chat) -> None:
    """A prompt beyond the model's context is refused with both numbers, and the chat goes on."""
    with pytest.raises(ChatError, match="256"):
        chat.ask("a cat runs " * 200)
    assert chat.ask(PROMPT, max_new_tokens=1).tokens == 1


def test_bad_messages(chat: Chat) -> None:
    """Messages that the template cannot render are refused, and the chat goes on."""
    with pytest.raises(ChatError, match="template"):
        chat.ask([{"nothing": "here"}] * 2, max_new_tokens=1)
    assert chat.ask(PROMPT, max_new_tokens=1).tokens == 1


def test_leaving_a_stream_ends_the_answer(chat: Chat) -> None:
    """Breaking out of a stream stops the answer, and the next question is answered as if nothing had been."""
    expected = chat.ask(PROMPT, max_new_tokens=20).text
    pieces = chat.stream(PROMPT, max_new_tokens=200)
    next(pieces)
    pieces.close()
    assert chat.ask(PROMPT, max_new_tokens=20).text == expected


def test_asking_inside_a_stream_is_an_error_and_not_a_deadlock(chat: Chat) -> None:
    """The same thread cannot ask while its stream is open: it is told so."""
    pieces = chat.stream(PROMPT, max_new_tokens=20)
    next(pieces)
    with pytest.raises(ChatError, match="still being streamed"):
        chat.ask(PROMPT)
    pieces.close()
    assert chat.ask(PROMPT, max_new_tokens=1).tokens == 1


def test_stop_from_another_thread(chat: Chat) -> None:
    """stop() ends the answer that is being written; its reply says so."""
    pieces = chat.stream(PROMPT, max_new_tokens=230, temperature=3.0, seed=3)
    next(pieces)
    thread = threading.Thread(target=chat.stop)
    thread.start()
    thread.join()
    for _ in pieces:
        pass
    assert chat.last is not None
    assert (chat.last.ended, chat.last.tokens < 230) in {("stopped", True), ("end", True)}


def test_threads_wait_for_each_other(chat: Chat) -> None:
    """Eight threads that ask at once each get the answer to their own question."""
    expected = {name: chat.ask(PROMPT, adapter=name, max_new_tokens=15).text for name in (None, "one", "v1.2")}
    found: list[tuple[str | None, str]] = []

    def ask(name: str | None) -> None:
        found.append((name, chat.ask(PROMPT, adapter=name, max_new_tokens=15).text))

    threads = [threading.Thread(target=ask, args=(name,)) for name in [*expected] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(found) == 9
    assert all(text == expected[name] for name, text in found)


def test_adding_replacing_and_removing(tiny: Path, adapters: dict[str, Path], chat: Chat, tmp_path: Path) -> None:
    """Adapters come and go without reloading the base, as paths or as objects that have one."""

    class Adapter:
        path = save_adapter(tiny, tmp_path / "three", seed=3)

    pid = chat.pid
    done = chat.add("three", Adapter)
    assert done["took_s"] > 0
    assert chat.adapters == ("one", "v1.2", "three")
    assert chat.ask(PROMPT, adapter="three", max_new_tokens=20).text == by_transformers(tiny, Adapter.path, 20)
    chat.add("three", adapters["one"])
    assert chat.ask(PROMPT, adapter="three", max_new_tokens=20).text == by_transformers(tiny, adapters["one"], 20)
    chat.remove("three")
    assert chat.adapters == ("one", "v1.2")
    assert chat.pid == pid
    with pytest.raises(ChatError):
        chat.ask(PROMPT, adapter="three")


def break_adapter(kind: str, tiny: Path, folder: Path, other: Path) -> Path:
    """An adapter that cannot work, for the reason ``kind``."""
    if kind == "another base":
        return save_adapter(save_tiny_model(other, hidden=32), folder, seed=1)
    save_adapter(tiny, folder, seed=1)
    weights, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    if kind == "pickle":
        torch.save({"x": torch.ones(1)}, folder / "adapter_model.bin")
        weights.unlink()
    elif kind == "torn":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif kind == "missing":
        weights.unlink()
    elif kind == "rank":
        config.write_text(config.read_text().replace('"r": 4', '"r": 16'))
    elif kind == "kind":
        config.write_text(config.read_text().replace('"LORA"', '"PREFIX_TUNING"'))
    return folder


@pytest.mark.parametrize("kind", ["another base", "pickle", "torn", "missing", "rank", "kind"])
def test_adapter_that_cannot_work_is_refused(
    chat: Chat, tiny: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused with a reason and a way out, by a running chat and before one is started; nothing has changed."""
    folder = break_adapter(kind, tiny, tmp_path / "bad", tmp_path / "other")
    before = chat.ask(PROMPT, adapter="one", max_new_tokens=10).text
    with pytest.raises(AdapterMismatch) as caught:
        chat.add("bad", folder)
    assert caught.value.hint
    assert "bad" in caught.value.message
    assert chat.adapters == ("one", "v1.2")
    assert chat.ask(PROMPT, adapter="one", max_new_tokens=10).text == before
    monkeypatch.setattr(sys, "executable", "/no/such/python")  # no process is started for it
    with pytest.raises(AdapterMismatch):
        Chat.open(tiny, adapters={"bad": folder})


def test_another_base_of_the_same_shapes(chat: Chat, tiny: Path, tmp_path: Path) -> None:
    """Its tensors would fit; it is refused because the base that it names has other weights. Who knows better may say so."""
    folder = save_adapter(save_tiny_model(tmp_path / "twin", seed=7), tmp_path / "theirs", seed=1)
    with pytest.raises(AdapterMismatch, match=r"twin.*has other weights") as caught:
        chat.add("theirs", folder)
    assert "same_base=True" in caught.value.hint
    assert caught.value.code == "other-base"
    assert chat.adapters == ("one", "v1.2")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chat.add("theirs", folder, same_base=True)["doubt"] == ""
    assert chat.ask(PROMPT, adapter="theirs", max_new_tokens=3).tokens == 3
    chat.remove("theirs")


def test_a_base_that_nobody_can_know_is_warned_of(chat: Chat, adapters: dict[str, Path], tmp_path: Path) -> None:
    """An adapter that names a folder of another machine is taken, and said to be in doubt where it was added."""
    folder = Path(shutil.copytree(adapters["one"], tmp_path / "far"))
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "/far/away"}))
    with pytest.warns(BaseDoubt, match=r"'far' may be one of another base: it names /far/away") as said:
        done = chat.add("far", folder)
    assert done["doubt"]
    assert said[0].filename == __file__
    chat.remove("far")


@pytest.mark.slow
def test_no_model(tmp_path: Path) -> None:
    """A folder that is no model is a ModelFailure, and no process stays behind."""
    mine = {child.pid for child in psutil.Process().children()}
    with pytest.raises(ModelFailure) as caught:
        Chat.open(tmp_path)
    assert caught.value.code == "incomplete"
    assert {child.pid for child in psutil.Process().children()} <= mine


@pytest.mark.slow
def test_short_memory_quantises_and_says_so(tiny: Path) -> None:
    """When what is free is too little for fp32, the model is loaded as nf4 and every reply has the reason."""
    from peft_studio.core.models import read_model_facts
    from peft_studio.core.models.fit import estimate_chat_bytes
    from peft_studio.core.models.weights import read_tensors

    sizes = [
        estimate_chat_bytes(read_tensors(tiny), read_model_facts(tiny), precision="fp32", nf4=nf4)
        for nf4 in (True, False)
    ]
    with Chat.open(tiny, max_memory_bytes=sum(sizes) // 2) as chat:
        reply = chat.ask(PROMPT, max_new_tokens=3)
        assert reply.quantization == "nf4"
        assert "nf4" in reply.note
        assert "nf4" in repr(chat)
        assert chat.stats()["note"] == reply.note
    with pytest.raises(ModelFailure) as caught:
        Chat.open(tiny, max_memory_bytes=sizes[0] // 2)
    assert caught.value.code == "no-memory"


@pytest.mark.slow
def test_dead_process(tiny: Path) -> None:
    """A chat whose process was killed says so with its status and a hint, at once and ever after; closing it is fine."""
    chat = Chat.open(tiny)
    os.kill(chat.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(ChatError) as caught:
            chat.ask(PROMPT)
        assert "-9" in caught.value.message
        assert "memory" in caught.value.hint
    assert chat.closed
    assert "closed" in repr(chat)
    chat.close()
    with pytest.raises(ChatError, match="closed"):
        chat.ask(PROMPT)


@pytest.mark.slow
def test_process_that_cannot_start_shows_its_last_lines(tiny: Path, tmp_path: Path) -> None:
    """What the process said before it died is in the error."""
    (tmp_path / "torch.py").write_text("raise SystemError('this torch is broken')")
    code = f"from peft_studio.core.chat import Chat\nChat.open({str(tiny)!r})"
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert "ChatError" in done.stderr
    assert "this torch is broken" in done.stderr


@pytest.mark.slow
def test_closing_while_an_answer_is_written(tiny: Path) -> None:
    """close() from another thread ends the process; the one who was reading gets a ChatError."""
    chat = Chat.open(tiny)
    pieces = chat.stream(PROMPT, max_new_tokens=230, temperature=3.0, seed=1)
    next(pieces)
    thread = threading.Thread(target=chat.close)
    thread.start()
    with contextlib.suppress(ChatError):  # unless the answer came to its own end first
        list(pieces)
    thread.join(WAIT_S)
    assert chat.closed
    assert not psutil.pid_exists(chat.pid)


@pytest.mark.slow
@pytest.mark.parametrize("busy", [False, True])
def test_chat_process_goes_when_its_parent_is_killed(tiny: Path, busy: bool) -> None:
    """A notebook that is killed leaves no chat process behind, idle or in the middle of an answer."""
    code = (
        f"from peft_studio.core.chat import Chat\nchat = Chat.open({str(tiny)!r})\n"
        f"pieces = chat.stream({PROMPT!r}, max_new_tokens=230, temperature=3.0)\n"
        + ("next(pieces)\n" if busy else "")
        + "print(chat.pid, flush=True)\ninput()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    assert psutil.wait_procs([child], timeout=WAIT_S)[1] == []


def test_interrupt_of_the_group_leaves_the_chat_alive(chat: Chat) -> None:
    """Ctrl-C reaches the chat process too, and does not end it: it is meant for the code that asked."""
    os.kill(chat.pid, signal.SIGINT)
    assert chat.ask(PROMPT, max_new_tokens=2).tokens == 2


@pytest.mark.slow
def test_token_is_not_handed_to_the_process(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chat process needs no hub, so it never gets the token."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with Chat.open(tiny) as chat:
        assert "HF_TOKEN" not in psutil.Process(chat.pid).environ()


def test_open_answers_reprs(chat: Chat, tiny: Path) -> None:
    """A chat shows its base, adapters and memory."""
    text = repr(chat)
    assert all(word in text for word in ("one", "v1.2", "GB", tiny.name))


def test_too_few_tokens(chat: Chat) -> None:
    """Asking for no tokens is an error here, not in the process."""
    with pytest.raises(ChatError, match="max_new_tokens"):
        chat.ask(PROMPT, max_new_tokens=0)
