from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, processors

from peft_studio.core.data import CHATML, Example, Message, load_encoder, write_chatml
from peft_studio.core.errors import ModelError

MakeModel = Callable[..., Path]


def put(folder: Path, name: str, value: object) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def test_eos_and_stops_come_from_three_files(make_model: MakeModel) -> None:
    """EOS is the tokenizer's; whatever generation_config or config also stop at ends a turn too."""
    folder = make_model()
    put(folder, "generation_config.json", {"eos_token_id": [258, 257]})
    put(folder, "config.json", {"eos_token_id": 258, "max_position_embeddings": 2048})
    encoder = load_encoder(folder)
    assert (encoder.eos_id, encoder.stop_ids) == (257, frozenset({257, 258}))
    assert encoder.stops == ("<|im_end|>", "<|endoftext|>")
    assert encoder.context_tokens == 2048


def test_eos_is_found_without_the_tokenizers_word(make_model: MakeModel) -> None:
    """Where tokenizer_config names none, config's will do; where nothing does, there is none."""
    folder = make_model(eos_token=None)
    assert load_encoder(folder).eos_id is None
    put(folder, "config.json", {"eos_token_id": 258})
    assert load_encoder(folder).eos_id == 258


def test_context_is_the_least_that_is_known(make_model: MakeModel) -> None:
    """transformers' 1e30 means unknown; a text model inside a larger one counts."""
    assert load_encoder(make_model("a", model_max_length=10**30)).context_tokens is None
    folder = make_model("b", model_max_length=4096)
    put(folder, "config.json", {"text_config": {"max_position_embeddings": 512}})
    assert load_encoder(folder).context_tokens == 512


def test_where_templates_are_looked_for(make_model: MakeModel) -> None:
    """The .jinja file before the .json file before the configuration, as in transformers; a list holds one for tools."""
    listed = [{"name": "default", "template": "one"}, {"name": "tool_use", "template": "two"}]
    folder = make_model(template=None, chat_template=listed)
    template = load_encoder(folder).template
    assert template is not None
    assert (template.source, template.tool_source, template.found_in) == ("one", "two", "tokenizer_config.json")
    put(folder, "chat_template.json", {"chat_template": "three"})
    assert load_encoder(folder).template.source == "three"  # type: ignore[union-attr]
    put(folder, "chat_template.jinja", "four")
    put(folder, "additional_chat_templates/tool_use.jinja", "five")
    template = load_encoder(folder).template
    assert template is not None
    assert (template.source, template.tool_source, template.found_in) == ("four", "five", "chat_template.jinja")
    assert load_encoder(make_model("none", template=None)).template is None


def test_special_tokens_reach_the_template(make_model: MakeModel) -> None:
    """bos_token and the like may be text or an object with content, and the old map file counts too."""
    folder = make_model(template="{{ bos_token }}{{ eos_token }}{{ sep_token }}", bos_token={"content": "<|im_start|>"})
    put(folder, "special_tokens_map.json", {"sep_token": {"content": "<sep>"}, "eos_token": "old"})
    template = load_encoder(folder).template
    assert template is not None
    assert template.render((Message("user", "q"),), tools=None) == "<|im_start|><|im_end|><sep>"


def test_tokens_that_only_the_configuration_knows_are_added(make_model: MakeModel) -> None:
    """Older tokenizers declare added tokens in tokenizer_config.json alone."""
    declared = {
        "259": {
            "content": "<tool>",
            "special": True,
            "normalized": False,
            "lstrip": False,
            "rstrip": False,
            "single_word": False,
        }
    }
    encoder = load_encoder(make_model(added_tokens_decoder=declared))
    assert encoder.tokenizer.encode("<tool>").ids == [259]


@pytest.mark.parametrize("wrapped", [False, True])
def test_white_space_tokens_keep_their_place(make_model: MakeModel, wrapped: bool) -> None:
    """A tokenizer that trims offsets would give a token of spaces no characters, and a mask by characters would lose it."""
    folder = make_model()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    trimming = processors.ByteLevel(trim_offsets=True)
    tokenizer.post_processor = processors.Sequence([trimming]) if wrapped else trimming
    tokenizer.save(str(folder / "tokenizer.json"))
    encoder = load_encoder(folder)
    example = Example(0, "chat", messages=(Message("user", "q"), Message("assistant", "  a  ")))
    encoded = encoder.encode(example, max_length=None)
    kept = [token for token, learnt in zip(encoded.tokens, encoded.trainable, strict=True) if learnt]
    assert encoder.tokenizer.decode(kept, skip_special_tokens=False) == "  a  <|im_end|>"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda folder: (folder / "tokenizer.json").write_text('{"model": '), "is not valid JSON"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("{"), "is not valid JSON"),
    ],
)
def test_a_folder_that_cannot_serve_says_why(make_model: MakeModel, spoil: Callable[[Path], object], why: str) -> None:
    """The file at fault is named, with what to do."""
    folder = make_model()
    spoil(folder)
    with pytest.raises(ModelError, match=why) as caught:
        load_encoder(folder)
    assert caught.value.hint


def test_chatml_is_given_only_to_those_without(make_model: MakeModel) -> None:
    """A model without a template gets ChatML and encodes conversations then; one that has its own keeps it."""
    bare = make_model("bare", template=None)
    write_chatml(bare)
    encoder = load_encoder(bare)
    assert encoder.template is not None
    assert encoder.template.source == CHATML
    with pytest.raises(ModelError, match="has a chat template already"):
        write_chatml(bare)
