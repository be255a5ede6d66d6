"""A Ray cluster as a provider of machines: each is a job there. This module says who it is and loads nothing."""

from peft_studio.core.ports.platform import ConnectorInfo, KeyField, Role

INFO = ConnectorInfo(
    name="ray",
    title="Ray cluster",
    summary="GPUs and CPUs of your own cluster. Each run is a Ray job; what has no room yet waits in Ray's line.",
    roles=(Role.COMPUTE,),
    connector="peft_studio.connectors.ray.connector:Ray",
    keys=(
        KeyField(
            name="address",
            title="Address",
            shape=r"(https?://)?[\w.\-\[\]]+(:\d{1,5})?(/[\w.\-/]*)?",
            env=("RAY_API_SERVER_ADDRESS",),
            secret=False,
            help="Of the cluster's dashboard, such as http://head:8265. Its nodes must be reachable from here, too.",
        ),
        KeyField(
            name="token",
            title="Token",
            env=("RAY_AUTH_TOKEN",),
            required=False,
            help="Where the cluster asks for one: Ray's own token authentication, or a proxy before it. It travels over TLS alone.",
        ),
    ),
    docs_url="https://docs.ray.io/en/latest/cluster/running-applications/job-submission/index.html",
)
