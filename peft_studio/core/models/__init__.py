"""What is known of base models and adapters before anything is loaded. No torch, no network."""

from peft_studio.core.models.catalog import EMBEDDED, EmbeddedModel, find_embedded
from peft_studio.core.models.facts import ModelFacts, build_model_facts, read_config, read_model_facts
from peft_studio.core.models.failure import ModelFailure
from peft_studio.core.models.prepared import find_prepared, get_base_name, list_known
from peft_studio.core.models.trust import RemoteCode, check_trusted, parse_remote_code

__all__ = [
    "EMBEDDED",
    "EmbeddedModel",
    "ModelFacts",
    "ModelFailure",
    "RemoteCode",
    "build_model_facts",
    "check_trusted",
    "find_embedded",
    "find_prepared",
    "get_base_name",
    "list_known",
    "parse_remote_code",
    "read_config",
    "read_model_facts",
]
