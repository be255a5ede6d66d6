"""The adapters attached to one base model: bringing them in from disk, and changing which of them answers.

Two shortcuts past peft's public calls, both checked against those calls once in each process before they are relied on:

- *switching* writes ``_active_adapter`` on a kept list of layers, where ``set_adapter`` walks the whole model;
- *attaching* an adapter of a layout that is already resident clones its empty slots and copies the file into them, where
  ``load_adapter`` builds and matches every module anew.

Whether an adapter may join at all was decided before (``core.models.adapters``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from safetensors.torch import load_file

from peft_studio.core.models.adapter_files import WEIGHTS
from peft_studio.core.models.adapters import AdapterShape
from peft_studio.runner.trainer.adapter_slots import SlotError, clone_slot, copy_into_slot

_PROBE_TOKENS = 4


class ResidentAdapters:
    """Adapters by name over one base model; ``switch(None)`` is the bare base. Used by one thread at a time."""

    def __init__(self, base: Any) -> None:
        self._base = base
        self._peft: PeftModel | None = None
        self._layers: list[tuple[str, Any]] = []
        self._slots: dict[str, str] = {}  # user's name → name inside peft, where dots are not allowed
        self._layouts: dict[str, Any] = {}  # user's name → AdapterShape.layout
        self._count = 0
        self._active: str | None = None
        self._switch_fast = False
        self._checked_kinds: set[type] = set()  # classes of layers for which the short way of switching was checked
        self._attach_fast: dict[Any, bool] = {}  # by layout
        self.notes: list[str] = []

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._slots)

    @property
    def active(self) -> str | None:
        """The adapter that answers now."""
        return self._active

    @property
    def fast(self) -> bool:
        """Whether switching takes the short way; False until the first adapter was attached, or when the check failed."""
        return self._switch_fast

    def attach(self, name: str, folder: Path, shape: AdapterShape) -> None:
        """Bring an adapter in from disk under ``name``, replacing one of that name. The active adapter stays active."""
        known = self._attach_fast.get(shape.layout)
        if known and self._layouts.get(name) == shape.layout:
            copy_into_slot(self._layers, self._slots[name], load_file(folder / WEIGHTS))
            return
        template = next((other for other, layout in self._layouts.items() if layout == shape.layout), None)
        slot = f"slot{self._count}"
        self._count += 1
        if template is not None and known is not False:
            self._clone(template, slot, folder, shape)
        else:
            self._load(slot, folder)
        old = self._slots.get(name)
        self._slots[name], self._layouts[name] = slot, shape.layout
        if old is not None:
            self._forget(old)
        kinds = {type(layer) for _, layer in self._layers}
        if not kinds <= self._checked_kinds:
            self._checked_kinds |= kinds
            self._switch_fast = self._check_switch(slot)
        self.switch(self._active)

    def detach(self, name: str) -> None:
        """Take an adapter out and free its memory; the base answers if it was the active one."""
        slot = self._slots.pop(name)
        del self._layouts[name]
        if self._active == name:
            self._active = None
        if not self._slots and self._peft is not None:
            _write_active(self._layers, None)  # else peft leaves the adapter's own whole layers in the base
            self._base = self._peft.unload()
            self._peft, self._layers, self._switch_fast, self._checked_kinds = None, [], False, set()
            return
        self._forget(slot)
        self.switch(self._active)

    def switch(self, name: str | None) -> None:
        """Let this adapter answer; None is the bare base. KeyError for a name that is not resident."""
        slot = None if name is None else self._slots[name]
        if self._switch_fast:
            _write_active(self._layers, slot)
        elif self._peft is not None:
            self._ask_peft(slot)
        self._active = name

    def _load(self, slot: str, folder: Path) -> None:
        """Attach with peft's own calls."""
        if self._peft is None:
            self._peft = PeftModel.from_pretrained(self._base, str(folder), adapter_name=slot, is_trainable=False)
        else:
            _write_active(self._layers, None)
            self._peft.load_adapter(str(folder), adapter_name=slot, is_trainable=False)
        self._peft.eval()
        self._list_layers()

    def _clone(self, template: str, slot: str, folder: Path, shape: AdapterShape) -> None:
        """Attach into copies of the slots of an adapter of the same layout; the first time, against peft's own way."""
        assert self._peft is not None
        try:
            clone_slot(self._peft, self._layers, self._slots[template], slot)
            copy_into_slot(self._layers, slot, load_file(folder / WEIGHTS))
        except SlotError as exc:
            self._give_up_cloning(shape, str(exc))
        if shape.layout not in self._attach_fast:
            self._attach_fast[shape.layout] = self._check_clone(slot, folder)
            if not self._attach_fast[shape.layout]:
                self._give_up_cloning(shape, "its answers differ")
        if not self._attach_fast[shape.layout]:
            self._forget(slot)
            self._load(slot, folder)

    def _give_up_cloning(self, shape: AdapterShape, why: str) -> None:
        self._attach_fast[shape.layout] = False
        self.notes.append(f"Adapters are attached with peft's load_adapter here: the shorter way was tried, but {why}.")

    def _check_clone(self, slot: str, folder: Path) -> bool:
        """Whether the cloned slot gives the same logits as peft's load_adapter of the same files."""
        assert self._peft is not None
        self._load("reference", folder)
        self._ask_peft("reference")
        expected = self._probe()
        self._ask_peft(slot)
        same = torch.equal(self._probe(), expected)
        self._forget("reference")
        return same

    def _check_switch(self, slot: str) -> bool:
        """Whether writing the attribute gives the same logits as peft's calls, for the adapter and for the base."""
        assert self._peft is not None
        expected = []
        for choice in (slot, None):
            self._ask_peft(choice)
            expected.append(self._probe())
        self._ask_peft(slot)
        found: list[torch.Tensor] = []
        for choice in (None, slot):
            _write_active(self._layers, choice)
            found.insert(0, self._probe())
        if all(torch.equal(one, other) for one, other in zip(expected, found, strict=True)):
            return True
        self._ask_peft(slot)
        self.notes.append("Adapters are switched with peft's set_adapter here: the shorter way gave other answers.")
        return False

    def _ask_peft(self, slot: str | None) -> None:
        """Switch with peft's own calls. They stumble over names that a layer does not have, so ours are taken back first."""
        assert self._peft is not None
        _write_active(self._layers, None)
        if slot is None:
            self._peft.base_model.disable_adapter_layers()
            return
        self._peft.base_model.enable_adapter_layers()
        self._peft.base_model.set_adapter(slot, inference_mode=True)

    def _probe(self) -> torch.Tensor:
        ids = torch.arange(1, 1 + _PROBE_TOKENS, device=self._base.device).unsqueeze(0) % self._base.config.vocab_size
        with torch.no_grad():
            logits: torch.Tensor = self._base(input_ids=ids, use_cache=False).logits
        return logits

    def _forget(self, slot: str) -> None:
        """Delete a slot, with another one active: peft 0.21 cannot load an adapter after its active one was deleted."""
        assert self._peft is not None
        self._ask_peft(next(other for other in self._peft.peft_config if other != slot))
        self._peft.delete_adapter(slot)
        self._list_layers()

    def _list_layers(self) -> None:
        kinds = (BaseTunerLayer, AuxiliaryTrainingWrapper)
        self._layers = [(name, layer) for name, layer in self._base.named_modules() if isinstance(layer, kinds)]


def _write_active(layers: list[tuple[str, Any]], slot: str | None) -> None:
    """peft's layers skip adapters that they do not have, so one list serves them all; an empty one is the bare base."""
    active = [] if slot is None else [slot]
    for _, layer in layers:
        layer._active_adapter = active
