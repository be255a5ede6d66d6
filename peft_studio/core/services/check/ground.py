"""What the checks stand on: a spec, its rows, and what is on this machine of its model. Each is read once, when first asked for."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from peft_studio.core.data import Dataset
from peft_studio.core.data.report import Report
from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.defaults.fit_ladder import Ladder, climb
from peft_studio.core.device import find_free_bytes, find_gpus
from peft_studio.core.errors import SpecError
from peft_studio.core.estimators import Estimate, estimate_training_memory
from peft_studio.core.estimators.parallel import Devices, choose_layout
from peft_studio.core.models import ModelFacts, build_model_facts, find_prepared
from peft_studio.core.models.prepared import find_config
from peft_studio.core.models.shapes import ModelShapes, build_model_shapes


@dataclass(frozen=True)
class Ground:
    """None stands for what cannot be known before the model is on this machine."""

    spec: ExplainedSpec
    data: Dataset
    home: Path

    @cached_property
    def folder(self) -> Path | None:
        """Where the base model stands."""
        return find_prepared(self.spec.model, self.home)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its config.json; empty while it is not known."""
        return find_config(self.spec.model, self.home) or {}

    @cached_property
    def facts(self) -> ModelFacts | None:
        return build_model_facts(self.config) if self.config else None

    @cached_property
    def shapes(self) -> ModelShapes | None:
        return build_model_shapes(self.config) if self.config else None

    @property
    def beyond_context(self) -> bool:
        """Whether rows may be longer than the model can read."""
        limit = self.facts.context_length if self.facts else None
        return bool(limit and self.spec.max_length > limit)

    @cached_property
    def report(self) -> Report | None:
        """What the rows are like as this spec would train on them."""
        if self.folder is None or self.beyond_context:
            return None
        only = self.spec.assistant_only_loss
        return self.data.report(self.folder, max_length=self.spec.max_length, assistant_only=only)

    @cached_property
    def ladder(self) -> Ladder | None:
        """What the run would need, and what would make it need less."""
        free = find_free_bytes()
        if self.shapes is None or free is None:
            return None
        return climb(self.spec, free_bytes=free, needs=self._needs, share_longer=self._share_longer)

    @cached_property
    def devices(self) -> Devices:
        """The devices of this machine that the run could take."""
        kind, free = self.spec.basis.device, find_free_bytes()
        return Devices(kind, max(1, len(find_gpus())) if kind == "cuda" else 1, free)

    def _needs(self, spec: ExplainedSpec) -> Estimate:
        """What each device needs, as the run would use them; of what cannot be had on them, what one would."""
        assert self.shapes is not None
        with suppress(SpecError):
            if found := choose_layout(spec, self.shapes, self.devices).memory:
                return found
        longest = spec.basis.max_tokens
        return estimate_training_memory(spec, self.shapes, device=spec.basis.device, row_tokens=longest)

    def _share_longer(self, tokens: int) -> float:
        """At most this share of the rows has more tokens: lengths are known by bins."""
        lengths = self.report.lengths if self.report else None
        if lengths is None or not lengths.counted:
            return 1.0
        return sum(rows for _, longest, rows in lengths.histogram if longest > tokens) / lengths.counted
