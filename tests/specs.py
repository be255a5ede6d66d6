"""Vendors' own API descriptions. They are not part of this repository: where they are absent the tests that need them are skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load_spec(name: str) -> dict[str, Any]:
    """An OpenAPI file of the folder ``shared/specs`` beside this repository."""
    import yaml

    for folder in (ROOT.parent, ROOT.parent.parent):
        path = folder / "shared" / "specs" / name
        if path.is_file():
            found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
            return found
    pytest.skip(f"the vendor's {name} is not beside this repository (shared/specs)")


def check_value(spec: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Raise where a value is not what a schema of the file says, or has fields that the schema does not name."""
    import jsonschema

    jsonschema.validate(value, {**schema, "components": spec["components"]})


def check_request(spec: dict[str, Any], method: str, path: str, body: Any) -> None:
    """Raise where the file has no such call, or the body is not as it says; fields it does not name are refused."""
    call = spec["paths"][path][method.lower()]
    if body is None:
        assert "requestBody" not in call or not call["requestBody"].get("required")
        return
    schema = call["requestBody"]["content"]["application/json"]["schema"]
    check_value(spec, schema, body)
    name = schema.get("$ref", "").rpartition("/")[2]
    named = spec["components"]["schemas"][name] if name else schema
    assert "unevaluatedProperties" in named or set(body) <= set(named["properties"])


def check_answer(spec: dict[str, Any], method: str, path: str, body: Any, *, status: int = 200) -> None:
    """Raise where a good answer is not as the file says: an emulator must not be kinder than the vendor."""
    content = spec["paths"][path][method.lower()]["responses"][str(status)]["content"]
    check_value(spec, content["application/json"]["schema"], body)
