"""The platforms' own OpenAPI files, where they lie beside this repository: what is sent is held against them, and what an emulator answers.

They are not ours to publish. Without them the tests that need them are skipped, and say so.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from jsonschema import Draft202012Validator

from tests.emulators.loopback import Request

PLACES = [parent / "shared" / "specs" for parent in Path(__file__).resolve().parents]


@functools.cache
def load_spec(name: str) -> dict[str, Any]:
    """A file of that folder; skips the test where there is none."""
    place = next((folder / name for folder in PLACES if (folder / name).is_file()), None)
    if place is None:
        pytest.skip(f"the vendor's specification {name} does not lie beside this repository")
    text = place.read_text(encoding="utf-8")
    if name.endswith(".json"):
        return dict(json.loads(text))
    import yaml

    return dict(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def find_faults(name: str, request: Request, *, except_for: Mapping[str, str] | None = None) -> list[str]:
    """What the specification does not allow of a request. ``except_for``: known errors of the specification, by the words of the fault."""
    operation = _operation(load_spec(name), request.method, urlsplit(request.target).path.rstrip("/"))
    if operation is None:
        return [f"{request.method} {request.path} is not in {name}"]
    faults = [*_body_faults(load_spec(name), operation, request), *_query_faults(load_spec(name), operation, request)]
    return [fault for fault in faults if not any(re.search(known, fault) for known in except_for or {})]


def find_answer_faults(name: str, method: str, path: str, *, status: int, body: Any) -> list[str]:
    """What the specification does not allow of an answer: an emulator is to be no kinder than the platform."""
    operation = _operation(load_spec(name), method, path)
    assert operation is not None, f"{method} {path} is not in {name}"
    answer = _resolved(load_spec(name), operation["responses"].get(str(status)))
    if answer is None:
        return [f"{status} is no answer to {method} {path}"]
    schema = answer["content"]["application/json"]["schema"]
    return list(_faults(load_spec(name), schema, body))


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
    whole = {**schema, "components": spec.get("components", {})}
    for error in Draft202012Validator(whole).iter_errors(value):
        where = ".".join(map(str, error.absolute_path)) or "body"
        yield f"{where}: {error.validator} {str(error.validator_value)[:80]}: {error.message[:120]}"


def _resolved(spec: dict[str, Any], found: Any) -> Any:
    while isinstance(found, dict) and "$ref" in found:
        place = found["$ref"].removeprefix("#/").split("/")
        found = functools.reduce(lambda at, part: at[part], place, spec)
    return found
