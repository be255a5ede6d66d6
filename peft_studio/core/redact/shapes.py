"""What keys look like, platform by platform, and how sure that is. It never repeats a key: it is asked before anything is sent.

A shape with a mark of its own (``hf_…``) is told in any text and taken out by the redactor. One without (64 hexadecimal digits) fits
too many other things: it only answers whether a text could be that platform's key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from peft_studio.core.redact.secret import Secret

Sure = Literal["published", "seen", "inferred"]
"""How a shape is known: the vendor's client, specification or documents say so; others' programs and documents show it; we infer it."""


@dataclass(frozen=True)
class KeyShape:
    """How keys of one platform look. ``mark`` says in words what they are told by, and is empty where others look the same."""

    platform: str
    kind: str
    pattern: str
    sure: Sure
    mark: str = ""

    def __str__(self) -> str:
        """``a Replicate token``, for sentences."""
        return f"{'an' if self.kind[0] in 'AO' else 'a'} {self.kind}"


_NO_WORD = r"(?=[a-z_-]{0,64}[A-Z0-9])"  # else an identifier with the same beginning would be one
_SIGNED = r"eyJ[\w-]{8,1024}\.eyJ[\w-]{8,8192}\.[\w-]{16,1024}"
_PARTS = "has three parts, the first beginning with eyJ"

# Nothing here may be tried without bound at each of many places: the redactor reads what strangers' programs print.
# Platforms are named as their connectors are. Where the rows come from stands in docs/keys.md.
SHAPES = (
    KeyShape("huggingface", "Hugging Face token", r"hf_[A-Za-z0-9]{30,}", "published", "begins with hf_"),
    KeyShape(
        "huggingface",
        "Hugging Face token of an organisation",
        r"api_org_[A-Za-z0-9]{30,}",
        "published",
        "begins with api_org_",
    ),
    KeyShape("runpod", "RunPod key", r"rpa_[A-Za-z0-9]{30,}", "published", "begins with rpa_"),
    KeyShape("runpod", "RunPod key from before November 2024", r"[A-Z0-9]{36,44}", "seen"),
    KeyShape(
        "lambdalabs",
        "Lambda key",
        r"secret_[\w-]{1,64}_[0-9a-f]{32}\.[A-Za-z0-9]{32}",
        "seen",
        "begins with secret_ and has a dot",
    ),
    KeyShape("vastai", "Vast.ai key", r"[0-9a-f]{64}", "seen"),
    KeyShape("civitai", "Civitai key", r"[0-9a-f]{32}", "published"),
    KeyShape(
        "civitai", "Civitai token of one hour", rf"civitai_{_NO_WORD}[\w-]{{16,}}", "published", "begins with civitai_"
    ),
    KeyShape("wandb", "Weights & Biases key", r"\w{40,}", "published"),
    KeyShape("wandb", "Weights & Biases key of an own server", r"[a-z][\w.]*-\w{40,}", "published"),
    KeyShape("wandb", "signed token (JWT), as Weights & Biases has them", _SIGNED, "published", _PARTS),
    KeyShape("phoenix", "signed token (JWT), as Phoenix has them", _SIGNED, "published", _PARTS),
    KeyShape("comet", "Comet key", r"[A-Za-z0-9]{25}(?:\*[A-Za-z0-9+/=_-]+)?", "published"),
    KeyShape(
        "honeyhive",
        "HoneyHive ingestion key",
        r"hh_ingst_[A-Za-z0-9]{24}_[A-Za-z0-9]{64}",
        "published",
        "begins with hh_ingst_",
    ),
    KeyShape(
        "honeyhive",
        "HoneyHive data plane key",
        r"hh_fgdp_[A-Za-z0-9]{24}_[A-Za-z0-9]{64}",
        "published",
        "begins with hh_fgdp_",
    ),
    KeyShape("honeyhive", "HoneyHive read-only key", r"hh_ro_[A-Za-z0-9]{16,}", "published", "begins with hh_ro_"),
    KeyShape("honeyhive", "HoneyHive project key", r"hh_[A-Za-z0-9]{16,}", "published", "begins with hh_"),
    KeyShape("predibase", "Predibase token", rf"pb_{_NO_WORD}[\w-]{{16,}}", "inferred", "begins with pb_"),
    KeyShape("together", "Together key", rf"tgp_v1_{_NO_WORD}[\w-]{{16,}}", "inferred", "begins with tgp_v1_"),
    KeyShape("together", "Together key of the older kind", r"[0-9a-f]{64}", "inferred"),
    KeyShape("modal", "Modal token id", rf"ak-{_NO_WORD}[A-Za-z0-9]{{16,}}", "published", "begins with ak-"),
    KeyShape("modal", "Modal token secret", rf"as-{_NO_WORD}[A-Za-z0-9]{{16,}}", "published", "begins with as-"),
    KeyShape("replicate", "Replicate token", r"r8_[A-Za-z0-9]{37}", "published", "begins with r8_"),
    KeyShape("anthropic", "Anthropic key", r"sk-ant-[\w-]{32,}", "seen", "begins with sk-ant-"),
    KeyShape("openai", "OpenAI key", rf"sk-(?!ant-){_NO_WORD}[\w-]{{32,}}", "seen", "begins with sk-"),
    KeyShape("github", "GitHub token", r"gh[pousr]_[A-Za-z0-9]{36,}", "seen", "begins with gh"),
    KeyShape("github", "GitHub token", r"github_pat_\w{60,}", "seen", "begins with github_pat_"),
    KeyShape("aws", "AWS access key id", r"(?:AKIA|ASIA)[A-Z0-9]{16}", "seen", "begins with AKIA or ASIA"),
)
MARKED = tuple({shape.pattern: shape for shape in SHAPES if shape.mark})

_TITLES = {
    "huggingface": "Hugging Face", "runpod": "RunPod", "lambdalabs": "Lambda", "vastai": "Vast.ai", "civitai": "Civitai",
    "wandb": "Weights & Biases", "comet": "Comet", "phoenix": "Phoenix", "honeyhive": "HoneyHive", "predibase": "Predibase",
    "together": "Together", "modal": "Modal", "replicate": "Replicate", "ollama": "Ollama",
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What a key's shape says of it: it ``fits``, is ``possible``, is ``unknown``, or is ``wrong``, another platform's or no key.

    Only ``wrong`` is a reason not to send it. ``sentence`` is for people and never has the key in it.
    """

    outcome: Literal["fits", "possible", "unknown", "wrong"]
    sentence: str


