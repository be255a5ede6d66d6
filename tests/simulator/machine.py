"""One machine at a cloud, as it truly is: its life, its node with the brakes, what the provider bills."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from tests.simulator.scenario import LEASE_S

FOR_EVER_S = float("inf")
NODE_AGAIN_S = 15.0  # a node's requests to end itself come ever later, up to that


@dataclass
class Machine:
    """Times are true seconds. What is lazily decided is decided by :meth:`settle`."""

    id: str
    label: str
    provider: str
    created_s: float
    prices: list[tuple[float, Decimal]]
    running_s: float  # from when its boot script runs; never, for some
    ready_s: float
    trained_s: float  # when training ends, or no longer gets on
    lifetime_s: float
    ignored: int = 0  # so many more requests to end it are answered "done" and do nothing
    brakes: frozenset[int] = frozenset({1, 2})
    fails_s: float = FOR_EVER_S
    taken_s: float = FOR_EVER_S
    stopped_s: float = FOR_EVER_S
    completes: bool = True
    whose: str = "ours"
    extra: bool = False
    renewed_s: float = -FOR_EVER_S
    keep_s: float = LEASE_S  # how long its node waits with what a run that has ended left
    stopping_s: float = FOR_EVER_S  # when its trainer was asked to stop and save
    saved_s: float = FOR_EVER_S  # when that is done, and fetched
    ended_s: float = FOR_EVER_S
    ended_by: str = ""
    asked_to_end: int = 0  # while it lived
    wanted_until_s: float = FOR_EVER_S
    node_asks_s: float = field(default=-FOR_EVER_S)
    node_asked: int = 0
    let_go_s: float = FOR_EVER_S  # when its owner told its node that it has everything

    def settle(self, now_s: float) -> None:
        """Let everything that the node and the provider do by themselves happen, up to now."""
        while self.ended_s == FOR_EVER_S:
            at_s = self.taken_s
            if self.brakes and now_s >= self.running_s:
                at_s = min(at_s, self._node_s(now_s))
            if at_s > now_s:
                return
            if at_s == self.taken_s:
                self.ended_s, self.ended_by = at_s, "provider"
            elif self.ignored > 0:
                self.ignored -= 1
                self.node_asked += 1
                self.node_asks_s = at_s + min(NODE_AGAIN_S, 0.5 * 2.0**self.node_asked)
            else:
                self.ended_s, self.ended_by = at_s, "node"

    def _node_s(self, now_s: float) -> float:
        """When its node, which runs, next asks for its own end, if that is before now."""
        at_s = FOR_EVER_S
        if 1 in self.brakes:
            heard_s = max(self.running_s, self.renewed_s, min(now_s, self.trained_s))
            at_s = min(heard_s + (self.keep_s if self.has_ended(now_s) else LEASE_S), self.let_go_s)
        if 2 in self.brakes:
            at_s = min(at_s, self.running_s + self.lifetime_s)
        return max(at_s, self.node_asks_s)

    def has_ended(self, now_s: float) -> bool:
        """Whether its run has ended, so that its files wait to be fetched."""
        return now_s >= self.saved_s or (self.completes and now_s >= self.trained_s)

    def stop_and_save(self, now_s: float, save_s: float) -> None:
        """Its trainer is asked to; one that is frozen does not hear it."""
        self.stopping_s = now_s
        if self.completes or now_s < self.trained_s:
            self.trained_s, self.completes, self.saved_s = min(self.trained_s, now_s), False, now_s + save_s

    def price_at(self, at_s: float) -> Decimal:
        """Dollars an hour."""
        if len(self.prices) == 1:
            return self.prices[0][1]
        return [usd for since, usd in self.prices if since <= at_s][-1]

    def invoice_usd(self, until_s: float) -> Decimal:
        """What it cost, second by second, counted apart from the product's ledger."""
        end_s = min(self.ended_s, until_s, self.stopped_s)
        usd = Decimal(0)
        for number, (since, price) in enumerate(self.prices):
            until = self.prices[number + 1][0] if number + 1 < len(self.prices) else FOR_EVER_S
            usd += price * Decimal(max(0.0, min(end_s, until) - since)) / 3600
        return usd
