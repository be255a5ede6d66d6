"""What must never be seen: the handle that hides a value, the shapes that keys have, and the redactor that takes both out of text."""

from peft_studio.core.redact.secret import Secret

__all__ = ["Secret"]
