"""Our list of connectors, built-in and third-party, through one door: found, checked against their contract, isolated, switched."""

from peft_studio.connectors.catalog.catalog import Catalog
from peft_studio.connectors.catalog.lane import Pending

__all__ = ["Catalog", "Pending"]
