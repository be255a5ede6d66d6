"""What was told to the redactor, or is marked as a key, is in none of the text that it gives back."""

from __future__ import annotations

import base64
import binascii
import html
import inspect
import json
import pickle
import random
import re
import shlex
import string
import sys
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from IPython.core.ultratb import VerboseTB

from peft_studio.core.redact import Redactor, Secret

VALUES = {
    "plain": "Zk3vQ9xTn7LwPe2RbYc8",
    "every sign": "p@ss wörd/+=&?#%\"'\\<>$`{}|^~;:,!*()",
    "not ascii": "schlüssel-密钥-ключ",
    "lines": "first line of it\nsecond line of it\r\nthird line of it",
    "regular expression": "(a+)+$[z-x]\\d{3,}.*?",
    "spaces": "correct horse battery staple",
    "short": "q7#Zp2",
}
# Each writes a value down as some part of a program would; what it is written into stays.
FORMS: dict[str, tuple[str, Callable[[str], str]]] = {
    "raw": ("token is @.", str),
    "json": ('{"token": "@"}', lambda v: json.dumps(v)[1:-1]),
    "json in json": ('{"body": "{\\"token\\": \\"@\\"}"}', lambda v: json.dumps(json.dumps(v)[1:-1])[1:-1]),
    "json, not ascii": ('{"token": "@"}', lambda v: json.dumps(v, ensure_ascii=False)[1:-1]),
    "repr": ("('@', 1)", lambda v: repr(v)[1:-1]),
    "repr of bytes": ("(b'@', 1)", lambda v: repr(v.encode())[2:-1]),
    "url query": ("https://host/?token=@&x=1", quote_plus),
    "url path": ("https://host/@/x", quote),
    "url, nothing safe": ("a=@", lambda v: quote(v, safe="")),
    "url, lower case": ("a=@", lambda v: re.sub("%..", lambda found: found[0].lower(), quote(v, safe=""))),
    "urlencode": ("@", lambda v: urlencode({"": v})[1:]),
    "shell": ("export TOK='@'; run", lambda v: shlex.quote(v).strip("'")),
    "html": ("<b>@</b>", html.escape),
    "hex": ("0x@", lambda v: binascii.hexlify(v.encode()).decode()),
    "HEX": ("0x@", lambda v: v.encode().hex().upper()),
}
LONG_ENOUGH = {name: value for name, value in VALUES.items() if len(value) >= 8}


def knowing(*values: str) -> Redactor:
    redactor = Redactor()
    for value in values:
        redactor.add(Secret(value))
    return redactor


@pytest.mark.parametrize(
    ("name", "form"), [(n, f) for n in VALUES for f in FORMS if n in LONG_ENOUGH or f.lower() != "hex"]
)
def test_hides_each_value_in_each_form(name: str, form: str) -> None:
    """The text around it stays, the value goes, be it of one line or of three."""
    around, write = FORMS[form]

    clean = knowing(VALUES[name]).text(around.replace("@", write(VALUES[name])))

    assert clean == around.replace("@", "***")


@pytest.mark.parametrize("name", LONG_ENOUGH)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_hides_base64_however_it_lies(name: str, encode: Callable[[bytes], bytes]) -> None:
    """At all three alignments, with anything before and behind: at most two signs of it are left, which say less than one letter."""
    value = LONG_ENOUGH[name].encode()
    redactor = knowing(LONG_ENOUGH[name])
    for before in (b"", b"u", b"us", b"user:", b"\xff\xfe"):
        for behind in (b"", b":", b"\n ", b"\xff\xff\xff"):
            clean = redactor.text(encode(before + value + behind).decode())
            assert "***" in clean
            left = clean.replace("***", "").rstrip("=")
            assert len(left) <= len(encode(before)) + len(encode(behind)) + 2


def test_hides_the_longer_of_two() -> None:
    """One key that begins as another does not leave its end behind."""
    assert knowing("abcdef", "abcdefghij").text("abcdefghij abcdef") == "*** ***"


