"""``Chat``: ask a base model and its adapters, which are loaded once in a process of their own.

Knows adapters by name and path. The line to the process is ``process``; loading and answering happen in the runner.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from peft_studio.core.chat.joining import check_all, get_path, warn_of
from peft_studio.core.chat.process import ChatProcess
from peft_studio.core.chat.prompt import Prompt, build_prompt
from peft_studio.core.chat.reply import Reply
from peft_studio.core.chat.turn import Turn
from peft_studio.core.errors import ChatError, nearest
from peft_studio.core.models.trust import PinnedCode


class Chat:
    """A conversation partner: one base model, any number of adapters. Use it as a context manager, or ``close()`` it.

    Safe to use from several threads: one question is answered at a time, the others wait.
    """

    def __init__(self, process: ChatProcess) -> None:
        self._process = process
        self._facts: dict[str, Any] = {}
        self._turn = Turn()
        self.last: Reply | None = None  # of ask() or of a stream() that was read to its end

    @classmethod
    def open(
        cls,
        model_folder: str | Path,
        *,
        adapters: Mapping[str, Any] | None = None,
        precision: str = "fp32",
        quantization: str | None = None,
        device: str = "auto",
        max_memory_bytes: int | None = None,
        remote_code: PinnedCode | None = None,
        same_base: bool = False,
    ) -> Chat:
        """Start the process, load the base model and attach the adapters. Blocks for seconds.

        Args:
            model_folder: A prepared base model (``find_prepared``).
            adapters: Name → adapter folder, or an object with such a ``path``.
            precision: ``fp32``, ``bf16`` or ``fp16``.
            quantization: ``int8``, ``int4`` or ``nf4``; None: nf4 when free memory is too short, and replies say so.
            device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``. max_memory_bytes: Count no more as free.
            remote_code: Repository and commit whose Python may run, for a model that brings its own.
            same_base: As for :meth:`add`, for all of ``adapters``.

        Raises:
            AdapterMismatch: An adapter does not fit; decided before the process starts.
            ModelFailure: The model cannot be loaded, or not even nf4 fits. ChatError: The process died.
        """
        paths = {name: get_path(adapter) for name, adapter in (adapters or {}).items()}
        check_all(paths, model_folder, same_base=same_base)
        with contextlib.ExitStack() as cleanup:
            process = ChatProcess(sys.executable)
            cleanup.callback(process.close)  # also on Ctrl-C: a process that nobody holds would keep its memory
            chat = cls(process)
            chat._facts = chat._call(
                "load",
                folder=str(model_folder),
                precision=precision,
                quantization=quantization,
                device=device,
                max_memory_bytes=max_memory_bytes,
                remote_code=[remote_code.repo, remote_code.commit] if remote_code else None,
            )
            for name, path in paths.items():
                chat.add(name, path, same_base=same_base)
            cleanup.pop_all()
        return chat

    def ask(self, prompt: Prompt, *, adapter: str | None = None, **options: Any) -> Reply:
        """Answer a prompt (a string, or messages with ``role`` and ``content``) and return the whole reply.

        Options are those of :meth:`stream`. ``adapter=None`` is the bare base model.

        Raises:
            ChatError: No adapter of that name, a prompt that is too long, or the process is gone.
        """
        pieces = self.stream(prompt, adapter=adapter, **options)
        while True:
            try:
                next(pieces)
            except StopIteration as end:
                reply: Reply = end.value
                return reply

    def stream(
        self,
        prompt: Prompt,
        *,
        adapter: str | None = None,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> _Pieces:
        """Answer a prompt piece by piece. Leaving the loop early ends the answer; ``chat.last`` is the reply at its end.

        ``temperature`` 0 is greedy: the same question gives the same answer.
        """
        if max_new_tokens < 1:
            raise ChatError(f"max_new_tokens is {max_new_tokens}.", hint="Ask for at least one token.")
        self._check_adapter(adapter)
        request = {
            "prompt": build_prompt(prompt),
            "adapter": adapter,
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "seed": seed,
        }
        return self._stream(request)

    def _check_adapter(self, adapter: str | None) -> None:
        if adapter is not None and adapter not in self.adapters:
            hint = nearest(adapter, self.adapters) if self.adapters else "Add it with chat.add(name, path)."
            raise ChatError(f"There is no adapter {adapter!r} in this chat.", hint=hint)

    def _stream(self, request: dict[str, Any]) -> _Pieces:
        with self._turn:
            exchange = self._process.exchange("ask", **request)
            try:
                for line in exchange:
                    if "piece" in line:
                        yield line["piece"]
                self.last = Reply(**line["done"])
            finally:
                exchange.close()
        return self.last

    def ask_many(
        self,
        prompts: Sequence[Prompt],
        *,
        adapter: str | None = None,
        max_new_tokens: int = 256,
        on_answer: Callable[[int], None] | None = None,
    ) -> list[str]:
        """Greedy answers to many prompts, in their order; computed together, several times faster than one by one.

        ``on_answer`` is called with the number of answers so far, for a progress display.

        Raises:
            ChatError: As for ``ask``, or it was stopped before the last answer.
        """
        self._check_adapter(adapter)
        plain = [build_prompt(prompt) for prompt in prompts]
        answers: dict[int, str] = {}
        with self._turn:
            exchange = self._process.exchange("ask_many", prompts=plain, adapter=adapter, max_new_tokens=max_new_tokens)
            with contextlib.closing(
                exchange
            ):  # also when on_answer raises: the line must be free for the next question
                for line in exchange:
                    if "answer" in line:
                        answers[line["number"]] = line["answer"]["text"]
                        if on_answer:
                            on_answer(len(answers))
        if len(answers) < len(plain):
            raise ChatError(f"Stopped after {len(answers)} of {len(plain)} answers.", hint="Ask for the others again.")
        return [answers[number] for number in range(len(plain))]

    def stop(self) -> None:
        """End the answer that is being written, from another thread; its reply says ``stopped``."""
        self._process.interrupt()

    def add(self, name: str, path: Any, *, same_base: bool = False, quiet: bool = False) -> dict[str, Any]:
        """Bring in an adapter (or replace one of that name) without reloading the base; returns what it took and notes.

        One that was trained on another base, as digests or names tell, is refused; where they cannot tell there is a
        ``BaseDoubt`` (with ``quiet`` only ``doubt`` in what is returned). ``same_base``: you vouch for it.

        Raises:
            AdapterMismatch: It does not fit this base; nothing has changed.
        """
        done = self._change("add", name=name, path=str(get_path(path)), same_base=same_base)
        if done["doubt"] and not quiet:
            warn_of(name, done["doubt"])
        return done

    def remove(self, name: str) -> None:
        """Take an adapter out and free its memory."""
        self._change("remove", name=name)

    def stats(self) -> dict[str, Any]:
        """Base, adapters, quantization and why, memory in bytes, and whether switching takes the fast way."""
        self._facts = self._call("stats")
        return dict(self._facts)

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters that can be asked."""
        return tuple(self._facts.get("adapters", ()))

    @property
    def pid(self) -> int:
        """Process id of the chat process."""
        return self._process.pid

    @property
    def closed(self) -> bool:
        """Whether the process is gone."""
        return not self._process.running

    def close(self) -> None:
        """End the process and free its memory; safe to call twice."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{(self._facts.get('memory_bytes') or 0) / 1e9:.2f} GB"
        quantised = f", {self._facts['quantization']}" if self._facts.get("quantization") else ""
        adapters = ", ".join(self.adapters) or "no adapters"
        return f"<Chat {self._facts.get('base', '?')}{quantised} · {adapters} · {state}>"

    def _change(self, command: str, **fields: Any) -> dict[str, Any]:
        done = self._call(command, **fields)
        self._facts = {**self._facts, "adapters": done["adapters"]}
        return done

    def _call(self, command: str, **fields: Any) -> dict[str, Any]:
        with self._turn:
            *_, last = self._process.exchange(command, **fields)
        done: dict[str, Any] = last["done"]
        return done


_Pieces = Generator[str, None, Reply]
