"""One base model in memory, its resident adapters, and the answers they give. Knows nothing of processes or pipes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import psutil
import torch
from transformers.utils import logging

from peft_studio.core.errors import ChatError, nearest
from peft_studio.core.models import RemoteCode, read_model_facts
from peft_studio.core.models.adapter_files import check_adapter
from peft_studio.core.models.adapters import BaseShape, judge, list_notes
from peft_studio.core.models.fit import Fit, choose_fit
from peft_studio.core.models.prepared import get_base_name
from peft_studio.core.models.weights import fingerprint_base, read_tensors
from peft_studio.core.system import free_memory_bytes
from peft_studio.runner.trainer.batch import answer_many
from peft_studio.runner.trainer.load import load_base, load_tokenizer
from peft_studio.runner.trainer.pieces import Pieces, StopWhenSet
from peft_studio.runner.trainer.swap import ResidentAdapters

Message = dict[str, Any]


def load_chat_model(
    *,
    folder: str,
    precision: str = "fp32",
    quantization: str | None = None,
    device: str = "auto",
    max_memory_bytes: int | None = None,
    remote_code: list[str] | None = None,
) -> ChatModel:
    """Load a prepared base model for answering; as nf4 when the memory that is free is too short for ``precision``.

    Raises:
        ModelFailure: The model cannot be loaded, or not even nf4 fits.
    """
    logging.disable_progress_bar()  # it would be the last lines that a dead process is quoted with
    path = Path(folder)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    code = RemoteCode(*remote_code) if remote_code else None
    began = time.perf_counter()
    fit = _find_fit(path, precision=precision, device=device, limit=max_memory_bytes) if quantization is None else None
    chosen = quantization or (fit.quantization if fit else None)
    model = load_base(path, quantization=chosen, precision=precision, device=device, remote_code=code)
    model.eval()
    tokenizer = load_tokenizer(path, remote_code=code)
    base = BaseShape(name=get_base_name(path), modules=_list_modules(model), fingerprint=fingerprint_base(path))
    facts = {"quantization": chosen, "precision": precision, "device": device, "load_s": time.perf_counter() - began}
    return ChatModel(model, tokenizer, base, facts={**facts, "note": fit.reason if fit else ""})


class ChatModel:
    """Answers with the base or with one of its adapters. Used by one thread at a time."""

    def __init__(self, model: Any, tokenizer: Any, base: BaseShape, *, facts: dict[str, Any]) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._base = base
        self._facts = facts
        self._adapters = ResidentAdapters(model)

    def add(self, name: str, path: str, *, same_base: bool = False) -> dict[str, Any]:
        """Bring in an adapter, after checking that it fits. Raises AdapterMismatch, and then nothing has changed."""
        began = time.perf_counter()
        shape = check_adapter(path, self._base, name=name, same_base=same_base)
        self._adapters.attach(name, Path(path), shape)
        return {
            "name": name,
            "doubt": "" if same_base else judge(shape, self._base).message,
            "took_s": time.perf_counter() - began,
            "notes": list_notes(shape),
            **self._adapter_facts(),
        }

    def remove(self, name: str) -> dict[str, Any]:
        """Take an adapter out and free its memory."""
        self._check_name(name)
        self._adapters.detach(name)
        return self._adapter_facts()

    def switch(self, name: str | None) -> dict[str, Any]:
        """Let this adapter (None: the bare base) answer from now on."""
        self._check_name(name)
        began = time.perf_counter()
        self._adapters.switch(name)
        return {"took_s": time.perf_counter() - began, **self._adapter_facts()}

    def stats(self) -> dict[str, Any]:
        """What is loaded, and the memory that it takes."""
        return {"base": self._base.name, **self._facts, **self._adapter_facts(), "memory_bytes": self._memory_bytes()}

    def ask(
        self,
        *,
        prompt: str | Sequence[Message],
        adapter: str | None,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        seed: int | None,
        on_piece: Callable[[str], None],
        stop: threading.Event,
    ) -> dict[str, Any]:
        """Answer one prompt; ``on_piece`` gets the text as it comes. ``temperature`` 0 is greedy.

        A string is one user message where the model has a chat template, and plain text to go on from where it has none.
        """
        self._check_name(adapter)
        began = time.perf_counter()
        ids = self._encode(prompt, max_new_tokens)
        switching = time.perf_counter()
        self._adapters.switch(adapter)
        switch_s = time.perf_counter() - switching
        pieces = Pieces(self._tokenizer, on_piece)
        sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p} if temperature > 0 else _GREEDY
        if seed is not None:
            torch.manual_seed(seed)
        self._generate(ids, pieces, max_new_tokens=max_new_tokens, stopping_criteria=[StopWhenSet(stop)], **sampling)
        took_s = time.perf_counter() - began
        cut = pieces.tokens >= max_new_tokens and not pieces.ended
        return {
            "text": pieces.text,
            "prompt_tokens": int(ids.shape[1]),
            "ended": "stopped" if stop.is_set() else "length" if cut else "end",
            "adapter": adapter,
            "switch_s": switch_s,
            "memory_bytes": self._memory_bytes(),
            **{name: self._facts[name] for name in ("quantization", "note")},
            **pieces.measure(began=began, took_s=took_s),
        }

    def _generate(self, ids: torch.Tensor, pieces: Pieces, **settings: Any) -> None:
        pad = self._tokenizer.pad_token_id
        mask = torch.ones_like(ids)
        try:
            self._model.generate(input_ids=ids, attention_mask=mask, pad_token_id=pad, streamer=pieces, **settings)
        except (torch.OutOfMemoryError, MemoryError) as exc:
            raise ChatError(
                "There was not enough memory for this answer.",
                hint="Ask for fewer tokens, or send a shorter conversation.",
            ) from exc

    def ask_many(
        self,
        *,
        prompts: Sequence[str | Sequence[Message]],
        adapter: str | None,
        max_new_tokens: int,
        on_answer: Callable[[int, dict[str, Any]], None],
        stop: threading.Event,
    ) -> dict[str, Any]:
        """Answer prompts together, greedily; ``on_answer`` gets each one's number and answer as its batch is done."""
        self._check_name(adapter)
        ids = [self._encode(prompt, max_new_tokens) for prompt in prompts]
        self._adapters.switch(adapter)
        for number, answer in answer_many(self._model, self._tokenizer, ids, max_new_tokens=max_new_tokens, stop=stop):
            on_answer(number, answer)
        return {"memory_bytes": self._memory_bytes(), "adapter": adapter, "stopped": stop.is_set()}

    def _encode(self, prompt: str | Sequence[Message], max_new_tokens: int) -> torch.Tensor:
        """Token ids (1, T) of a prompt or conversation, checked against the model's context length."""
        if isinstance(prompt, str) and not self._tokenizer.chat_template:
            ids = self._tokenizer(prompt, return_tensors="pt")["input_ids"]
        else:
            messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
            try:
                ids = self._tokenizer.apply_chat_template(
                    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
                )["input_ids"]
            except (jinja2.TemplateError, ValueError, TypeError, KeyError) as exc:
                why = str(exc).strip() or type(exc).__name__
                raise ChatError(
                    f"The model's chat template does not take this conversation: {why}.",
                    hint='Messages are like {"role": "user", "content": "…"}; without a template, send plain text.',
                ) from exc
        limit = getattr(self._model.config, "max_position_embeddings", None)
        if limit is not None and ids.shape[1] + max_new_tokens > limit:
            raise ChatError(
                f"The prompt has {ids.shape[1]} tokens; with {max_new_tokens} new ones it passes the model's {limit}.",
                hint=f"Ask for at most {max(0, limit - ids.shape[1])} new tokens, or send a shorter conversation.",
            )
        return ids.to(self._model.device)

    def _check_name(self, name: str | None) -> None:
        if name is not None and name not in self._adapters.names:
            hint = nearest(name, self._adapters.names) if self._adapters.names else "Add it with chat.add(name, path)."
            raise ChatError(f"There is no adapter {name!r} in this chat.", hint=hint)

    def _adapter_facts(self) -> dict[str, Any]:
        names = list(self._adapters.names)
        swap = {"fast_switch": self._adapters.fast, "swap_notes": self._adapters.notes}
        return {"adapters": names, "adapter": self._adapters.active, **swap}

    def _memory_bytes(self) -> int:
        if str(self._facts["device"]).startswith("cuda"):
            return int(torch.cuda.memory_allocated())
        return int(psutil.Process().memory_info().rss)


# The model's own generation_config may ask for sampling; these undo it.
_GREEDY: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}


def _find_fit(path: Path, *, precision: str, device: str, limit: int | None) -> Fit:
    on_gpu = device.startswith("cuda")
    free = int(torch.cuda.mem_get_info()[0]) if on_gpu else free_memory_bytes()
    free = free if limit is None else min(free, limit)
    return choose_fit(read_tensors(path), read_model_facts(path), free_bytes=free, precision=precision, on_gpu=on_gpu)


def _list_modules(model: Any) -> dict[str, tuple[int, ...]]:
    """Module path → (out, in) of the layers in memory: exact for every architecture, and for quantised weights too."""
    modules: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):  # bitsandbytes' layers are subclasses that keep these numbers
            modules[name] = (module.out_features, module.in_features)
        elif isinstance(weight := getattr(module, "weight", None), torch.Tensor) and weight.dim() >= 2:
            modules[name] = tuple(weight.shape)
    return modules
