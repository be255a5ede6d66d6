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
    by_hand=(
        "Open https://civitai.com/models/create in a browser and sign in.",
        "Choose the type LLM or LORA, as its page offers it, and give it the name from metadata.json.",
        "Add adapter_model.safetensors and adapter_config.json of the folder as files of its version.",
        "Copy the text of README.md into the description, and fill in what its last section leaves to you.",
        "Compare the SHA256 that its page shows with the one in metadata.json, then publish.",
    ),
    docs_url="https://civitai.com/user/account",
)
