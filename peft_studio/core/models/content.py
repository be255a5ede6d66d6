"""What a model's file holds, whatever it is called: numbers or text, and nothing that runs when it is opened.

A name is its author's promise. So every file that may be loaded is looked at: safetensors to the last byte of its header, text as text.
Pickle is neither, by any name.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft_studio.core.models.failure import ModelFailure
from peft_studio.core.models.weights import BITS, LENGTH_BYTES, MAX_HEADER_BYTES, TornFile

TEXT = (".json", ".jinja", ".txt", ".tiktoken", ".md")
SENTENCEPIECE = (".model", ".spm")
WANTED = (".safetensors", *TEXT, *SENTENCEPIECE)
PIECE_BYTES = 2**20
JSON_BYTES = 512 * 2**20


def is_wanted(path: str) -> bool:
    """Whether a file of a repository belongs to what loads a model: its top folder's weights, configs and tokenizer, and its card."""
    return "/" not in path and path.lower().endswith(WANTED) and not path.startswith(".")


def check_content(path: Path, *, source: str) -> None:
    """Refuse a file that is not what its name says.

    Raises:
        ModelFailure: With code ``untrusted``.
        OSError: It cannot be read.
    """
    name = path.name.lower()
    try:
        if name.endswith(".safetensors"):
            check_safetensors(path)
        elif name.endswith(TEXT):
            _check_text(path)
        elif name.endswith(SENTENCEPIECE):
            _check_sentencepiece(path)
        else:
            raise TornFile("files of that kind are not loaded")
    except TornFile as exc:
        raise ModelFailure(
            f"{source}: {path.name} is not what its name says: {exc}. It was not kept.",
            code="untrusted",
            hint="Weights are taken as safetensors alone, which hold numbers and nothing that runs. Look at who published this model.",
        ) from exc


def check_safetensors(path: Path) -> None:
    """Hold a file against the format's own rules: a header of bounded length, each tensor's bytes as its type and shape say, one
    behind the other without gap or overlap, up to the very end of the file.

    Raises:
        TornFile: It breaks one.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, size - LENGTH_BYTES):
            raise TornFile(_what_it_is(path) or "it does not begin like a safetensors file")
        raw = file.read(length)
    if raw[:1] != b"{":
        raise TornFile("its header is no JSON object")
    try:
        header = json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError) as exc:
        raise TornFile("its header is not readable") from exc
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or any(not isinstance(value, str) for value in metadata.values()):
        raise TornFile("its metadata is more than text")
    end = 0
    for start, stop in sorted(_span(name, entry) for name, entry in header.items()):
        if start != end:
            raise TornFile("tensors in it overlap" if start < end else "there are bytes in it that belong to no tensor")
        end = stop
    if LENGTH_BYTES + length + end != size:
        raise TornFile(f"it has {size:,} bytes, its header promises {LENGTH_BYTES + length + end:,}")


def _span(name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor's bytes are, behind the header."""
    if not isinstance(entry, Mapping) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise TornFile(f"of {name[:60]!a} it says what does not belong there")
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
    if not (isinstance(dtype, str) and _are_counts(shape) and _are_counts(offsets) and len(offsets) == 2):
        raise TornFile(f"type, shape or place of {name[:60]!a} are none")
    bits = BITS.get(dtype)
    if offsets[0] > offsets[1] or (bits is not None and (offsets[1] - offsets[0]) * 8 != math.prod(shape) * bits):
        raise TornFile(f"place and shape of {name[:60]!a} disagree")
    return offsets[0], offsets[1]


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names are different: of two readers one would take the first, the other the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _what_it_is(path: Path) -> str:
    """What a file really is, where that needs to be said."""
    with path.open("rb") as file:
        head = file.read(16)
    if (head[:1] == b"\x80" and 2 <= head[1] <= 5) or head[:4] == b"PK\3\4":
        return "it is pickle, which runs its author's code when it is opened, or an archive of it"
    return ""


def _check_text(path: Path) -> None:
    """UTF-8 without NUL, and JSON where it says so. Not even the oldest pickle is JSON."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while piece := file.read(PIECE_BYTES):
                if b"\0" in piece:
                    raise TornFile(_what_it_is(path) or "it is no text")
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as exc:
            raise TornFile(_what_it_is(path) or "it is no text") from exc
    if path.suffix.lower() == ".json":
        if path.stat().st_size > JSON_BYTES:
            raise TornFile("it is too large for JSON")
        try:
            json.loads(path.read_bytes())
        except (ValueError, RecursionError) as exc:
            raise TornFile("it is no JSON") from exc


def _check_sentencepiece(path: Path) -> None:
    """A serialised ModelProto begins with its first piece: field 1, length-delimited (sentencepiece_model.proto). Some are text in base64."""
    with path.open("rb") as file:
        head = file.read(1)
    if head != b"\n":
        _check_text(path)
