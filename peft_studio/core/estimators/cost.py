"""Dollars that a run will cost, from how long it takes and how its place bills. Exact decimals, no prices of our own."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType

from peft_studio.core.compute.billing import BillingRules, Electricity
from peft_studio.core.estimators.estimate import Estimate

_NOTHING = Decimal(0)


def estimate_cost(
    duration: Estimate,
    rules: BillingRules,
    *,
    disk_bytes: float = 0.0,
    stored_s: float = 0.0,
    download_bytes: float = 0.0,
    upload_bytes: float = 0.0,
    electricity: Electricity | None = None,
) -> Estimate:
    """What a run of this duration is billed.

    Args:
        duration: From :func:`estimate_duration`; its "set-up" is billed only where ``rules.bills_start``.
        rules: Of the offer; ``LOCAL`` bills nothing.
        disk_bytes: Disk that is rented with the machine.
        stored_s: How long that disk is kept after the run, stopped: billed like running.
        download_bytes, upload_bytes: Traffic of the model in and the adapter out.
        electricity: For a machine of one's own, where its owner gave watts and price.
    """
    free_s = 0.0 if rules.bills_start else float(duration.parts.get("set-up", 0.0))

    def compute(seconds: float) -> Decimal:
        return rules.compute_usd(max(0.0, seconds - free_s))

    def storage(seconds: float) -> Decimal:
        return rules.storage_usd(disk_bytes, seconds + stored_s)

    def power(seconds: float) -> Decimal:
        return electricity.usd(seconds) if electricity else _NOTHING

    traffic = rules.traffic_usd(download_bytes=download_bytes, upload_bytes=upload_bytes)
    value, low, high = float(duration.value), float(duration.low), float(duration.high)
    parts = {"compute": compute(value), "storage": storage(value), "traffic": traffic, "electricity": power(value)}
    ends = [compute(end) + storage(end) + traffic + power(end) for end in (low, high)]
    shown = MappingProxyType({name: usd for name, usd in parts.items() if usd})
    return Estimate(sum(parts.values(), _NOTHING), ends[0], ends[1], "usd", _basis(rules, electricity), shown)


def _basis(rules: BillingRules, electricity: Electricity | None) -> str:
    if electricity:
        power = f"{electricity.watts:g} W at ${electricity.usd_per_kwh}/kWh, as given"
        return power if not rules.usd_per_hour else f"{_rate(rules)}; {power}"
    return _rate(rules) if rules.usd_per_hour else "a machine of your own is not billed; electricity is not counted"


def _rate(rules: BillingRules) -> str:
    unit = {1: "second", 60: "minute", 3600: "hour"}.get(rules.granularity_s, f"{rules.granularity_s} s")
    return f"${rules.usd_per_hour}/h, billed by the {unit}"
