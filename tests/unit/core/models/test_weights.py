"""Headers and digests of safetensors files written by the safetensors library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peft_studio.core.models import ModelFailure
from peft_studio.core.models.weights import TornFile, fingerprint_base, list_weight_files, read_header, read_tensors


def save(path: Path, **tensors: object) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({name: torch.as_tensor(value) for name, value in tensors.items()}, path)


def test_header_says_what_was_saved(tmp_path: Path) -> None:
    """Names, types, shapes and places are those of the file."""
    import torch

    path = tmp_path / "model.safetensors"
    save(path, a=torch.arange(6.0).reshape(2, 3), b=torch.ones(4, dtype=torch.bfloat16))
    header = read_header(path)
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in header.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("BF16", (4,)),
    }
    assert path.read_bytes()[header["a"].start : header["a"].end] == torch.arange(6.0).numpy().tobytes()


def test_torn_files(tmp_path: Path) -> None:
    """Cut short anywhere, or not safetensors at all, a file is torn and never half read."""
    path = tmp_path / "model.safetensors"
    save(path, a=[1.0, 2.0, 3.0])
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(TornFile):
            read_header(path)
    for text in (b"\x80\x04pickle" * 20, b"version https://git-lfs" * 9, whole + b"x"):
        path.write_bytes(text)
        with pytest.raises(TornFile):
            read_header(path)


def test_torn_model(tmp_path: Path) -> None:
    """A base model with a torn or missing file is a ModelFailure that names the file."""
    save(tmp_path / "model.safetensors", a=[1.0])
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    for read in (read_tensors, fingerprint_base):
        with pytest.raises(ModelFailure, match=r"model\.safetensors is not whole"):
            read(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    with pytest.raises(ModelFailure, match=r"gone\.safetensors"):
        read_tensors(tmp_path)


def test_fingerprint_ignores_how_tensors_are_spread(tmp_path: Path) -> None:
    """The same tensors in one file or two give one digest; another value, at either end or in the middle, gives another."""
    import torch

    big = torch.arange(100_000.0)
    one, two, other = tmp_path / "one", tmp_path / "two", tmp_path / "other"
    for folder in (one, two, other):
        folder.mkdir()
    save(one / "model.safetensors", a=big, b=[1.0])
    save(two / "model-00001-of-00002.safetensors", a=big)
    save(two / "model-00002-of-00002.safetensors", b=[1.0])
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (two / "model.safetensors.index.json").write_text(json.dumps(index))
    (two / "stray.safetensors").write_bytes(b"not in the index")
    assert fingerprint_base(one) == fingerprint_base(two)
    assert read_tensors(two).keys() == {"a", "b"}
    assert [path.name for path in list_weight_files(one)] == ["model.safetensors"]
    for place in (0, 50_000, 99_999):
        changed = big.clone()
        changed[place] = -1.0
        save(other / "model.safetensors", a=changed, b=[1.0])
        assert fingerprint_base(other) != fingerprint_base(one)
