"""What the process that watches rented machines is given."""

from __future__ import annotations

from peft_studio._studio.machines import read_watch_keys
from peft_studio.core.redact import REDACTOR


def test_keys_that_the_watching_process_is_given_are_hidden_there() -> None:
    """They do not come from its vault."""
    key = "qq81" + "zv73xk20"
    [[found]] = [of.values() for of in read_watch_keys(f'{{"alpha": {{"api_key": "{key}"}}}}').values()]
    assert found.reveal() == key
    assert key not in REDACTOR.text(f"alpha does not like {key} today")