def recognise_key(key: Secret | str) -> list[KeyShape]:
    """Every shape that this has, marked ones first. Empty for what looks like no key that we know."""
    text = key.reveal() if isinstance(key, Secret) else key
    found = [shape for shape in SHAPES if re.fullmatch(shape.pattern, text, re.ASCII)]
    return sorted(found, key=lambda shape: not shape.mark)


def judge_key(platform: str, key: Secret | str) -> Verdict:
    """Whether this could be a key of ``platform`` (a connector's name), before it is sent there."""
    title = _TITLES.get(platform, platform)
    if fault := _fault_of(key.reveal() if isinstance(key, Secret) else key):
        return Verdict("wrong", f"This is not a key as it stands: {fault}.")
    found = recognise_key(key)
    marked = [shape for shape in found if shape.mark]
    own = [shape for shape in found if shape.platform == platform]
    if own and own[0].mark:
        return Verdict("fits", f"This looks like {own[0]}: it {own[0].mark}.")
    if marked:
        return Verdict("wrong", f"This looks like {marked[0]}: it {marked[0].mark}. {title} has other ones.")
    if own:
        return Verdict("possible", f"This could be {own[0]}. Nothing marks those, so only {title} can tell.")
    known = sorted({shape.mark for shape in SHAPES if shape.platform == platform and shape.mark})
    if known:
        return Verdict(
            "unknown",
            f"The keys of {title} that we know look different: one {', or '.join(known)}. Theirs may have changed.",
        )
    return Verdict("unknown", f"What the keys of {title} look like is not known well enough to say.")


def _fault_of(text: str) -> str:
    """What is wrong with a text whatever the platform: mistakes of copying."""
    if not text.strip():
        return "it is empty"
    if text != text.strip():
        return "it has a space or a line break at an end"
    if re.match(r"bearer\s", text, re.IGNORECASE):
        return "the word Bearer belongs to the header, not to the key"
    if re.match(r"(?:export\s+)?[A-Z][A-Z0-9_]*=(?!=*$)", text):
        return "it is a whole assignment; only what follows the = is the key"
    if text[0] in "\"'`" or text[-1] in "\"'`":
        return "it has quotation marks around it"
    if any(sign.isspace() or not sign.isprintable() for sign in text):
        return "it has a space, a line break or an invisible sign inside"
    return ""