def test_hides_forty_keys_in_every_form_at_once() -> None:
    """600 spots in one text, in any order; what stands between them is all that is left."""
    rng = random.Random(20261126)
    keys = [
        "".join(rng.choices(string.ascii_letters + string.digits + '+/=_-. %"é', k=rng.randrange(12, 60)))
        for _ in range(40)
    ]
    spots = [write(key) for key in keys for _, write in FORMS.values()]
    rng.shuffle(spots)

    assert set(knowing(*keys).text(" | ".join(spots)).split(" | ")) == {"***"}


def test_learns_while_it_works() -> None:
    """What is added later is hidden from then on; adding it twice changes nothing."""
    redactor = knowing("first-secret")
    assert redactor.text("first-secret second-secret") == "*** second-secret"

    redactor.add(Secret("second-secret"))
    redactor.add(Secret("second-secret"))

    assert redactor.text("first-secret second-secret") == "*** ***"


def test_leaves_very_short_values_alone() -> None:
    """Hiding every "abc" would destroy what is written and hide nothing."""
    assert knowing("abc").text("abcdef") == "abcdef"


HEX40, HEX64 = "0123456789abcdef0123456789abcdef01234567", "0123456789abcdef" * 4
UNTOLD = {
    "hf": ("hf_" + "aB3" * 11 + "x", "", ""),
    "hf in json": ("hf_" + "aB3" * 11 + "x", '{"error": "bad\\n', '"}'),
    "replicate": ("r8_" + "aB3dE" * 7 + "xy", "key r8: ", "\n"),
    "runpod": ("rpa_" + "ABC123DEF4" * 4, "(", ")"),
    "lambda": ("secret_laptop_" + "0af1" * 8 + "." + "aB3d" * 8, "'", "'"),
    "honeyhive": ("hh_ingst_" + "aB3d" * 6 + "_" + "aB3d" * 16, "", " x"),
    "modal": ("ak-" + "aB3dEf" * 4, "--token ", " run"),
    "jwt": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P", "jwt=", ";"),
    "bearer": (HEX64, "authorization: Bearer ", ""),
    "basic": ("YXBpOjAxMjM0NTY3ODlhYmNkZWY=", "'Authorization': 'Basic ", "'"),
    "raw header": (HEX40, '{"Authorization": "', '"}'),
    "escaped header": (HEX40, '{\\"Authorization\\": \\"', '\\"}'),
    "api key header": (HEX40, "x-api-key: ", "\r\n"),
    "variable": (HEX40, "WANDB_API_KEY=", " python train.py"),
    "variable of a dict": (HEX64, "environ({'VAST_API_KEY': '", "'})"),
    "api key header, capitals": (HEX40, "'X-Api-Key': '", "'"),
    "argument": (HEX64, "Client(api_key='", "', timeout=3)"),
    "field": (HEX64, '{"apiKey": "', '", "a": 1}'),
    "hub token": (HEX40, "push(hub_token=", ", private=True)"),
    "token in a query": (HEX40, "/download?token=", "&type=Model"),
    "query": (HEX64, "GET /v0/x?page=1&api_key=", "&b=2"),
    "url": ("hunter2hunter2", "https://me:", "@host/repo.git"),
    "private key": ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----", "a\n", "\nb"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNTOLD)
def test_hides_what_is_marked_as_a_key(name: str) -> None:
    """By its own shape or by where it stands, with nobody having told it."""
    key, before, behind = UNTOLD[name]

    assert Redactor().text(before + key + behind) == before + "***" + behind


@pytest.mark.parametrize(
    "text",
    [
        "step 100/1000 loss=1.2345 grad_norm=0.98 lr=1e-4 tokens/s=5321.7",
        f"sha256:{HEX64} commit {HEX40}",
        "r-20261122-203412-9f31ac saved /home/me/runs/r-20261122-203412-9f31ac/adapter/adapter_model.safetensors",
        "hf_model_config hf_hub_download pb_training_arguments_file civitai_model_version_loader",
        "was-internationalization has-characteristically break-straightforwardness",
        "eos_token: <|endoftext|> EOS_TOKEN=<|endoftext|> PAD_TOKEN: <pad>",
        "Tokenizer(eos_token='<|im_end|>', pad_token='[PADDING]', max_new_tokens=1000000000)",
        "the bearer of good news; Bearer token expected; Authorization required",
        "https://huggingface.co/org/model/resolve/main/config.json?download=true ssh://git@host:22/x",
        "sk-learn scikit-learn-contrib task-specific-instruction-tuning-with-low-rank-adapters",
        "model.layers.11.self_attn.q_proj.lora_A.default.weight torch.float32 [16, 2048]",
        "HF_TOKEN is not set; export HF_TOKEN=$MY_TOKEN or WANDB_API_KEY=${KEY_OF_MINE}",
    ],
)
def test_leaves_what_is_no_key(text: str) -> None:
    """Training logs come out as they went in."""
    assert Redactor().text(text) == text


def test_a_stream_hides_what_is_split_anywhere() -> None:
    """However a child's output is cut into two or three pieces, whole lines come out clean and nothing else is lost."""
    key, marked = VALUES["every sign"], "hf_" + "aB3" * 11 + "x"
    text = f"one {key} two\nthree {marked}\rAuthorization: Bearer {HEX64}\nend without line"
    redactor = knowing(key)
    want = redactor.text(text)
    assert want == "one *** two\nthree ***\rAuthorization: Bearer ***\nend without line"
    for cut in range(len(text)):
        for size in (1, 7, len(text)):
            pieces = [text[:cut], text[cut : cut + size], text[cut + size :]]
            assert "".join(redactor.lines(pieces)) == want
    assert "".join(redactor.lines(text)) == want


def test_a_stream_gives_each_line_when_it_ends() -> None:
    """A progress bar that is redrawn counts as lines; what has not ended waits."""
    stream = knowing("whatever").stream()

    assert [stream.feed(piece) for piece in ("a\nb", "c\r", "d", "\n")] == ["a\n", "bc\r", "", "d\n"]
    stream.feed("rest")
    assert stream.close() == "rest"
    assert stream.close() == ""


@pytest.mark.parametrize("seed", range(5))
def test_an_endless_line_is_bounded_and_clean(seed: int) -> None:
    """A child that never ends its line costs no more than 128 kB of memory, and no key is cut in two."""
    rng = random.Random(seed)
    token = "eyJhbGciOiJIUzI1NiJ9.eyJ" + "aB3d" * 900 + "." + "xY9z" * 20
    words = ["".join(rng.choices(string.ascii_lowercase, k=rng.randrange(1, 12))) for _ in range(50)]
    parts = [
        rng.choice([*words, VALUES["plain"], token]) if rng.random() < 0.3 else rng.choice(words) for _ in range(6000)
    ]
    text = " ".join(parts)
    redactor = knowing(VALUES["plain"])
    stream, clean, at = redactor.stream(), "", 0
    while at < len(text):
        size = rng.randrange(1, 20_000)
        clean += stream.feed(text[at : at + size])
        assert len(stream._held) <= 1 << 17
        at += size
    assert len(clean) > 1000

    clean += stream.close()

    assert clean == " ".join("***" if part in {VALUES["plain"], token} else part for part in parts)


def test_it_shows_nothing_itself() -> None:
    """Neither its variables nor its members, nor a notebook's verbose traceback through it; and it stays in its process."""
    redactor = knowing(VALUES["plain"], "another-secret")
    redactor.text("build it")

    shown = repr(redactor) + repr(inspect.getmembers(redactor, lambda found: not inspect.ismethod(found)))
    assert VALUES["plain"] not in shown
    assert "another" not in shown
    try:
        redactor.text(3)  # type: ignore[arg-type]
    except TypeError:
        shown = "\n".join(VerboseTB(theme_name="nocolor").structured_traceback(*sys.exc_info()))
    assert "hide" in shown
    assert VALUES["plain"] not in shown
    with pytest.raises(TypeError):
        pickle.dumps(redactor)
