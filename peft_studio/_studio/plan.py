"""The part of the studio that stands before a run: data, base model, spec, preflight, spec files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_studio._studio.home import Home, Say, tell

if TYPE_CHECKING:
    from peft_studio.core.compute import BillingRules, Electricity
    from peft_studio.core.data import Dataset
    from peft_studio.core.defaults import ExplainedSpec
    from peft_studio.core.services.accuracy import Accuracy
    from peft_studio.core.services.check import Check
    from peft_studio.core.services.quote import Quote
    from peft_studio.core.services.run import Run

_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")


class Planning(Home):
    """Data, specs and what would stop them."""

    def data(
        self,
        source: Any,
        *,
        columns: Mapping[str, str] | None = None,
        format: str | None = None,
        split: float = 0.0,
        seed: int = 0,
    ) -> Dataset:
        """Open training data: a file, folder, hub id, list of dicts or pandas frame.

        Args:
            source: CSV, JSON, JSONL, Parquet or text, a folder of such files, ``org/name`` on the hub, or rows.
            columns: Our column name → theirs, where recognition needs help.
            format: The format, where recognition is not to decide.
            split: Share of rows held out for evaluation.
            seed: Seed of the split.
        """
        from peft_studio.core.data import open_data
        from peft_studio.core.services.prepare import fetch_dataset

        origin = None
        if isinstance(source, str) and _HUB_ID.fullmatch(source) and not Path(source).exists():
            origin = f"hub:{source}"
            source = self._bring_dataset(source, tell) or fetch_dataset(source, self.home, progress=tell)
        data = open_data(
            source, folder_for_rows=self.home / "data", columns=columns, format=format, split=split, seed=seed,
            find_model=self.prepare, origin=origin,
        )  # fmt: skip
        self._datasets[data.ref.sha256] = data
        self.session.choose(data=data)
        return data

    def prepare(self, model: str, *, progress: Say = tell) -> Path:
        """Bring a base model onto this machine and return its folder: converted, downloaded, or as it is.

        A gated one of the hub comes with the token that ``studio.connect("huggingface")`` has kept. ``progress`` is told in words.
        """
        from peft_studio.core.services.prepare import ensure_model

        self._bring_model(model, progress)
        return ensure_model(model, self.home, progress=progress)

    def spec(self, *, model: str, data: Any, **fields: Any) -> ExplainedSpec:
        """Specify a run. Every field not given gets a default; ``spec.explain()`` says why.

        Raises:
            SpecError: A field is unknown or out of range.
        """
        from peft_studio.core.data import Dataset
        from peft_studio.core.defaults import ExplainedSpec
        from peft_studio.core.services.basis import build_basis

        data = data if isinstance(data, Dataset) else self.data(data)
        basis = build_basis(data, self.prepare(model), **fields)
        spec = ExplainedSpec.derive(model=model, data=data.ref, basis=basis, **fields)
        self._made_on.pop((spec.model, spec.data.sha256), None)
        self.session.choose(model=model, data=data, draft=spec)
        return spec

    def check(self, spec: ExplainedSpec) -> Check:
        """Whether a spec is ready to launch here, and every problem with its fix."""
        from peft_studio.core.services.check import check_spec

        return check_spec(spec, self._data_of(spec), home=self.home)

    def quote(
        self,
        spec: ExplainedSpec,
        compute: str = "local",
        *,
        rules: BillingRules | None = None,
        electricity: Electricity | None = None,
        measure: bool = True,
    ) -> Quote:
        """Memory, time and dollars that a run would take, each with its range and what it rests on, and whether it fits.

        The first quote on a machine measures how fast it trains, about twenty seconds, longer beside other work; after that a quote takes milliseconds.

        Args:
            spec: What would be launched.
            compute: ``"local"``, or a card of the device table: ``"H100"``, ``"RTX 4090"``.
            rules: How the place bills, where it does; a machine of your own does not.
            electricity: Watts and price of a machine of your own; else power is not counted.
            measure: False leaves time unknown rather than measure this machine now.
        """
        from peft_studio.core.services.accuracy import read_corrections
        from peft_studio.core.services.device_speed import ensure_speed, find_speed
        from peft_studio.core.services.quote import build_quote, find_place

        speed = (ensure_speed(self.home, tell) if measure else find_speed(self.home)) if compute == "local" else None
        place = find_place(compute, speed=speed, rules=rules, electricity=electricity)
        return build_quote(spec, self.home, place, corrections=read_corrections(self.home))

    def accuracy(self) -> Accuracy:
        """How good the estimates of this home's finished runs were, and what is learned from them; ``.reset()`` forgets that."""
        from peft_studio.core.services.accuracy import read_accuracy

        return read_accuracy(self.home)

    def export(self, spec_or_run: ExplainedSpec | Run, path: str | os.PathLike[str]) -> Path:
        """Write a spec to a file that ``load`` reads. It holds no secret and no rows."""
        from peft_studio.core.services.run import Run
        from peft_studio.core.services.spec_file import save_spec

        return save_spec(spec_or_run.spec if isinstance(spec_or_run, Run) else spec_or_run, path)

    def load(self, path: str | os.PathLike[str]) -> tuple[ExplainedSpec, list[str]]:
        """Read a spec file. The notes say what differs on this machine.

        Raises:
            SpecError: The file is not a spec, or of a newer version.
        """
        from peft_studio.core.services.spec_file import load_spec, read_spec

        spec, notes = load_spec(path)
        self._made_on[spec.model, spec.data.sha256] = read_spec(path).basis
        return spec, notes
