"""Lambda as a place to rent machines. This module says who it is and loads nothing."""

from peft_studio.core.ports.platform import ConnectorInfo, KeyField, Role

INFO = ConnectorInfo(
    name="lambdalabs",
    title="Lambda",
    summary="Rents whole machines with data-centre GPUs by the minute. They are reached over SSH and cannot end themselves.",
    roles=(Role.COMPUTE,),
    connector="peft_studio.connectors.lambdalabs.connector:Lambda",
    keys=(
        KeyField(
            name="key",
            title="API key",
            env=("LAMBDA_API_KEY",),
            help="Of the account that is to be billed.",
        ),
    ),
    docs_url="https://cloud.lambda.ai/api-keys",
)
