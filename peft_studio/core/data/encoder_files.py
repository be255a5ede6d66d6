"""Reads what an encoder needs from a model's folder: tokenizer, special tokens, chat template, context length.

Needs neither transformers nor torch. Takes the same files in the same order of precedence as transformers 5.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, processors

from peft_studio.core.data.encode import Encoder
from peft_studio.core.data.template import CHATML, ChatTemplate
from peft_studio.core.errors import ModelError

# Above this, model_max_length is transformers' word for "not known" (1e30).
_MOST_CONTEXT_TOKENS = 100_000_000


def load_encoder(folder: str | Path) -> Encoder:
    """The encoder of the model in ``folder``.

    Raises:
        ModelError: The folder has no tokenizer.json, or a file in it cannot be read.
    """
    folder = Path(folder)
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            f"{folder} has no tokenizer.json.",
            hint="Save the tokenizer once with transformers: AutoTokenizer.from_pretrained(…).save_pretrained(folder).",
        )
    settings = _read_json(folder / "tokenizer_config.json")
    tokenizer = _load_tokenizer(folder / "tokenizer.json", settings)
    specials = _special_tokens(folder, settings)
    config = _read_json(folder / "config.json")
    eos_id = tokenizer.token_to_id(specials["eos_token"]) if "eos_token" in specials else None
    stop_ids = {
        *_ids(_read_json(folder / "generation_config.json").get("eos_token_id")),
        *_ids(config.get("eos_token_id")),
    }
    stop_ids |= {eos_id} if eos_id is not None else set()
    if eos_id is None:
        eos_id = min(stop_ids, default=None)
    return Encoder(
        tokenizer=tokenizer,
        name=folder.name,
        eos_id=eos_id,
        stop_ids=frozenset(stop_ids),
        bos_id=_bos_id(tokenizer, settings, specials),
        template=_find_template(folder, settings, specials),
        context_tokens=_context_tokens(settings, config),
    )


def write_chatml(folder: str | Path) -> Path:
    """Give a model that has no chat template the ChatML one, ending turns with its own EOS token.

    Raises:
        ModelError: The folder has a template already; it is left alone.
    """
    folder = Path(folder)
    encoder = load_encoder(folder)
    if encoder.template is not None:
        raise ModelError(
            f"{folder} has a chat template already ({encoder.template.found_in}).", hint="Use it as it is."
        )
    path = folder / "chat_template.jinja"
    path.write_text(CHATML, encoding="utf-8")
    return path


def _load_tokenizer(path: Path, settings: Mapping[str, Any]) -> Tokenizer:
    _read_json(path)  # tokenizers raises a bare Exception for a file cut short; this names it
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    declared = settings.get("added_tokens_decoder") or {}
    for _, token in sorted(declared.items(), key=lambda item: int(item[0])):
        if tokenizer.token_to_id(token["content"]) is None:
            tokenizer.add_tokens([AddedToken(**{k: v for k, v in token.items() if k != "__type"})])
    _keep_spaces_in_offsets(tokenizer)
    return tokenizer


def _keep_spaces_in_offsets(tokenizer: Tokenizer) -> None:
    """Let offsets cover the space that belongs to a token, else a mask by characters would lose white space."""
    processor = tokenizer.post_processor
    if isinstance(processor, processors.Sequence):
        parts = list(processor)  # type: ignore[call-overload]  # iterable by its __getitem__, though it has no length
        tokenizer.post_processor = processors.Sequence([_untrimmed(part) for part in parts])
    elif processor is not None:
        tokenizer.post_processor = _untrimmed(processor)


def _untrimmed(processor: processors.PostProcessor) -> processors.PostProcessor:
    return processors.ByteLevel(trim_offsets=False) if isinstance(processor, processors.ByteLevel) else processor


def _special_tokens(folder: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """bos_token, eos_token … as text: from tokenizer_config.json, then special_tokens_map.json."""
    named = {**_read_json(folder / "special_tokens_map.json"), **settings, **_model_specific(settings)}
    texts = {
        key: _token_text(value) for key, value in named.items() if key.endswith("_token") and not key.startswith("add_")
    }
    return {key: text for key, text in texts.items() if text}


def _model_specific(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    extra = settings.get("extra_special_tokens")
    return extra if isinstance(extra, Mapping) else {}


def _token_text(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _bos_id(tokenizer: Tokenizer, settings: Mapping[str, Any], specials: Mapping[str, str]) -> int | None:
    """The token that the model expects before plain text: as the config says, else as tokenizer.json does it."""
    bos = tokenizer.token_to_id(specials["bos_token"]) if "bos_token" in specials else None
    if bos is None or settings.get("add_bos_token") is False:
        return None
    by_itself = tokenizer.encode("a", add_special_tokens=True).ids[:1] == [bos]
    return bos if settings.get("add_bos_token") or by_itself else None


def _find_template(folder: Path, settings: Mapping[str, Any], specials: Mapping[str, str]) -> ChatTemplate | None:
    jinja, in_json = folder / "chat_template.jinja", _read_json(folder / "chat_template.json").get("chat_template")
    configured = settings.get("chat_template")
    tool_file = folder / "additional_chat_templates" / "tool_use.jinja"
    tool_source = tool_file.read_text(encoding="utf-8") if tool_file.is_file() else None
    if jinja.is_file():
        return ChatTemplate(jinja.read_text(encoding="utf-8"), "chat_template.jinja", specials, tool_source)
    if isinstance(in_json, str):
        return ChatTemplate(in_json, "chat_template.json", specials, tool_source)
    if isinstance(configured, list):
        named = {entry["name"]: entry["template"] for entry in configured}
        if "default" not in named:
            return None
        return ChatTemplate(named["default"], "tokenizer_config.json", specials, named.get("tool_use"))
    return (
        ChatTemplate(configured, "tokenizer_config.json", specials, tool_source)
        if isinstance(configured, str)
        else None
    )


def _context_tokens(settings: Mapping[str, Any], config: Mapping[str, Any]) -> int | None:
    inner = config.get("text_config")
    known = [config.get("max_position_embeddings"), settings.get("model_max_length")]
    known += [inner.get("max_position_embeddings")] if isinstance(inner, Mapping) else []
    return min((int(n) for n in known if isinstance(n, int | float) and 0 < n < _MOST_CONTEXT_TOKENS), default=None)


def _ids(value: Any) -> Iterable[int]:
    return (value,) if isinstance(value, int) else tuple(value) if isinstance(value, list) else ()


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise ModelError(f"{path} is not valid JSON: {exc}.", hint="Fetch the model's files again.") from exc
    return value if isinstance(value, dict) else {}
