"""Vast.ai as a market of machines. This module says who it is and loads nothing."""

from peft_studio.core.ports.platform import ConnectorInfo, KeyField, Role

INFO = ConnectorInfo(
    name="vastai",
    title="Vast.ai",
    summary="A market of other people's machines, by the second, also by bids. A machine there can end itself.",
    roles=(Role.COMPUTE,),
    connector="peft_studio.connectors.vastai.connector:VastAi",
    keys=(
        KeyField(
            name="key",
            title="API key",
            env=("VAST_API_KEY",),
            help="One that may read the user, and read and write instances.",
        ),
    ),
    docs_url="https://cloud.vast.ai/manage-keys/",
)
