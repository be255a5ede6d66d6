"""What passes between two processes: frames that are whole or refused, errors that stay what they were."""

from __future__ import annotations

import io

import pytest
from pydantic import ValidationError

from peft_studio.connectors.base.clauses import CALLED_WITH
from peft_studio.connectors.catalog import crossing
from peft_studio.connectors.catalog.crossing import (
    GIVES,
    name_arguments,
    pack_error,
    read_frame,
    unpack_error,
    write_frame,
)
from peft_studio.core import errors
from peft_studio.core.errors import ConnectorError, RateLimited, SpecError, StudioError


def test_every_verb_has_a_form() -> None:
    """A verb that comes to a role is not forgotten here."""
    assert CALLED_WITH.keys() | {"info", "facts", "way"} == GIVES.keys()


def test_frames_come_one_by_one_until_there_are_no_more() -> None:
    """One that is cut short is none."""
    file = io.BytesIO()
    for number in range(2):
        write_frame(file, {"id": number, "text": "ü\n"})
    whole = file.getvalue()

    assert [read_frame(again) for again in [io.BytesIO(whole)] for _ in range(3)] == [
        {"id": 0, "text": "ü\n"},
        {"id": 1, "text": "ü\n"},
        None,
    ]
    assert read_frame(io.BytesIO(whole[:9])) is None


@pytest.mark.parametrize(
    "frame", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x02{x", b"\x00\x00\x00\x01\xff"]
)
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    """Too long, no fields, no JSON, no text; none is waited for or half read."""
    with pytest.raises(ValueError, match=r"."):
        read_frame(io.BytesIO(frame))


def test_one_that_is_too_long_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor any part of it."""
    monkeypatch.setattr(crossing, "LARGEST_BYTES", 100)
    file = io.BytesIO()
    with pytest.raises(ValueError, match="100 are the most"):
        write_frame(file, {"text": "x" * 100})
    assert file.getvalue() == b""


@pytest.mark.parametrize(
    "kind", [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, StudioError)]
)
def test_each_error_comes_back_as_it_was(kind: type[StudioError]) -> None:
    """With its words, and what a platform's has besides."""
    given = kind("It failed.", hint="Do this.")
    if isinstance(given, ConnectorError):
        given.platform, given.status, given.retry_after_s, given.may_have_happened = "shelf", 429, 1.5, True
    given.fields = ("a.b",)
    found = unpack_error(pack_error(given))

    assert type(found) is kind
    kept = ("message", "hint", "fields", "platform", "status", "retry_after_s", "may_have_happened")
    assert [getattr(found, name, None) for name in kept] == [getattr(given, name, None) for name in kept]


def test_an_error_of_a_strangers_own_is_the_nearest_of_ours() -> None:
    """One that was never made is none, and a kind that nobody knows is the root."""

    class Mine(RateLimited):
        pass

    class Unmade(SpecError):
        def __init__(self) -> None:
            """Leaves out what its base does."""

    assert type(unpack_error(pack_error(Mine("Slow.")))) is RateLimited
    with pytest.raises(AttributeError):
        pack_error(Unmade())
    assert type(unpack_error({"kind": "os.system", "message": "x"})) is StudioError
    with pytest.raises(ValidationError):
        unpack_error({"kind": "NotFound", "message": 3})


def test_arguments_go_by_name() -> None:
    """As the verb has them; others are the caller's mistake."""
    assert name_arguments("stream_logs", ("i-1",), {"after": None}) == {"instance_id": "i-1", "after": None}
    for given, named in (((1, 2, 3), {}), ((1,), {"instance_id": 2}), ((), {"other": 1})):
        with pytest.raises(TypeError, match=r"stream_logs takes \(instance_id, after\)"):
            name_arguments("stream_logs", given, named)
