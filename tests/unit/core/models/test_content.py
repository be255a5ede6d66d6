"""Files that are not what their names say."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors.numpy import save

from peft_studio.core.models.content import check_content, is_wanted
from peft_studio.core.models.failure import ModelFailure

GOOD = save(
    {"a": numpy.ones((2, 3), numpy.float32), "b": numpy.zeros((0,), numpy.float16), "c": numpy.arange(5)},
    {"format": "pt"},
)


def tensors(header: Any, body: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + body


def entry(start: int, end: int, shape: Any = None, dtype: Any = "U8", **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [end - start] if shape is None else shape, "data_offsets": [start, end], **more}


def torch_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({}))
    return out.getvalue()


def look(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.write_bytes(content)
    check_content(path, source="ann/model")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", GOOD), ("model.safetensors", tensors({})), ("model.safetensors", tensors({"a": entry(0, 2), "b": entry(2, 2), "c": entry(2, 5)}, b"xxxxx")),
        ("config.json", b'{"a": 1}'), ("chat_template.jinja", "{{ é }}".encode()), ("merges.txt", b"a b\n"), ("README.md", b"# x"),
        ("tokenizer.model", b"\n\x0e\n\x05<unk>"), ("tokenizer.model", b"IQ== 0\n"), ("qwen.tiktoken", b"IQ== 0\n"),
    ],
)  # fmt: skip
def test_what_is_what_it_says(name: str, content: bytes, tmp_path: Path) -> None:
    """Is taken."""
    look(tmp_path, name, content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (pickle.dumps({"a": 1}), "pickle"),
        (pickle.dumps({"a": 1}, protocol=2), "pickle"),
        (torch_zip(), "pickle"),
        (b"<!DOCTYPE html><title>log in</title>", "does not begin"),
        (b"", "does not begin"),
        (GOOD[:-1], "its header promises"),
        (GOOD + b"x", "its header promises"),
        (tensors({"a": entry(0, 4), "b": entry(2, 6)}, b"xxxxxx"), "overlap"),
        (tensors({"a": entry(0, 2), "b": entry(3, 5)}, b"xxxxx"), "belong to no tensor"),
        (tensors({"a": entry(1, 3)}, b"xxx"), "belong to no tensor"),
        (tensors({"a": entry(0, 2), "b": entry(0, 2)}, b"xx"), "overlap"),
        (tensors({"a": entry(2, 0, [0])}, b"xx"), "disagree"),
        (tensors({"a": entry(0, 2, [3])}, b"xx"), "disagree"),
        (tensors({"a": entry(0, 8, [2**62, 4])}, b"x" * 8), "disagree"),
        (tensors({"a": entry(0, 2, [-2])}, b"xx"), "are none"),
        (tensors({"a": entry(0, 2, [2.0])}, b"xx"), "are none"),
        (tensors({"a": entry(0, 2, [True, 2])}, b"xx"), "are none"),
        (tensors({"a": entry(0, 2, "2")}, b"xx"), "are none"),
        (tensors({"a": entry(0, 2, dtype=3)}, b"xx"), "are none"),
        (tensors({"a": entry(0, 2, more=1)}, b"xx"), "does not belong"),
        (tensors({"a": [0, 2]}, b"xx"), "does not belong"),
        (tensors({"__metadata__": {"a": {"b": 1}}}), "metadata"),
        (tensors({"__metadata__": [1]}), "metadata"),
        (tensors(b'{"a": 1, "a": 2}'), "not readable"),
        (tensors(b"[]"), "no JSON object"),
        (tensors(b"{" * 200_000), "not readable"),
        ((2**40).to_bytes(8, "little") + b"{}", "does not begin"),
    ],
)
def test_what_is_no_safetensors(content: bytes, why: str, tmp_path: Path) -> None:
    """By content, whatever its name; with a reason and without being opened by anything that would run it."""
    with pytest.raises(ModelFailure, match=why) as caught:
        look(tmp_path, "model.safetensors", content)
    assert caught.value.code == "untrusted"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", pickle.dumps({})), ("config.json", b"(dp0\n."), ("config.json", b"{"), ("vocab.txt", pickle.dumps([1])), ("vocab.txt", b"a\0b"),
        ("tokenizer.model", pickle.dumps({})), ("tokenizer.model", torch_zip()), ("x.jinja", b"\xff"), ("pytorch_model.bin", b"{}"), ("code.py", b""),
        ("x.gguf", b"GGUF"), ("model.SAFETENSORS", pickle.dumps({})),
    ],
)  # fmt: skip
def test_other_names_promise_too(name: str, content: bytes, tmp_path: Path) -> None:
    """JSON is JSON, text is text, and what nothing loads is not kept."""
    with pytest.raises(ModelFailure, match="not what its name says"):
        look(tmp_path, name, content)


def test_what_is_wanted_of_a_repository() -> None:
    """What loads the model, of its top folder alone."""
    offered = [
        "model.safetensors", "config.json", "README.md", "pytorch_model.bin", "onnx/model.safetensors", "tokenizer.model", "run.py", ".gitattributes", ".x.json",
        "model.gguf", "training_args.bin",
    ]  # fmt: skip
    assert [name for name in offered if is_wanted(name)] == [
        "model.safetensors",
        "config.json",
        "README.md",
        "tokenizer.model",
    ]
