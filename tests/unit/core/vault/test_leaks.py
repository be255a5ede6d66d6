"""An adversary's pass: everything that the vault says, writes or leaves behind, at every rung and in every failure, without a secret in it."""

from __future__ import annotations

import base64
import inspect
import logging
import pydoc
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.kdf import scrypt

from peft_studio.core import redact
from peft_studio.core import vault as package
from peft_studio.core.errors import VaultError
from peft_studio.core.redact import Redactor, judge_key, recognise_key
from peft_studio.core.vault import Secret, Vault, find_offered
from peft_studio.core.vault import file as file_module
from tests.unit.core.vault.conftest import CHEAP, MemoryKeystore

KEY, NEXT, PHRASE, WRONG = (
    "hf_KeyCanary0123456789abcdefghijklmn",
    "r8_NextCanary",
    "PhraseCanary one",
    "WrongCanary two",
)
SECRETS = [Secret(text) for text in (KEY, NEXT, PHRASE, WRONG)]


class Spilled(AssertionError):
    """Says which surface it was."""


def check(what: str, shown: str | bytes, *more: bytes) -> None:
    """No secret in it, in no alignment of base64 and no hexadecimal; nor other bytes that nobody may see."""
    data = shown.encode("utf-8", "surrogatepass") if isinstance(shown, str) else shown
    hidden = [
        b"Canary",
        b"Canary".hex().encode(),
        *(base64.b64encode(bytes(n) + b"Canary")[3:8] for n in range(3)),
        *more,
    ]
    if any(word in data for word in hidden):
        raise Spilled(what)


def told(error: BaseException) -> str:
    """All that a notebook's verbose traceback would print of it, its causes too, without the frames of this file."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    parts = []
    while shown:
        parts += [str(shown), *(f"{frame.name} {frame.locals}" for frame in shown.stack if frame.filename != __file__)]
        shown = shown.__cause__ or shown.__context__  # type: ignore[assignment]
    return "\n".join([*parts, repr(error), repr(error.__dict__)])


def failures(folder: Path, store: MemoryKeystore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], object]]:
    """Every way in which a call of the vault can fail, with secrets in its hands."""
    key, next_key, phrase, wrong = SECRETS

    def new() -> Vault:
        return Vault(folder, keystore=store, cost=CHEAP, redactor=Redactor())

    vault = new()
    yield lambda: vault.unlock(phrase)
    yield lambda: vault.move("passphrase", Secret("Canary"))
    yield lambda: vault.move("keystore", phrase)
    store.away = "it is locked"
    yield lambda: vault.move("keystore")
    store.away = ""
    vault.set("huggingface", key)
    vault.move("passphrase", phrase)
    yield lambda: new().get("huggingface")
    yield lambda: new().set("huggingface", next_key)
    yield lambda: new().unlock(wrong)
    path = folder / "vault.sealed"
    whole = path.read_bytes()
    for spoilt in (b"", whole[:-1], whole[:60] + b"\0" + whole[61:]):
        path.write_bytes(spoilt)
        yield lambda: vault.get("huggingface")
        yield lambda: vault.set("huggingface", next_key)
        yield lambda: new().unlock(phrase)
    path.write_bytes(whole)
    with monkeypatch.context() as patch:
        for broken in ("write_aside", "sync_folder"):
            patch.setattr(file_module, broken, _no_room)
            yield lambda: vault.set("huggingface", next_key)
            yield lambda: vault.move("passphrase", wrong)
    with monkeypatch.context() as patch:
        patch.setattr(scrypt, "Scrypt", NoMemory)
        yield lambda: new().unlock(phrase)
        yield lambda: vault.move("passphrase", wrong)


class NoMemory:
    """scrypt where the machine has no memory left."""

    def __init__(self, **parameters: object) -> None:
        self.derive = _no_memory


def _no_memory(passphrase: bytes) -> bytes:
    raise MemoryError


def _no_room(*arguments: object, **named: object) -> None:
    raise OSError(28, "No space left on device")


def test_no_failure_tells(tmp_path: Path, keystore: MemoryKeystore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, representation, attributes and the variables of every frame of ours, for each way to fail."""
    count = 0
    for attempt in failures(tmp_path / "vault", keystore, monkeypatch):
        with pytest.raises((VaultError, OSError)) as caught:
            attempt()
        check(f"failure {count}: {type(caught.value).__name__}", told(caught.value))
        assert not isinstance(caught.value, VaultError) or caught.value.hint
        count += 1

    assert count == 22


