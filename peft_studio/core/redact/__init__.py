"""What must never be seen: the handle that hides a value, the shapes that keys have, and the redactor that takes both out of text."""

from peft_studio.core.redact.logs import RedactingFilter
from peft_studio.core.redact.redactor import RedactedStream, Redactor
from peft_studio.core.redact.secret import Secret
from peft_studio.core.redact.shapes import KeyShape, Verdict, judge_key, recognise_key

REDACTOR = Redactor()
"""This process's own: the vault tells it every key that goes in or out. Whoever writes a log, an event or an error asks it first."""

__all__ = [
    "REDACTOR",
    "KeyShape",
    "RedactedStream",
    "RedactingFilter",
    "Redactor",
    "Secret",
    "Verdict",
    "judge_key",
    "recognise_key",
]
