"""What takes time behind the Train panel: deriving a draft for a new model or data, and checking the draft. Never on the feed's thread."""

from __future__ import annotations

from typing import Any

from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.device import find_device
from peft_studio.core.models import list_known
from peft_studio.core.services.basis import build_basis
from peft_studio.core.services.device_speed import ensure_speed
from peft_studio.core.session import Choice
from peft_studio.widgets._host import Host
from peft_studio.widgets._newest import Newest
from peft_studio.widgets._text import plain

_SETTLED_S = 0.3  # a burst of changes is checked once, after it


class TrainWork:
    """Follows the session. ``doing`` is what deriving is at, in words; ``machine`` and ``known`` are learnt on the way."""

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self.deriving: Newest[None] = Newest("train-draft")
        self.checking: Newest[Any] = Newest("train-check", wait_s=_SETTLED_S)
        self.quoting: Newest[Any] = Newest("train-quote")
        self.measuring: Newest[Any] = Newest("train-speed")
        self.doing, self.machine = "", ""
        self.known = list_known(studio.home)

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return any(one.busy for one in (self.deriving, self.checking, self.quoting, self.measuring))

    @property
    def mark(self) -> tuple[Any, ...]:
        """Changes whenever there is something new to show."""
        return self.deriving.version, self.checking.version, self.quoting.version, self.measuring.version, self.doing

    def follow(self, now: Choice, *, again: bool = False) -> None:
        """See to it that the draft is one of the chosen model and data, and that it has been checked."""
        if is_current(now):
            self.deriving.forget()
            self.checking.ask((now.draft, now.data), lambda: self._check(now), again=again)
            assert now.draft is not None
            self._follow_quote(now.draft, again=again)
        elif now.model and now.data:
            chosen = now.draft.chosen_values if now.draft else {}
            self.deriving.ask((now.model, now.data.ref, chosen), lambda: self._derive(now, chosen), again=again)

    def _follow_quote(self, draft: ExplainedSpec, *, again: bool) -> None:
        """Quote with what is known at once; where this machine's speed is not, have it measured and quote again."""
        measured = self.measuring.answer is not None
        self.quoting.ask((draft, measured), lambda: self._studio.quote(draft, measure=False), again=again)
        quote = self.quoting.value
        if quote is not None and quote.memory is not None and quote.duration is None:
            self.measuring.ask("this machine", lambda: ensure_speed(self._studio.home))

    def _check(self, now: Choice) -> Any:
        assert now.draft is not None
        device = find_device()
        self.machine = device.name
        return self._studio.check(now.draft)

    def _derive(self, before: Choice, chosen: dict[str, Any]) -> None:
        """As ``studio.spec``, but telling how far it is, and dropped when somebody has chosen otherwise meanwhile."""
        assert before.model
        assert before.data
        folder = self._studio.prepare(before.model, progress=self._say)
        self._say("measuring the rows")
        basis = build_basis(before.data, folder, **chosen)
        draft = ExplainedSpec.derive(model=before.model, data=before.data.ref, basis=basis, **chosen)
        self.known = list_known(self._studio.home)
        self._studio.session.choose_if(before, draft=draft)

    def _say(self, words: str) -> None:
        self.doing = plain(words, limit=200)


def is_current(now: Choice) -> bool:
    """Whether the draft is one of the chosen model and data."""
    return bool(now.draft and now.data and now.draft.model == now.model and now.draft.data == now.data.ref)
