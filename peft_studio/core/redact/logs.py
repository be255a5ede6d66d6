"""Secrets are taken out of log records before anything writes them."""

from __future__ import annotations

import logging

from peft_studio.core.redact.redactor import Redactor

_FORMAT = logging.Formatter()


class RedactingFilter(logging.Filter):
    """``handler.addFilter(RedactingFilter(REDACTOR))``: message, traceback and stack of every record that the handler writes.

    A record is changed itself, so handlers behind it get it clean, too. What ``extra=`` has added is not looked at.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the record; never drops one."""
        record.msg, record.args = self._redactor.text(_message_of(record)), None
        if record.exc_info:
            record.exc_text = record.exc_text or _FORMAT.formatException(record.exc_info)
            record.exc_info = None  # else a handler might format it once more
        if record.exc_text:
            record.exc_text = self._redactor.text(record.exc_text)
        if record.stack_info:
            record.stack_info = self._redactor.text(record.stack_info)
        return True


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (
        TypeError,
        ValueError,
        KeyError,
    ):  # arguments that do not fit: logging would say so with all of them in its own words
        return f"{record.msg} {record.args}"
