"""What the Train panel says of a quote: numbers as they are, dollars in the words of the house, nothing where nothing is known."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from peft_studio.core.estimators import Estimate
from peft_studio.core.runs.prediction import Prediction
from peft_studio.core.services.quote import Quote
from peft_studio.widgets._train_quote import build_quote_section, cost_words, snapshot_rows

GIB = 2**30
MEMORY = Estimate(3.0 * GIB, 2.5 * GIB, 4.0 * GIB, "bytes", "a test", {"weights": 1.0 * GIB, "activations": 2.0 * GIB})
TIME = Estimate(600.0, 500.0, 800.0, "s", "a test", {"training": 590.0, "saving": 10.0})


def quote(**fields: Any) -> Quote:
    """A quote for a machine with 8 GiB."""
    known: dict[str, Any] = {"memory": MEMORY, "duration": TIME, "cost": usd("0", "0", "0"), "device": "here",
                             "device_bytes": 8.0 * GIB, "fit": "ok", "notes": ()}  # fmt: skip
    prediction = Prediction(
        device="here", family="llama", method="lora", memory=None, duration=None, cost=None, raw={}, each={}
    )
    return Quote(**{**known, "prediction": prediction, **fields})


def usd(value: str, low: str, high: str) -> Estimate:
    return Estimate(Decimal(value), Decimal(low), Decimal(high), "usd", "a test")


def test_numbers_and_parts_are_the_estimates() -> None:
    """Value, range, parts in their order, what they rest on."""
    section = build_quote_section(quote(), busy=False, measuring=False, problem=None)
    assert section["state"] == "ready"
    assert section["memory"]["parts"] == [["weights", 1.0 * GIB], ["activations", 2.0 * GIB]]
    assert (section["duration"]["low"], section["duration"]["high"]) == (500.0, 800.0)
    assert section["device_bytes"] == 8.0 * GIB


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (usd("0", "0", "0"), "no charge on this machine"),
        (usd("0.36", "0.32", "0.43"), "about $0.36 ($0.32–0.43)"),
        (usd("0.004", "0.003", "0.02"), "about <$0.01 (<$0.01–0.02)"),
        (usd("140.2", "120", "160"), "about $140 ($120–160)"),
        (None, "cost not known"),
    ],
)
def test_money_is_said_as_money(cost: Estimate | None, words: str) -> None:
    """Nothing to pay is said in words, and a range has its sign once."""
    assert cost_words(quote(cost=cost)) == words


def test_what_is_not_known_is_not_a_number() -> None:
    """No quote, or one without time, shows nothing in its place but why."""
    none = build_quote_section(None, busy=True, measuring=False, problem=None)
    assert (none["state"], none["memory"]) == ("busy", None)
    failed = build_quote_section(None, busy=False, measuring=False, problem={"message": "No.", "hint": "Try."})
    assert failed["problem"] == "No. Try."
    half = build_quote_section(quote(duration=None, notes=("Not measured.",)), busy=False, measuring=True, problem=None)
    assert half["duration"] is None
    assert half["measuring"]
    assert half["notes"] == ["Not measured."]


def test_a_saved_notebook_keeps_the_estimates() -> None:
    """Memory and time as rows of the picture; none without a quote."""
    rows = dict(snapshot_rows(quote()))
    assert rows["Time"] == "10 m (8 m 20 s–13 m 20 s), no charge on this machine"
    assert "GiB" in rows["Memory"]
    assert not list(snapshot_rows(None))
