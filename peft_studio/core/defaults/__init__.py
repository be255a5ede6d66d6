"""Smart defaults: a value for every field of a run spec that a person has not set, each with its reason and source."""

from peft_studio.core.defaults.default import Default
from peft_studio.core.defaults.derive import derive_defaults, explain_spec
from peft_studio.core.defaults.effect import Effect, find_effect
from peft_studio.core.defaults.rate import Alternative
from peft_studio.core.defaults.specs import ExplainedSpec, Explanation

__all__ = [
    "Alternative",
    "Default",
    "Effect",
    "ExplainedSpec",
    "Explanation",
    "derive_defaults",
    "explain_spec",
    "find_effect",
]
