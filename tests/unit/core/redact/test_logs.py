"""What a log's handler writes has no secret in it."""

from __future__ import annotations

import io
import logging

import pytest

from peft_studio.core.redact import RedactingFilter, Redactor, Secret


@pytest.fixture
def log() -> tuple[logging.Logger, io.StringIO]:
    """A logger of its own whose handler redacts."""
    redactor, written = Redactor(), io.StringIO()
    redactor.add(Secret("CanaryCanary"))
    handler = logging.StreamHandler(written)
    handler.addFilter(RedactingFilter(redactor))
    logger = logging.Logger("apart")
    logger.addHandler(handler)
    return logger, written


def test_message_arguments_traceback_and_stack(log: tuple[logging.Logger, io.StringIO]) -> None:
    """All are written, each without the key."""
    logger, written = log
    try:
        raise ValueError("CanaryCanary was refused")
    except ValueError:
        logger.exception("with %s and %r", "CanaryCanary", ["CanaryCanary"], stack_info=True)

    text = written.getvalue()
    assert "with *** and ['***']" in text
    assert "ValueError: *** was refused" in text
    assert "Stack (most recent call last)" in text
    assert "Canary" not in text


def test_arguments_that_do_not_fit(log: tuple[logging.Logger, io.StringIO], capsys: pytest.CaptureFixture[str]) -> None:
    """logging would print them all to the terminal; here they are written clean."""
    logger, written = log
    logger.warning("one %s", "CanaryCanary", "two")

    assert written.getvalue() == "one %s ('***', 'two')\n"
    assert capsys.readouterr() == ("", "")
