"""What the core asks of the outside, one small Protocol per role."""

from peft_studio.core.ports.compute import Compute
from peft_studio.core.ports.download import Downloads, Fetched, Order, Progress
from peft_studio.core.ports.platform import VERBS, Account, Capability, Connector, ConnectorInfo, KeyField, Keys, Role
from peft_studio.core.ports.registry import (
    ModelDetails,
    ModelFile,
    Page,
    Published,
    Publisher,
    Query,
    Registry,
    RegistryModel,
    Upload,
    UploadFile,
)

__all__ = [
    "VERBS", "Account", "Capability", "Compute", "Connector", "ConnectorInfo", "Downloads", "Fetched", "KeyField", "Keys", "ModelDetails",
    "ModelFile", "Order", "Page", "Progress", "Published", "Publisher", "Query", "Registry", "RegistryModel", "Role", "Upload", "UploadFile",
]  # fmt: skip
