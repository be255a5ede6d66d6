"""Keys that are in the environment already. They are seen and offered; nothing is copied before someone says so."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from peft_studio.core.errors import VaultError
from peft_studio.core.redact import Secret, Verdict, judge_key

# variable → platform, and the name that its key has in the vault. Where a row comes from stands in docs/keys.md.
VARIABLES = {
    "HF_TOKEN": ("huggingface", "huggingface"),
    "HUGGING_FACE_HUB_TOKEN": ("huggingface", "huggingface"),
    "RUNPOD_API_KEY": ("runpod", "runpod"),
    "LAMBDA_API_KEY": ("lambdalabs", "lambdalabs"),
    "VAST_API_KEY": ("vastai", "vastai"),
    "CIVITAI_API_TOKEN": ("civitai", "civitai"),
    "CIVITAI_TOKEN": ("civitai", "civitai"),
    "OLLAMA_API_KEY": ("ollama", "ollama"),
    "WANDB_API_KEY": ("wandb", "wandb"),
    "COMET_API_KEY": ("comet", "comet"),
    "PHOENIX_API_KEY": ("phoenix", "phoenix"),
    "HH_API_KEY": ("honeyhive", "honeyhive"),
    "HH_INGESTION_API_KEY": ("honeyhive", "honeyhive.ingestion"),
    "HH_DATA_PLANE_API_KEY": ("honeyhive", "honeyhive.data-plane"),
    "PREDIBASE_API_TOKEN": ("predibase", "predibase"),
    "TOGETHER_API_KEY": ("together", "together"),
    "MODAL_TOKEN_ID": ("modal", "modal.id"),
    "MODAL_TOKEN_SECRET": ("modal", "modal.secret"),
    "REPLICATE_API_TOKEN": ("replicate", "replicate"),
}


HUB_TOKENS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})  # for gated base models


@dataclass(frozen=True)
class Offered:
    """A variable that seems to hold a platform's key: where it would go, and what its shape says. It does not hold the value."""

    variable: str
    platform: str
    name: str
    verdict: Verdict

    def read(self, environment: Mapping[str, str] | None = None) -> Secret:
        """The key, for the one who has said yes: ``vault.set(offered.name, offered.read())``."""
        value = (os.environ if environment is None else environment).get(self.variable)
        if not value:
            raise VaultError(
                f"{self.variable} is not in the environment any more.", hint="Set it again, or type the key."
            )
        return Secret(value)


def find_offered(environment: Mapping[str, str] | None = None) -> list[Offered]:
    """What the environment offers, in the order of the table. Variables that are not there or are empty offer nothing.

    The environment is no default value: help on a function prints those.
    """
    given = os.environ if environment is None else environment
    return [
        Offered(variable, platform, name, judge_key(platform, given[variable]))
        for variable, (platform, name) in VARIABLES.items()
        if given.get(variable)
    ]


def without_keys(environment: Mapping[str, str], *, keep: Collection[str] = HUB_TOKENS) -> dict[str, str]:
    """An environment for processes of ours. It can be read for as long as they live, and training has no use for keys but the hub's."""
    unused = VARIABLES.keys() - set(keep)
    return {name: value for name, value in environment.items() if name not in unused}
