"""What the user asks for: frozen, versioned, plain JSON on disk."""

from peft_studio.core.spec.data_ref import DataRef
from peft_studio.core.spec.run_spec import LOOPS, METHODS, QUANTIZATIONS, Basis, RunSpec

__all__ = ["LOOPS", "METHODS", "QUANTIZATIONS", "Basis", "DataRef", "RunSpec"]
