"""Whose adapter it is: a table over what it says of its base and what the base is."""

from __future__ import annotations

import pytest

from peft_studio.core.models.adapter_base import Trained, judge_base

A, B, OLD = "sampled-v1:aa", "sampled-v1:bb", "0" * 64
SMOL, SMOL_HUB = "smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct"
CACHED = "/c/models--org--base/snapshots/" + "a" * 40


@pytest.mark.parametrize(
    ("named", "digest", "name", "base_digest", "kind"),
    [
        # digests tell, whatever the names say
        ("org/base", A, "org/base", A, "same"),
        ("my/copy", A, "org/base", A, "same"),
        ("/old/place", A, "/new/place", A, "same"),
        ("", A, "org/base", A, "same"),
        ("org/base", B, "org/base", A, "other"),
        ("org/base", B, "ORG/Base", A, "other"),
        ("org/other", B, "org/base", A, "other"),
        ("/old/place", B, "/new/place", A, "other"),  # the fault that this table began with
        ("/same/place", B, "/same/place", A, "other"),
        ("", B, "org/base", A, "other"),
        (SMOL, B, SMOL, A, "other"),
        (SMOL_HUB, B, SMOL, A, "unknown"),  # the embedded one was made from it: the same model in other numbers
        (SMOL, B, SMOL_HUB, A, "unknown"),
        # no digests, or of two kinds: names
        ("org/base", None, "org/base", A, "same"),
        ("org/base", OLD, "org/base", A, "same"),
        ("org/base", A, "org/base", None, "same"),
        ("ORG/Base ", None, "org/base", A, "same"),
        (CACHED, None, "org/base", A, "same"),
        ("org/base", None, CACHED, A, "same"),
        ("/same/place/", None, "/same/place", A, "same"),
        (SMOL_HUB, None, SMOL, A, "same"),
        ("org/other", None, "org/base", A, "other"),
        ("gpt2", None, SMOL, A, "other"),
        # names that may mean anything: a mirror, a folder somewhere, a folder here, nothing
        ("mirror/base", None, "org/base", A, "unknown"),
        ("base", None, "org/base", A, "unknown"),
        ("/their/folder", None, "org/base", A, "unknown"),
        ("org/base", None, "/my/folder", A, "unknown"),
        ("/their/folder", None, "/my/folder", A, "unknown"),
        ("C:\\their\\folder", None, "/my/folder", A, "unknown"),
        ("", None, "org/base", A, "unknown"),
    ],
)
def test_verdict(named: str, digest: str | None, name: str, base_digest: str | None, kind: str) -> None:
    """What is known to be wrong is refused, with a way out for who knows better; what cannot be known is said."""
    verdict = judge_base(Trained(named, digest), name=name, digest=base_digest)

    assert verdict.kind == kind
    assert bool(verdict.message) == (kind != "same")
    assert ("same_base=True" in verdict.hint) == (kind == "other")
    assert "with ;" not in verdict.hint


def test_the_reason_says_where_the_digest_is_from() -> None:
    """A folder on this machine can have changed since; the reader is told that it was looked at, and not a record."""
    record = judge_base(Trained("/a", B), name="/b", digest=A).message
    folder = judge_base(Trained("/a", B, by_folder=True), name="/b", digest=A).message

    assert "stands on this machine" in folder
    assert "stands on this machine" not in record
