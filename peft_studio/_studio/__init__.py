"""The facade and composition root: the only place that wires core, connectors and panels together, a chapter of its face a module."""

from peft_studio._studio.studio import Studio

__all__ = ["Studio"]
