"""The Hugging Face hub as a registry of models. This module says who it is and loads nothing."""

from peft_studio.core.ports.platform import ConnectorInfo, KeyField, Role

INFO = ConnectorInfo(
    name="huggingface",
    title="Hugging Face",
    summary="The hub: base models, adapters and data sets. Public models need no key.",
    roles=(Role.REGISTRY,),
    connector="peft_studio.connectors.huggingface.connector:HuggingFace",
    keys=(
        KeyField(
            name="token",
            title="Access token",
            env=("HF_TOKEN",),
            required=False,
            help="A read token is enough to download gated and private models; to publish it needs write.",
        ),
    ),
    docs_url="https://huggingface.co/settings/tokens",
)
