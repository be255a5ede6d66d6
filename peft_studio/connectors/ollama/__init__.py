"""Ollama's daemon, on this machine as a rule, as a registry of the models it has. This module says who it is and loads nothing."""

from peft_studio.core.ports.platform import ConnectorInfo, KeyField, Role

INFO = ConnectorInfo(
    name="ollama",
    title="Ollama",
    summary="The models that Ollama has on this machine. Works without the internet and without a key.",
    roles=(Role.REGISTRY,),
    connector="peft_studio.connectors.ollama.connector:Ollama",
    keys=(
        KeyField(
            name="host",
            title="Address",
            shape=r"(https?://)?[\w.\-\[\]:]+/?",
            env=("OLLAMA_HOST",),
            required=False,
            secret=False,
            help="Where the daemon listens; 127.0.0.1:11434 unless you changed it.",
        ),
    ),
    docs_url="https://ollama.com/download",
    local=True,
)
