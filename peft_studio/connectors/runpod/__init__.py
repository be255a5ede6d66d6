"""RunPod as a provider of machines. This module says who it is and loads nothing."""

from peft_studio.core.ports.platform import ConnectorInfo, KeyField, Role

INFO = ConnectorInfo(
    name="runpod",
    title="RunPod",
    summary="GPUs by the second. A machine there can end itself, and its ports are reached through RunPod's own TLS.",
    roles=(Role.COMPUTE,),
    connector="peft_studio.connectors.runpod.connector:RunPod",
    keys=(
        KeyField(
            name="key",
            title="API key",
            env=("RUNPOD_API_KEY",),
            help="A key with read and write access to pods: All, or Restricted with that permission.",
        ),
        KeyField(
            name="image",
            title="Image",
            shape=r"[a-z0-9][\w.\-/:]*(@sha256:[0-9a-f]{64})?",
            required=False,
            secret=False,
            help="A container image with bash, base64 and Python 3.11 or later, in place of RunPod's own.",
        ),
    ),
    docs_url="https://www.runpod.io/console/user/settings",
)
