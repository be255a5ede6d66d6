"""The Chat panel: a base model and its adapters answer one prompt side by side.

Owns the conversation and who is asked. The models live in a process of their own (``_chat_line``).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any

from peft_studio.core.errors import ChatError, StudioError
from peft_studio.core.models.prepared import settle_name
from peft_studio.widgets._chat_choice import Choice, Slot, parse_setting
from peft_studio.widgets._chat_line import Line
from peft_studio.widgets._chat_turns import TURNS, Answer, TextStream, Turn, build_prompt
from peft_studio.widgets._chat_view import build_code, build_snapshot, model_title, view_process, view_setup, view_turns
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._feed import ERRORS
from peft_studio.widgets._host import Host
from peft_studio.widgets._text import plain

_ANSWERING_S = 0.1
_ATTENDED_S = 0.3  # while somebody types: a first piece must not wait
_QUIET_S = 1.0
_ATTENTION_S = 60.0  # for how long after the last click or key somebody is taken to be there
_LONGEST = 200_000  # characters of a prompt


class ChatContent(Content):
    """What the Chat panel shows. Lets go of its process when it is closed."""

    module = "chat"

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._lock = threading.RLock()  # over the choice and the list of turns; never held while a model works
        self._choice = Choice(studio)
        self._line = Line(lambda model: studio.chat(model))
        self._turns: deque[Turn] = deque(maxlen=TURNS)
        self._texts = TextStream()
        self._numbers = count(1)
        self._busy: Turn | None = None
        self._settings: dict[str, Any] = {
            "max_new_tokens": 256, "temperature": 0.0, "top_p": 1.0, "seed": None, "remember": False,
        }  # fmt: skip
        self._draft = ""
        self._attended_at = -_ATTENTION_S

    def __repr__(self) -> str:
        model = self._choice.model
        return f"ChatPanel({model_title(model)!r})" if model else "ChatPanel()"

    def sections(self) -> dict[str, Any]:
        """Choice, process, conversation, settings and code."""
        with self._lock:
            if self._busy is None and self._choice.follow():  # not under an answer: it ends with the base it began with
                self._let_go()
            attended = time.monotonic() - self._attended_at < _ATTENTION_S
            self.interval_s = _ANSWERING_S if self._busy else _ATTENDED_S if attended else _QUIET_S
            return {
                "setup": view_setup(self._choice),
                "process": view_process(self._line),
                "turns": view_turns(self._turns),
                "busy": None if self._busy is None else "stopping" if self._line.stopping.is_set() else "answering",
                "settings": dict(self._settings),
                "draft": self._draft,
                "code": build_code(
                    self._studio.home, self._choice, self._settings, self._turns[-1] if self._turns else None
                ),
            }

    def streams(self, *, full: bool) -> tuple[dict[str, Any], list[bytes]]:
        """What answers have grown by."""
        with self._lock:
            answers = [answer for turn in self._turns for answer in turn.answers]
        grown = self._texts.read(answers, full=full)
        return ({"texts": grown} if grown or full else {}), []

    def snapshot_html(self) -> str:
        """The last prompt and its answers."""
        with self._lock:
            return build_snapshot(self._turns[-1] if self._turns else None)

    def close(self) -> None:
        """End the chat process."""
        self._line.close()

    # -- who is asked -----------------------------------------------------------------------------------------------

    @command
    def choose_model(self, model: str) -> str:
        """Chat with another base. The old one's memory is freed."""
        with self._lock:
            self._refuse_while_busy()
            if not model.strip():
                raise ChatError("No base model is named.", hint="Give a hub id, a folder or an embedded model's name.")
            name = settle_name(model.strip())
            self._studio.session.choose(model=name)
            return model_title(name)

    @command
    def add_run(self, run_id: str) -> None:
        """Have the adapter of a run answer."""
        with self._lock:
            self._choice.add_run(run_id)

    @command
    def add_folder(self, path: str, same_base: bool = False) -> str:
        """Have the adapter of a folder answer; refused with the reason when it is one of another base.

        ``same_base``: the person says that it is not.
        """
        slot = self._choice.check_folder(Path(path.strip()).expanduser().absolute(), same_base=same_base)
        with self._lock:
            self._choice.add(slot)
        return plain(slot.title)

    @command
    def ask_slot(self, number: int, on: bool) -> None:
        """Ask this one, or leave it out."""
        with self._lock:
            for slot in self._choice.slots:
                if slot.number == number:
                    slot.on = on

    @command
    def set_option(self, name: str, value: Any) -> None:
        """Change how answers are made, from the next prompt on."""
        if name not in self._settings:
            raise StudioError(f"There is no setting {name!r}.", hint="Run the cell again.")
        self._settings = {**self._settings, name: parse_setting(name, value)}

    # -- the conversation ---------------------------------------------------------------------------------------------

    @command
    def keep(self, draft: str) -> None:
        """Keep what is being typed, for a page that is loaded again."""
        self._draft, self._attended_at = draft[:_LONGEST], time.monotonic()

    @command
    def send(self, prompt: str) -> int:
        """Ask everybody chosen, one after the other. Returns at once, with the turn's number."""
        with self._lock:
            self._refuse_while_busy()
            model, slots = self._choice.model, [slot for slot in self._choice.slots if slot.on]
            if not prompt.strip():
                raise ChatError("The prompt is empty.", hint="Write something first.")
            if len(prompt) > _LONGEST:
                raise ChatError(f"The prompt has {len(prompt):,} characters.", hint=f"Send at most {_LONGEST:,}.")
            if model is None or not slots:
                missing = "No base model is chosen." if model is None else "Nobody is chosen to answer."
                raise ChatError(missing, hint="Choose one above." if model is None else "Tick one below the prompt.")
            turn = self._build_turn(prompt, model, slots)
            self._turns.append(turn)
            self._busy, self._draft, self._attended_at = turn, "", time.monotonic()
            self._line.stopping.clear()
        # Not on the command's own thread: the page waits for no command longer than a minute, and a base may take that to load.
        threading.Thread(target=self._answer, args=(turn, slots), name="peft-studio-chat", daemon=True).start()
        return turn.number

    @command
    def stop(self) -> None:
        """End the answer that is being written, and ask nobody else."""
        self._line.stop()

    @command
    def clear(self) -> None:
        """Begin a new conversation; what is loaded stays loaded."""
        with self._lock:
            self._refuse_while_busy()
            self._turns.clear()

    @command
    def free(self) -> None:
        """End the chat process; the next prompt loads the base again."""
        with self._lock:
            self._refuse_while_busy()
        self._line.let_go()

    def _refuse_while_busy(self) -> None:
        if self._busy is not None:
            raise ChatError("An answer is still being written.", hint="Wait for its end, or stop it.")

    def _let_go(self) -> None:
        """Free the old base's memory. Ending a process takes seconds, and panels must not wait for it."""
        if chat := self._line.take():
            threading.Thread(target=chat.close, name="peft-studio-chat", daemon=True).start()

    def _build_turn(self, prompt: str, model: str, slots: list[Slot]) -> Turn:
        options = {name: value for name, value in self._settings.items() if name != "remember"}
        turn = Turn(next(self._numbers), prompt, model, options)
        earlier = list(self._turns) if self._settings["remember"] else []
        for slot in slots:
            sent = build_prompt(earlier, prompt, model=model, key=slot.key)
            turn.answers.append(Answer(next(self._numbers), slot.number, slot.key, slot.name, slot.title, sent))
        return turn

    def _answer(self, turn: Turn, slots: list[Slot]) -> None:
        """Load what is not loaded and let each answer; what goes wrong is shown where it happened."""
        try:
            self._line.open(turn.model)
            self._line.retain({slot.name for slot in self._choice.slots})
            for answer, slot in zip(turn.answers, slots, strict=True):
                if not self._line.stopping.is_set():
                    self._answer_one(turn, answer, slot)
        except StudioError as exc:
            ERRORS.append(exc)
            turn.end(exc)
        finally:  # also when something unforeseen ends this thread: the panel must be of use again
            turn.end()
            with self._lock:
                self._busy = None
                self.picture_due = True

    def _answer_one(self, turn: Turn, answer: Answer, slot: Slot) -> None:
        try:
            path = self._choice.find_path(slot)
            if answer.name is not None and path is not None:
                answer.state = "attaching"
                slot.doubt = self._line.attach(answer.name, path, same_base=slot.same_base) or slot.doubt
            self._line.ask(answer, turn.options)
        except StudioError as exc:
            answer.state = "failed"
            if self._line.state == "closed":  # the process has died: nobody else can answer either
                raise
            ERRORS.append(exc)
            answer.problem = exc
