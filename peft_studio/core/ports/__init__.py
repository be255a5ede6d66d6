"""What the core asks of the outside, one small Protocol per role."""

from peft_studio.core.ports.compute import Compute

__all__ = ["Compute"]
