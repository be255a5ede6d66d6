from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import TemplateError

from peft_studio.core.data.example import Message
from peft_studio.core.data.template import CHATML, ChatTemplate
from peft_studio.core.errors import DataError, ModelError

CHAT = (Message("user", "q"), Message("assistant", "a"))


def render(source: str, *messages: Message, **options: object) -> str:
    return ChatTemplate(source, "test", {"eos_token": "</s>"}).render(messages or CHAT, tools=None, **options)  # type: ignore[arg-type]


def test_behaves_as_transformers_does() -> None:
    """Blocks are trimmed, loops can break, JSON is not escaped for HTML, special tokens are names."""
    assert (
        render(
            "{% for m in messages %}\n  {% if loop.index > 1 %}{% break %}{% endif %}\n{{ m.content }}\n{% endfor %}"
        )
        == "q\n"
    )
    assert render("{{ messages[0] | tojson }}{{ eos_token }}") == '{"role": "user", "content": "q"}</s>'
    assert render("{{ '<é>' | tojson }}{{ {'b': 1, 'a': 2} | tojson(indent=1) }}") == '"<é>"{\n "b": 1,\n "a": 2\n}'
    assert render("{{ strftime_now('%Y') }}").isdigit()
    assert render("{% generation %}x{% endgeneration %}", marked=True) == "\ufdd0x\ufdd1"
    assert render("{% generation %}x{% endgeneration %}") == "x"
    assert render("{{ messages[0].reasoning_content }}", Message("user", "q", {"thinking": "hm"})) == "hm"


@pytest.mark.parametrize(
    "attack",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ messages.append(1) }}",
        "{{ strftime_now.__globals__.json }}",
        "{{ range(999999999) | list }}",
    ],
)
def test_a_hostile_template_gets_nowhere(attack: str) -> None:
    """The sandbox refuses Python's insides, changes to what it was given, and huge ranges."""
    with pytest.raises(DataError, match="refuses this conversation"):
        render(attack)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[7].content + 'x' }}", "has no element 7"),
        ("{{ 'x' + 1 }}", "can only concatenate"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_a_refusal_is_an_error_of_the_row(source: str, why: str) -> None:
    """Whatever a template raises becomes one kind of error, with its words."""
    with pytest.raises(DataError, match=why):
        render(source)


def test_a_template_that_is_no_jinja_is_an_error_of_the_model() -> None:
    """The line is named, and where to put a better one."""
    with pytest.raises(ModelError, match=r"not valid Jinja \(line 2\)") as caught:
        render("\n{% for %}")
    assert "chat_template.jinja" in caught.value.hint


def test_a_row_with_tools_takes_the_template_for_tools() -> None:
    """Models that have two templates use the second when a row has tools."""
    template = ChatTemplate("plain", "test", {}, tool_source="{{ tools[0].name }}")
    assert template.render(CHAT, tools=None) == "plain"
    assert template.render(CHAT, tools=[{"name": "f"}]) == "f"


def test_chatml_ends_turns_with_the_models_own_eos() -> None:
    """The default for models without a template marks the answer, EOS included, and opens a turn for generation."""
    assert render(CHATML, marked=True) == "<|im_start|>user\nq</s>\n<|im_start|>assistant\n\ufdd0a</s>\ufdd1\n"
    assert render(CHATML, Message("user", "q"), prompt=True) == "<|im_start|>user\nq</s>\n<|im_start|>assistant\n"


def trl_templates() -> list[Path]:
    trl = pytest.importorskip("trl")
    return sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))


@pytest.mark.slow
def test_every_template_that_trl_ships_renders_as_in_transformers() -> None:
    """Some sixty real templates, four conversations each: the same text, the same refusals, the same marked answers."""
    rendering = pytest.importorskip("transformers.utils.chat_template_utils")
    specials = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    thought = "<think>\nhm\n</think>\n\na1"
    compared = 0
    for path in trl_templates():
        template = ChatTemplate(path.read_text(encoding="utf-8"), path.name, specials)
        for said in (("q\n", " a \n"), ("q1", "a1", "q2", "a2"), ("x", "x", "x", "x"), ("q", thought, "q2", "a2")):
            messages = [Message("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(said)]
            turns = [message.to_dict() for message in messages]
            try:
                wanted, marks = rendering.render_jinja_template(
                    [turns],
                    chat_template=template.source,
                    return_assistant_tokens_mask=template.marks_answers,
                    **specials,
                )
            except (TemplateError, TypeError, ValueError):  # a refusal there must be one here
                with pytest.raises(DataError):
                    template.render(messages, tools=None)
                continue
            assert template.render(messages, tools=None) == wanted[0], path.name
            if template.marks_answers:
                marked = template.render(messages, tools=None, marked=True)
                assert marked == with_marks(wanted[0], marks[0]), path.name
            compared += 1
    assert compared > 200


def with_marks(text: str, spans: list[tuple[int, int]]) -> str:
    for start, end in reversed(spans):
        text = f"{text[:start]}\ufdd0{text[start:end]}\ufdd1{text[end:]}"
    return text
