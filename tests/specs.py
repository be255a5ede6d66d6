"""Vendors' own API descriptions. They are not part of this repository: where they are absent the tests that need them are skipped."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.emulators.loopback import Request

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def load_spec(name: str) -> dict[str, Any]:
    """An OpenAPI file of the folder ``shared/specs`` beside this repository."""
    import yaml

    for folder in (ROOT.parent, ROOT.parent.parent):
        path = folder / "shared" / "specs" / name
        if path.is_file():
            found: dict[str, Any] = yaml.load(
                path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            )
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


def find_faults(spec: dict[str, Any], request: Request, *, except_for: Mapping[str, str] | None = None) -> list[str]:
    """What the specification does not allow of a request. ``except_for``: known errors of the specification, by the words of the fault."""
    operation = _operation(spec, request.method, urlsplit(request.target).path.rstrip("/"))
    if operation is None:
        return [f"{request.method} {request.path} is not in the file"]
    faults = [*_body_faults(spec, operation, request), *_query_faults(spec, operation, request)]
    return [fault for fault in faults if not any(re.search(known, fault) for known in except_for or {})]


def find_answer_faults(spec: dict[str, Any], method: str, path: str, *, status: int, body: Any) -> list[str]:
    """What the specification does not allow of an answer: an emulator is to be no kinder than the platform."""
    operation = _operation(spec, method, path)
    assert operation is not None, f"{method} {path} is not in the file"
    answer = _resolved(spec, operation["responses"].get(str(status)))
    if answer is None:
        return [f"{status} is no answer to {method} {path}"]
    schema = answer["content"]["application/json"]["schema"]
    return list(_faults(spec, schema, body))


def _operation(spec: dict[str, Any], method: str, path: str) -> dict[str, Any] | None:
    for template, methods in spec["paths"].items():
        pattern = "".join(
            "[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]+\})", template)
        )
        if re.fullmatch(pattern, path) and method.lower() in methods:
            return dict(methods[method.lower()])
    return None


def _body_faults(spec: dict[str, Any], operation: dict[str, Any], request: Request) -> Iterator[str]:
    wanted = _resolved(spec, operation.get("requestBody"))
    if wanted is None:
        if request.body:
            yield "it has a body where none belongs"
        return
    schema = wanted["content"]["application/json"]["schema"]
    yield from _faults(spec, schema, request.json())
    known = _resolved(spec, schema).get("properties", {})
    yield from (f"{field}: no such field" for field in request.json() or () if known and field not in known)


def _query_faults(spec: dict[str, Any], operation: dict[str, Any], request: Request) -> Iterator[str]:
    known = {one["name"]: one for one in (_resolved(spec, each) for each in operation.get("parameters", ())) if one["in"] == "query"}  # fmt: skip
    given = dict(parse_qsl(urlsplit(request.target).query))
    yield from (f"{name}: no such parameter" for name in given if name not in known)
    yield from (f"{name}: missing" for name, one in known.items() if one.get("required") and name not in given)


def _faults(spec: dict[str, Any], schema: dict[str, Any], value: Any) -> Iterator[str]:
    from jsonschema import Draft202012Validator

    whole = {**schema, "components": spec.get("components", {})}
    for error in Draft202012Validator(whole).iter_errors(value):
        where = ".".join(map(str, error.absolute_path)) or "body"
        yield f"{where}: {error.validator} {str(error.validator_value)[:80]}: {error.message[:120]}"


def _resolved(spec: dict[str, Any], found: Any) -> Any:
    while isinstance(found, dict) and "$ref" in found:
        place = found["$ref"].removeprefix("#/").split("/")
        found = functools.reduce(lambda at, part: at[part], place, spec)
    return found
