"""What the core asks of the outside, one small Protocol per role."""

from peft_studio.core.ports.compute import Compute
from peft_studio.core.ports.download import Downloads, Fetched, Order, Progress
from peft_studio.core.ports.platform import VERBS, Account, Capability, Connector, ConnectorInfo, KeyField, Keys, Role
from peft_studio.core.ports.registry import ModelDetails, ModelFile, Page, Query, Registry, RegistryModel

__all__ = [
    "VERBS", "Account", "Capability", "Compute", "Connector", "ConnectorInfo", "Downloads", "Fetched", "KeyField", "Keys", "ModelDetails",
    "ModelFile", "Order", "Page", "Progress", "Query", "Registry", "RegistryModel", "Role",
]  # fmt: skip
