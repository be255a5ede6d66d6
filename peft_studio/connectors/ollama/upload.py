"""An adapter as a model of the daemon: files by digest, then one create. Ours is told by the label in its licence layer.

The daemon converts safetensors adapters of llama and gemma2 itself and knows no other family in that form (server/create.go, read
November 2026); a GGUF adapter it takes as it is, exactly one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from peft_studio.connectors.base.parts import Stretch, digest
from peft_studio.connectors.base.reading import record, text
from peft_studio.connectors.ollama import INFO
from peft_studio.connectors.ollama.api import OllamaApi
from peft_studio.core.errors import NotFound, Refused
from peft_studio.core.ports.registry import Published, Upload

LABEL = "Published by PEFT Studio: "
READS = (".gguf", "adapter_model.safetensors", "adapter_config.json")
WHOLE = (".safetensors", ".json")


class OllamaUpload:
    """One daemon's way to publish."""

    def __init__(self, api: OllamaApi) -> None:
        self._api = api

    def publish(self, upload: Upload, report: Callable[[int], None]) -> Published:
        """Send what the daemon lacks and make the model. One of that name that is not ours stays as it is."""
        merged = bool(upload.settings.get("merged"))
        wanted = [file for file in upload.files if file.path.endswith(WHOLE if merged else READS)]
        files = [digest(file, INFO.name) for file in wanted]
        done = Published(repo=upload.repo, use=(f"ollama run {upload.repo}",))
        if self._is_there(upload):
            report(sum(one.file.size_bytes for one in files))
            return done.model_copy(update={"already": True})
        expected = list(upload.settings.get("expect") or ())
        if merged and not expected:
            raise Refused(
                "A merged model is kept only after its answers were compared, and there are none to compare with.",
                hint="studio.push(…, prompts=['…', '…']) gives some.",
                platform=INFO.name,
            )
        if not merged:
            self._check_base(upload.settings)
        sent = 0
        for one in files:
            if not self._api.has_blob(one.file.sha256):
                self._api.send_blob(one.file.sha256, Stretch(one.path, 0, one.file.size_bytes))
            sent += one.file.size_bytes
            report(sent)
        licence = [text_ for text_ in (text(upload.settings, "license"), LABEL + upload.id) if text_]
        name = _trial_name(upload.repo) if expected else upload.repo
        there = {one.file.path: f"sha256:{one.file.sha256}" for one in files}
        made_of = {"files": there} if merged else {"from": upload.settings["from"], "adapters": there}
        body = {"model": name, **made_of, "license": licence}
        for _ in self._api.create(body):
            pass
        if not expected:
            return done
        try:
            self._compare(name, expected)
            self._api.copy(name, upload.repo)
        finally:
            self._api.delete(name)
        same = f"# {len(expected)} of {len(expected)} answers are those of the adapter here"
        return done.model_copy(update={"use": (*done.use, same)})

    def _compare(self, model: str, expected: Sequence[Mapping[str, Any]]) -> None:
        """Ask what the adapter was asked here.

        Raises:
            Refused: An answer is another one. The model is not offered then.
        """
        differ = []
        for one in expected:
            said = self._api.answer(model, str(one["prompt"]), tokens=int(one["tokens"])).strip()
            if said != str(one["answer"]).strip():
                differ.append((one["prompt"], one["answer"], said))
        if differ:
            prompt, ours, theirs = (str(part)[:200] for part in differ[0])
            raise Refused(
                f"{len(differ)} of {len(expected)} answers differ in Ollama, so the model was not kept. To {prompt!r} the adapter says"
                f" {ours!r}, and Ollama {theirs!r}.",
                hint="Its base may be another one, or quantised: name an F16 one with from_model=…. prompts=[] makes it without comparing.",
                platform=INFO.name,
            )

    def _is_there(self, upload: Upload) -> bool:
        """Whether the very same is there.

        Raises:
            Refused: A model of that name is there that did not come from here.
        """
        try:
            licence = str(self._api.show(upload.repo).get("license") or "")
        except NotFound:
            return False
        if LABEL not in licence:
            raise Refused(
                f"Ollama has a model {upload.repo} that is not from here. It was left as it is.",
                hint="Take another name.",
                platform=INFO.name,
            )
        return LABEL + upload.id in licence

    def _check_base(self, settings: Mapping[str, Any]) -> None:
        """The base must be there, and of the family that the adapter was trained on."""
        base, family = str(settings["from"]), settings.get("family")
        found = text(record(self._api.show(base), "details"), "family")
        if family and found and found != family:
            raise Refused(
                f"{base} is a {found}; this adapter was trained on a {family}.",
                hint="Name the very base it was trained on: from_model=…",
                platform=INFO.name,
            )


def _trial_name(name: str) -> str:
    """Where a model stands until its answers have been compared."""
    stem, _, tag = name.partition(":")
    return f"{stem}-trial:{tag or 'latest'}"
