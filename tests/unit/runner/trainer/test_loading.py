"""Loading leaves the collector of garbage as it was."""

from __future__ import annotations

import gc

import pytest

from peft_studio.runner.trainer.loading import collecting_later


@pytest.mark.parametrize("ends", [None, ImportError])
def test_garbage_is_looked_for_again_once_all_is_loaded(ends: type[Exception] | None) -> None:
    """Also where loading fails; and what was loaded is not looked through any more."""
    try:
        with collecting_later():
            assert not gc.isenabled()
            if ends:
                raise ends
    except ImportError:
        assert ends
    try:
        assert gc.isenabled()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
