"""Fetches models and data sets from a Hugging Face hub with huggingface_hub's own client and cache.

The studio brings what it can before a run starts, with the vault's token; this is for the rest: models with code of their own, connectors that are
switched off. The token is the one held here (a rented machine's), else ``HF_TOKEN`` in the environment, and from nowhere else; it is never printed. ``HF_ENDPOINT`` and the
cache's place are the client's own settings. Every failure becomes a :class:`ModelFailure` that says what to do.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from peft_studio.core.models import ModelFailure, RemoteCode, check_trusted, read_config
from peft_studio.core.models.trust import PinnedCode

Say = Callable[[str], None]
# The README is small and names the licence.
_MODEL_FILES = [
    "*.safetensors",
    "*.json",
    "*.jinja",
    "*.model",
    "*.spm",
    "*.tiktoken",
    "merges.txt",
    "vocab.txt",
    "README.md",
]
_DATA_FILES = ["*.parquet", "*.json", "*.jsonl", "*.csv", "README.md"]


def fetch_model(repo: str, *, revision: str | None, remote_code: PinnedCode | None, say: Say) -> Path:
    """Download a model's safetensors, configs and tokenizer into the hub cache and return the folder.

    Trust is checked on the file list and config.json, before any weights travel. With ``remote_code`` the named commit
    is fetched, whatever ``revision`` says, and its Python files come too.
    """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    token = _token()
    with _hub_errors(repo, "model", coded=remote_code is not None):
        say(f"Asking the hub for {repo}")
        info = HfApi(token=token).model_info(repo, revision=remote_code.commit if remote_code else revision)
        origin = RemoteCode(info.id or repo, str(info.sha))
        names = [file.rfilename for file in info.siblings or ()]
        if "config.json" not in names:
            raise ModelFailure(
                f"{repo} has no config.json, so it is no base model that transformers can load.",
                code="incomplete",
                hint="An adapter repository names its base model in adapter_config.json: use that one.",
            )
        config = read_config(Path(hf_hub_download(repo, "config.json", revision=origin.commit, token=token)).parent)
        # Weights in subfolders belong to other formats (onnx/, original/): this loader reads the top folder only.
        top = [name for name in names if "/" not in name]
        check_trusted(top, config, source=repo, origin=origin, remote_code=remote_code)
        wanted = [*_MODEL_FILES, *(["*.py"] if config.get("auto_map") else [])]
        say(f"Downloading {repo} at {origin.commit[:7]}")
        elsewhere = ["*/*.safetensors", "*/*.json"]
        folder = snapshot_download(
            repo, revision=origin.commit, token=token, allow_patterns=wanted, ignore_patterns=elsewhere
        )
    return Path(folder)


def fetch_dataset_folder(repo: str, *, revision: str | None, say: Say) -> Path:
    """Download a data set's parquet, JSON, JSONL and CSV files into the hub cache and return the folder."""
    from huggingface_hub import HfApi, snapshot_download

    token = _token()
    with _hub_errors(repo, "data set"):
        say(f"Asking the hub for the data set {repo}")
        info = HfApi(token=token).dataset_info(repo, revision=revision)
        names = [file.rfilename for file in info.siblings or ()]
        if not any(name.endswith((".parquet", ".json", ".jsonl", ".csv")) for name in names):
            raise ModelFailure(
                f"The data set {repo} has no parquet, JSON, JSONL or CSV file ({len(names)} files of other kinds).",
                code="unsupported",
                hint="One that is built by a script would run its code here; export its rows to one of these formats.",
            )
        say(f"Downloading {repo} at {str(info.sha)[:7]}")
        folder = snapshot_download(
            repo, repo_type="dataset", revision=info.sha, token=token, allow_patterns=_DATA_FILES
        )
    return Path(folder)


_held: list[str] = []  # in this process alone


def hold_token(token: str) -> None:
    """Ask with this token from now on."""
    _held[:] = [token]


def _token() -> str | bool:
    """The token held, or that of the environment, or False: never one that another program left in a file."""
    return (_held[0] if _held else os.environ.get("HF_TOKEN")) or False


@contextlib.contextmanager
def _hub_errors(repo: str, kind: str, *, coded: bool = False) -> Iterator[None]:
    """Translate the client's errors once. Messages are ours: the client's may quote headers and addresses."""
    from huggingface_hub import errors

    # Its HTTP client's own error class: httpx.HTTPError in huggingface_hub 1.x, httpx2.HTTPError from 2.0 on.
    transport_error: type[Exception] = errors.HfHubHTTPError.__bases__[0]

    try:
        yield
    except errors.GatedRepoError as exc:
        raise _gated(repo, kind, coded=coded) from exc
    except errors.RevisionNotFoundError as exc:
        raise ModelFailure(
            f"The {kind} {repo} has no such revision.",
            code="not-found",
            hint="Use a branch, tag or commit that its page lists.",
        ) from exc
    except errors.RepositoryNotFoundError as exc:
        raise _missing(repo, kind) from exc
    except errors.HfHubHTTPError as exc:
        status = exc.response.status_code
        if status in (401, 403):
            raise _gated(repo, kind, coded=coded) from exc
        raise ModelFailure(
            f"The hub answered {status} when asked for the {kind} {repo}.",
            code="hub-error",
            hint="Try again in a few minutes.",
        ) from exc
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, transport_error) as exc:
        raise _offline(repo, kind) from exc
    except errors.HFValidationError as exc:
        raise ModelFailure(f"{repo!r} is no hub id.", code="not-found", hint="A hub id looks like org/name.") from exc
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise ModelFailure(
                f"The disk is full; the {kind} {repo} was not downloaded.",
                code="disk-full",
                hint="Free some space, or set HF_HOME to a folder on another disk.",
            ) from exc
        raise _offline(repo, kind) from exc


def _gated(repo: str, kind: str, *, coded: bool) -> ModelFailure:
    have = "The token in HF_TOKEN has no access" if os.environ.get("HF_TOKEN") else "No token is set"
    if _held:
        have = "The token that was given has no access"
    way = 'connect it, studio.connect("huggingface"), or set HF_TOKEN.'
    if coded:
        way = "set HF_TOKEN: what runs code of its own is brought by the run, which has no key of the vault."
    return ModelFailure(
        f"The {kind} {repo} is gated: its owner wants to be asked first. {have}.",
        code="gated",
        hint=f"Accept the licence on the {kind}'s page ({repo}) with your account, then {way}",
    )


def _missing(repo: str, kind: str) -> ModelFailure:
    # The hub answers 401 for what does not exist and for what is private, so as not to tell which.
    return ModelFailure(
        f"The hub has no {kind} {repo}, or it is private and the token (or its absence) does not open it.",
        code="not-found",
        hint="Check the spelling (org/name). If it is private, set HF_TOKEN to a token that can read it.",
    )


def _offline(repo: str, kind: str) -> ModelFailure:
    return ModelFailure(
        f"The hub cannot be reached, and the {kind} {repo} is not complete on this machine.",
        code="offline",
        hint="Check the network (and HF_HUB_OFFLINE); without one, use smollm2-135m or a local folder.",
    )
