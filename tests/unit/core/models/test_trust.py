"""Which base models may be opened: a table of file lists and configs."""

from __future__ import annotations

from typing import Any

import pytest

from peft_studio.core.models import ModelFailure, RemoteCode, check_trusted, parse_remote_code

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = COMMIT[::-1]
CODE = {"auto_map": {"AutoModelForCausalLM": "modeling.X"}}
ELSEWHERE = {"auto_map": {"AutoConfig": "other/repo--configuration.X"}}
HERE = RemoteCode("org/m", COMMIT)


@pytest.mark.parametrize(
    ("files", "config", "origin", "allowed"),
    [
        (["model.safetensors"], {}, None, None),
        (["model-00001-of-00002.safetensors", "pytorch_model.bin"], {}, None, None),
        (["model.safetensors"], CODE, HERE, HERE),
        (["model.safetensors"], CODE, RemoteCode("Org/M", COMMIT), HERE),
        (["model.safetensors"], {"auto_map": {}}, None, None),
    ],
)
def test_passes(
    files: list[str], config: dict[str, Any], origin: RemoteCode | None, allowed: RemoteCode | None
) -> None:
    """Safetensors pass, beside pickles too; code passes when it stands at exactly the commit that was named."""
    check_trusted(files, config, source="m", origin=origin, remote_code=allowed)


@pytest.mark.parametrize(
    ("files", "config", "origin", "allowed", "code", "words"),
    [
        (["pytorch_model.bin"], {}, None, None, "untrusted", "pickle"),
        (["MODEL.PT"], {}, None, None, "untrusted", "pickle"),
        (["consolidated.00.pth"], {}, None, None, "untrusted", "pickle"),
        (["config.json"], {}, None, None, "incomplete", "no .safetensors"),
        (["model.safetensors"], CODE, None, None, "untrusted", "Python code"),
        (["model.safetensors"], CODE, HERE, None, "untrusted", "Python code"),
        (["model.safetensors"], CODE, None, HERE, "untrusted", "no commit vouches"),
        (["model.safetensors"], CODE, RemoteCode("org/m", OTHER), HERE, "untrusted", "allows org/m@" + COMMIT),
        (["model.safetensors"], CODE, RemoteCode("evil/m", COMMIT), HERE, "untrusted", "evil/m"),
        (["model.safetensors"], ELSEWHERE, HERE, HERE, "untrusted", "other/repo"),
        (["model.safetensors"], {"auto_map": {"AutoTokenizer": ["x/y--t.A", None]}}, HERE, HERE, "untrusted", "x/y"),
    ],
)
def test_refuses(
    files: list[str],
    config: dict[str, Any],
    origin: RemoteCode | None,
    allowed: RemoteCode | None,
    code: str,
    words: str,
) -> None:
    """Pickles, unread code and code at another commit or in another repository are refused with reason and way out."""
    with pytest.raises(ModelFailure) as caught:
        check_trusted(files, config, source="m", origin=origin, remote_code=allowed)
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["org/m", "org/m@main", "m@" + COMMIT, "org/m@" + COMMIT[:7], "org/m@" + COMMIT.upper()]
)
def test_remote_code_needs_a_full_commit(text: str) -> None:
    """A branch or a short hash could come to mean other code, so only a full commit is taken."""
    with pytest.raises(ModelFailure):
        parse_remote_code(text)
    assert parse_remote_code(f"org/m@{COMMIT}") == HERE
