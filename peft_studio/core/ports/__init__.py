"""What the core asks of the outside, one small Protocol per role."""

from peft_studio.core.ports.compute import Compute
from peft_studio.core.ports.download import Downloads, Fetched, Order, Progress
from peft_studio.core.ports.offers import Offer, OfferQuery, Offers, Stock
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
from peft_studio.core.ports.rental import (
    Charge,
    Ended,
    Instance,
    Instances,
    InstanceState,
    Invoice,
    LogLines,
    Rent,
    Rental,
    SelfEnd,
    Ssh,
)

__all__ = [
    "VERBS", "Account", "Capability", "Charge", "Compute", "Connector", "ConnectorInfo", "Downloads", "Ended", "Fetched", "Instance",
    "InstanceState", "Instances", "Invoice", "KeyField", "Keys", "LogLines", "ModelDetails", "ModelFile", "Offer", "OfferQuery", "Offers", "Order",
    "Page", "Progress", "Published", "Publisher", "Query", "Registry", "RegistryModel", "Rent", "Rental", "Role", "SelfEnd", "Ssh", "Stock",
    "Upload", "UploadFile",
]  # fmt: skip
