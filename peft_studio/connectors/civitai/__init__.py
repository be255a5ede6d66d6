"""Civitai as a registry, of image models mostly. This module says who it is and loads nothing."""

from peft_studio.core.ports.platform import ConnectorInfo, KeyField, Role

INFO = ConnectorInfo(
    name="civitai",
    title="Civitai",
    summary="Image models and their adapters, and a few language models. Searching needs no key.",
    roles=(Role.REGISTRY,),
    connector="peft_studio.connectors.civitai.connector:Civitai",
    keys=(
        KeyField(
            name="token",
            title="API key",
            env=("CIVITAI_API_TOKEN", "CIVITAI_TOKEN"),
            required=False,
            help="Needed for downloads whose author asks for a login.",
        ),
    ),
    docs_url="https://civitai.com/user/account",
)
