"""House rules that a linter does not know."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "peft_studio"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "node_modules" not in path.parts)

LONGEST_MODULE = 250
LONGEST_FUNCTION = 45
CORE_MAY_USE = {
    "cryptography", "jinja2", "keyring", "numpy", "pandas", "platformdirs", "plotly", "psutil", "pyarrow", "pydantic",
    "pydantic_core", "tokenizers",
}  # fmt: skip
# A broad except stands at boundaries only, where what a stranger's code or the whole outside may throw ends: the three of the
# architecture (that of the catalog in both processes), and three that call other people's code: the outbox's delivery, the keystore, and rented machines' providers.
BOUNDARIES = {
    "connectors/catalog/hosted.py", "connectors/catalog/lane.py", "core/offline/delivery.py", "core/services/rent/calls.py", "core/vault/keystore.py", "runner/trainer/main.py", "widgets/_feed.py",
}  # fmt: skip
BASE_MAY_HAVE = 12  # direct dependencies


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring: an interface may be explained at length."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    return lines - len((ast.get_docstring(function) or "").splitlines())


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_small_and_says_what_it_is(path: Path) -> None:
    """Modules and functions stay small, modules open with a docstring, nothing is left to be written."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    too_long = [f.name for f in functions if code_lines(f) > LONGEST_FUNCTION]

    assert text.count("\n") <= LONGEST_MODULE
    assert too_long == []
    assert ast.get_docstring(tree)
    assert "NotImplementedError" not in text
    assert "TODO" not in text


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p) not in BOUNDARIES], ids=name_of)
def test_no_broad_except(path: Path) -> None:
    """Errors are caught by name."""
    caught = [
        ast.unparse(node.type) if node.type else "everything"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
    ]

    assert not {"everything", "Exception", "BaseException"} & set(caught)


def test_core_uses_only_what_is_allowed() -> None:
    """Core's third-party imports are an allow-list: a deny-list forgets."""
    used = set()
    for path in (PACKAGE / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                used.add((node.module or "").split(".")[0])

    assert used - set(sys.stdlib_module_names) - {"peft_studio"} <= CORE_MAY_USE


def test_one_module_knows_the_jupyter_server() -> None:
    """It runs in the server's process; everything else does without it, and without that module."""
    text = {name_of(path): path.read_text(encoding="utf-8") for path in MODULES}

    assert [
        name for name, code in text.items() if "import jupyter_server" in code or "from jupyter_server" in code
    ] == ["widgets/_server.py"]
    assert not [name for name, code in text.items() if "widgets._server import" in code or "import _server" in code]


def test_only_the_vault_knows_keystore_and_cipher() -> None:
    """And it loads them inside a call: importing the vault is free."""
    importers = {"keyring": set[str](), "cryptography": set[str]()}
    at_once = []
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            named = (
                [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
            )
            for top in (
                {name.split(".")[0] for name in named} & set(importers)
                if isinstance(node, ast.Import | ast.ImportFrom)
                else ()
            ):
                importers[top].add(name_of(path))
                at_once += [name_of(path)] if node in tree.body else []

    assert importers == {
        "keyring": {"core/vault/keystore.py"},
        "cryptography": {"core/offline/sealed.py", "core/vault/certificate.py", "core/vault/sealed.py"},
    }
    assert at_once == []


def test_import_is_light() -> None:
    """Importing the package and making the studio loads no torch, no pandas, no transformers."""
    code = "import sys, peft_studio; peft_studio.studio; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"torch", "pandas", "transformers", "numpy", "plotly", "anywidget", "keyring", "cryptography"} & set(
        loaded
    )


def test_public_names_are_sorted_and_resolve() -> None:
    """``__all__`` is complete and every name in it can be had."""
    import peft_studio

    assert peft_studio.__all__ == sorted(peft_studio.__all__)
    assert all(getattr(peft_studio, name) is not None for name in peft_studio.__all__)


def test_every_module_imports_without_torch() -> None:
    """Every module outside the trainer imports on a machine that has no torch."""
    names = [
        "peft_studio." + name_of(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for path in MODULES
        if "runner/trainer" not in name_of(path) and path.name not in {"__main__.py", "__init__.py"}
    ]
    block = "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
    code = block + "\n".join(f"import {name}" for name in names)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_base_install_is_small() -> None:
    """The base install has at most a dozen direct dependencies, and none of them is torch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert len(project["dependencies"]) <= BASE_MAY_HAVE
    assert not [line for line in project["dependencies"] if line.startswith("torch")]