@pytest.mark.parametrize("call", ["get", "remove", "data_key", "unlock", "set"])
def test_a_key_in_the_wrong_place_is_not_repeated(call: str, tmp_path: Path, keystore: MemoryKeystore) -> None:
    """Given as a name, or as text where a handle belongs. (The caller's own variables have it, and a verbose traceback shows those.)"""
    vault = Vault(tmp_path, keystore=keystore, cost=CHEAP, redactor=Redactor())
    arguments = ("name", KEY) if call == "set" else (KEY,)
    with pytest.raises((VaultError, TypeError)) as caught:
        getattr(vault, call)(*arguments)

    check(call, str(caught.value) + repr(caught.value) + repr(caught.value.__dict__))


def test_no_log_has_it(
    tmp_path: Path, keystore: MemoryKeystore, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Everything that we and what we use log at the lowest level, and what reaches the terminal."""
    caplog.set_level(logging.DEBUG)
    vault = Vault(tmp_path / "vault", keystore=keystore, cost=CHEAP, redactor=Redactor())
    vault.set("huggingface", SECRETS[0])
    vault.move("passphrase", SECRETS[2])
    vault.lock()
    vault.unlock(SECRETS[2])
    vault.get("huggingface")

    check("log", caplog.text + "".join(repr(record.__dict__) for record in caplog.records))
    check("terminal", "".join(capfd.readouterr()))


def test_no_object_shows_it(tmp_path: Path, keystore: MemoryKeystore) -> None:
    """Representation, variables and members of everything that can be reached from an opened vault, four steps deep; nor the key of the file."""
    redactor = Redactor()
    vault = Vault(tmp_path / "vault", keystore=keystore, cost=CHEAP, redactor=redactor)
    vault.set("huggingface", SECRETS[0])
    vault.set("replicate", SECRETS[1], keep=False)
    vault.move("passphrase", SECRETS[2])
    redactor.text("builds what it looks for")
    vault.move("keystore")
    (raw,) = (value.reveal() for value in keystore.kept.values())
    seen: list[object] = []
    level: list[object] = [vault, vault._file.load()]
    for _ in range(4):
        seen += level
        level = [
            member
            for found in level
            for _, member in inspect.getmembers(found)
            if not isinstance(member, type | types.ModuleType | types.BuiltinFunctionType)
            and not hasattr(member, "__code__") and not inspect.isroutine(member)
            and not any(member is known for known in seen)
        ]  # fmt: skip
        for found in level:
            if not isinstance(found, dict) or "__builtins__" not in found:
                check(f"{type(found)}", repr(found), raw.encode(), repr(base64.b64decode(raw))[2:-1].encode())

    assert len(seen) > 20


def test_help_shows_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """``find_offered?`` in a notebook prints defaults: the environment must not be one."""
    monkeypatch.setenv("HF_TOKEN", KEY)
    for module in (
        package,
        redact,
        package.offered,
        package.vault,
        package.keystore,
        package.file,
        package.sealed,
        redact.shapes,
    ):  # type: ignore[attr-defined]
        check(module.__name__, pydoc.render_doc(module, renderer=pydoc.plaintext))
    check("signature", str(inspect.signature(find_offered)))
    check("offer", repr(find_offered()) + repr([vars(offer) for offer in find_offered()]))
    check("verdict", repr(judge_key("wandb", KEY)) + repr(recognise_key(KEY)))


def test_the_check_itself_would_notice() -> None:
    """Each form that it looks for is found."""
    for spill in (
        KEY,
        KEY.encode().hex(),
        *(base64.b64encode(b"x" * n + KEY.encode()).decode() for n in range(3)),
        repr(KEY.encode()),
    ):
        with pytest.raises(Spilled):
            check("a spill", f"before {spill} behind")
