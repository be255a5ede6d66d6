"""What a provider's reply makes of a record, and which attempt follows one that has ended. Pure."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from peft_studio.core.errors import (
    Forbidden,
    NotAuthorised,
    NotFound,
    Offline,
    RateLimited,
    Refused,
    SoldOut,
    Untrusted,
)
from peft_studio.core.ports.rental import Instance
from peft_studio.core.services.rent.decide import leave
from peft_studio.core.services.rent.label import NEVER_S, build_label
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.notice import RANKS
from peft_studio.core.services.rent.record import AGAIN, Done, Intent, Record, Why

AFTER_REFUSAL_S = 30.0  # once every offer had its turn, the next round waits a little
LONGEST_TROUBLE = 500
SURELY_NOT = (Refused, NotAuthorised, Forbidden, NotFound, RateLimited, Untrusted, Offline)
"""Answers after which nothing was made. A connector that is late or broken is none of them, whatever its error says."""


def after_create(done: Done, reply: Instance | Exception, now: Moment) -> Done:
    """Its one create has come back, or has not. Only where the provider surely made nothing is there no doubt."""
    if isinstance(reply, Instance):
        made = replace(done, made="made", instance_id=reply.id, doubt_at=now, moved_at=now, trouble="", trouble_at=None)
        return replace(made, rank=RANKS.get(reply.state, 0), usd_per_hour=reply.usd_per_hour)
    done = say_trouble(done, str(reply), now)
    if isinstance(reply, SoldOut):
        return leave(replace(done, made="refused"), "sold-out", now)
    if isinstance(reply, SURELY_NOT) and not getattr(reply, "may_have_happened", False):
        why: Why = "rate-limited" if isinstance(reply, RateLimited) else "refused"
        retry_s = getattr(reply, "retry_after_s", None) or 0.0
        return leave(replace(done, made="refused", retry_s=retry_s), why, now)
    return replace(done, doubt_at=now)


def say_trouble(done: Done, text: str, now: Moment) -> Done:
    """``done`` with what stands in the way; since when is kept while it is the same. An empty text: nothing does any more."""
    text = text[:LONGEST_TROUBLE]
    if text == done.trouble:
        return done
    return replace(done, trouble=text, trouble_at=(done.trouble_at or now) if text else None)


def follow_up(record: Record, now: Moment, *, home: str, left_usd: Decimal | None) -> Intent | None:
    """The attempt after one that has ended and is proven gone; None where the run is not to go on by itself."""
    intent, why = record.intent, record.done.leaving
    lost_its_turn = record.in_line and why == "preempted"  # it had not failed: it is put in line again
    failed = 0 if record.wish.ready else intent.failed_before + (not lost_its_turn)
    if why not in AGAIN or not intent.offers or failed >= intent.most_failed or record.wish.end is not None:
        return None
    if record.done.saving is not None:
        return None  # its run was being stopped: whoever lost its machine just then buys no other one
    same = why == "rate-limited"
    offers = intent.offers if same else (*intent.offers[1:], intent.offers[0])
    wait_s = record.done.retry_s if same else 0.0
    if failed >= len(offers):
        wait_s = max(wait_s, AFTER_REFUSAL_S)
    return build_intent(
        replace(
            intent, offers=offers, provider=offers[0].provider, attempt=intent.attempt + 1, at=now,
            failed_before=failed, not_before=now.later(wait_s) if wait_s else None,
        ),
        home=home, left_usd=left_usd,
    )  # fmt: skip


def build_intent(draft: Intent, *, home: str, left_usd: Decimal | None) -> Intent:
    """A draft with its label, and with a life no longer than the budget pays for: so the machine itself keeps to the cap, too."""
    wanted_s = lifetime_s = draft.wanted_life_s
    price = draft.offer.usd_per_hour if draft.offer else Decimal(0)
    if left_usd is not None and price > 0:
        lifetime_s = min(lifetime_s, float(max(left_usd, Decimal(0)) / price * 3600))
    waits = draft.offer is not None and draft.offer.queues
    ends_at_s = NEVER_S if waits else draft.at.wall_s + lifetime_s
    label = build_label(home, draft.run_id, draft.attempt, ends_at_s=ends_at_s)
    return replace(draft, label=label, lifetime_s=lifetime_s, asked_life_s=wanted_s)
