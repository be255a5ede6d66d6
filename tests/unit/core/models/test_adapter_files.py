"""What is read of an adapter's folder, and of the base that it names by a folder of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peft_studio.core.errors import AdapterMismatch
from peft_studio.core.models import adapter_files
from peft_studio.core.models.adapter_files import check_adapter, read_adapter
from peft_studio.core.models.adapters import BaseShape
from peft_studio.core.models.weights import fingerprint_base

Q = "model.layers.0.self_attn.q_proj"


def write_weights(path: Path, shapes: dict[str, list[int]], byte: bytes = b"\0") -> Path:
    """A safetensors file of 32-bit floats, all of one byte."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4 * shape[0] * shape[1]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + byte * end)
    return path.parent


def write_adapter(folder: Path, base: object, marker: dict[str, str] | None = None) -> Path:
    """A rank-2 adapter of one layer that names its base."""
    keys = {f"base_model.model.{Q}.lora_A.weight": [2, 8], f"base_model.model.{Q}.lora_B.weight": [8, 2]}
    write_weights(folder / "adapter_model.safetensors", keys)
    config = {"peft_type": "LORA", "r": 2, "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    if marker:
        (folder / "peft_studio.json").write_text(json.dumps(marker))
    return folder


def write_base(folder: Path, byte: bytes) -> Path:
    return write_weights(folder / "model.safetensors", {f"{Q}.weight": [8, 8]}, byte)


def base_shape(folder: Path) -> BaseShape:
    return BaseShape(str(folder), {Q: (8, 8)}, fingerprint_base(folder))


def test_a_strangers_adapter_is_compared_with_the_folder_that_it_names(tmp_path: Path) -> None:
    """It has no record of ours, but the base that it names stands here: the same weights are let in, others are not."""
    trained, copy, other = (
        write_base(tmp_path / name, byte) for name, byte in zip("abc", [b"1", b"1", b"2"], strict=True)
    )
    adapter = write_adapter(tmp_path / "adapter", str(trained))

    check_adapter(adapter, base_shape(trained))
    check_adapter(adapter, base_shape(copy))
    with pytest.raises(AdapterMismatch, match="stands on this machine and has other weights") as caught:
        check_adapter(adapter, base_shape(other))
    assert caught.value.code == "other-base"
    assert check_adapter(adapter, base_shape(other), same_base=True).config["r"] == 2


def test_our_record_counts_more_than_the_folder(tmp_path: Path) -> None:
    """The folder may hold another model by now; what was written when it was trained does not change."""
    base, now = write_base(tmp_path / "base", b"1"), write_base(tmp_path / "now", b"2")
    marker = {"base_model": str(now), "base_sha256": fingerprint_base(base)}

    check_adapter(write_adapter(tmp_path / "adapter", str(now), marker), base_shape(base))


@pytest.mark.parametrize(
    "named", ["//server/share", "\\\\server\\share", "\\/server", "relative/folder", "", None, 7, "/\0"]
)
def test_names_that_are_not_looked_up(named: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's file makes us ask no server, look at no folder that depends on where we stand, and never fails us."""
    asked: list[Path] = []
    monkeypatch.setattr(adapter_files, "list_weight_files", lambda path: asked.append(path) or [])
    adapter = read_adapter(write_adapter(tmp_path / "adapter", named))

    assert adapter.named_digest is None
    assert asked in ([], [Path("/\0")])


def test_a_folder_without_a_whole_model_tells_nothing(tmp_path: Path) -> None:
    """No weights, or torn ones, are no ground for a verdict."""
    torn = write_base(tmp_path / "torn", b"1")
    (torn / "model.safetensors").write_bytes((torn / "model.safetensors").read_bytes()[:-9])

    for place in (tmp_path, torn, tmp_path / "gone"):
        assert read_adapter(write_adapter(tmp_path / "adapter", str(place))).named_digest is None
