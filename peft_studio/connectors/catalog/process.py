"""The kernel's side of one process of a connector: started, asked, watched, ended. It knows nothing of what is asked.

The process is a fresh interpreter and never a fork of the kernel. It has its own group, so that an interrupt in a terminal does not
reach it and its own children end with it; less right to the processors than the kernel; and a bound to its memory.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import IO, Any

import psutil

from peft_studio.connectors.catalog.crossing import read_frame, write_frame
from peft_studio.core.system import give_way, grouped, kill_group, outlive, tame

MEMORY_BYTES = 2 * 2**30  # connectors need 50 to 200 MB
START_S = 30.0  # for an interpreter to start on a busy machine; 0.3 s on an idle one
HUNG_S = 30.0  # with the interpreter held by one call; matters only when the kernel is not there to end it
LOOK_S = 0.1  # between two looks at a call: is it to be stopped, does it eat memory or time
TAME_S = 0.5  # of processor time for one thread, after which it is no question any more but a loop
END_S = 1.0  # for a process that is ending to be gone
GULP_BYTES = 1 << 16
PAUSE_S = 0.1  # after a gulp of what it prints: a flood is held back to 640 KiB a second, in its own process
Message = dict[str, Any]


class Gone(Exception):
    """The process ended before it answered; the text says how, as in "X " + text."""


class Process:
    """One process, on its way up as soon as this is made. ``say`` gets what it prints, in pieces; ``busy``: it may take its time."""

    def __init__(self, name: str, place: str, *, say: Callable[[str], None], busy: bool = False) -> None:
        self._owner, self._busy = os.getpid(), busy
        self._is_behind = False
        self._environment = dict(os.environ)
        self._popen: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-P", "-m", "peft_studio.connectors.catalog.hosted", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            **grouped(),
        )  # fmt: skip
        assert self._popen.stdin is not None  # they are pipes
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self._questions, self._answers, self._prints = self._popen.stdin, self._popen.stdout, self._popen.stderr
        self._why = ""
        self._up, self._gone = threading.Event(), threading.Event()
        self._lock, self._pipe = threading.Lock(), threading.Lock()
        self._boxes: dict[int, queue.SimpleQueue[Message | None]] = {}
        self._numbers = itertools.count(1)
        self._seen = psutil.Process(self._popen.pid)
        self._over = threading.Event()
        for work in (self._outlive, self._read, lambda: _drain(self._prints, say, self._gone)):
            threading.Thread(target=work, name=f"host-{name}", daemon=True).start()
        hello = {"name": name, "place": place, "path": sys.path, "memory_bytes": MEMORY_BYTES, "hung_s": HUNG_S}
        with contextlib.suppress(OSError):  # gone already: whoever asks is told
            self._send(hello)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._popen.pid

    def usable(self) -> bool:
        """Whether it can be asked: it lives, and it is ours, not our parent's before a fork."""
        return not self._why and not self._gone.is_set() and self._owner == os.getpid()

    def idle(self) -> bool:
        """Whether nothing is asked of it just now."""
        with self._lock:
            return not self._boxes

    def wait_ready(self) -> None:
        """Wait until it has started.

        Raises:
            Gone: It has not.
        """
        if not self._up.wait(START_S):
            self.end(f"did not start within {START_S:g} s")
        if self._gone.is_set() or self._why:
            raise self._ended()

    def step_back(self) -> None:
        """From now on the kernel and whoever else is at work comes first. What starts and imports has its turn like anybody."""
        if not self._is_behind:
            give_way(self._seen)
            self._is_behind = True

    def ask(
        self, message: Mapping[str, Any], *, tell: Callable[[Any], None], look: Callable[[], Message | None]
    ) -> Message:
        """Its answer. Meanwhile ``tell`` gets what it tells of itself, and ``look`` may give what else it is to be sent.

        Raises:
            Gone: It has ended.
        """
        box: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        with self._lock:
            number = next(self._numbers)
            self._boxes[number] = box
            if self._gone.is_set():
                box.put(None)
        try:
            self._send({"id": number, **message, **self._changed()})
            while (answer := self._next(box, number, look)) is not None:
                if "told" not in answer:
                    return answer
                tell(answer["told"])
            raise self._ended()
        except OSError:
            raise self._ended() from None
        finally:
            with self._lock:
                self._boxes.pop(number, None)

    def end(self, why: str) -> None:
        """End it at once, with all that it does and all that it started."""
        self._why = self._why or why
        if self._owner == os.getpid():
            kill_group(self._popen)

    def _next(
        self, box: queue.SimpleQueue[Message | None], number: int, look: Callable[[], Message | None]
    ) -> Message | None:
        while True:
            try:
                return box.get(timeout=LOOK_S)
            except queue.Empty:
                if more := look():
                    self._send({"id": number, **more})
                self._watch()

    def _watch(self) -> None:
        with contextlib.suppress(psutil.Error):
            if self._seen.memory_info().rss > MEMORY_BYTES:
                self.end(f"took more than {MEMORY_BYTES / 2**30:g} GiB of memory and was ended")
        if self._is_behind and not self._busy:
            tame(self._seen, after_s=TAME_S)

    def _changed(self) -> Message:
        """What is different in our environment since it was last told, as a variable set in a cell."""
        before, now = self._environment, dict(os.environ)
        self._environment = now
        changed = {name: now.get(name) for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
        return {"environment": changed} if changed else {}

    def _send(self, message: Message) -> None:
        with self._pipe:
            if self._questions.closed:
                raise BrokenPipeError
            write_frame(self._questions, message)

    def _read(self) -> None:
        try:
            while (message := read_frame(self._answers)) is not None:
                with self._lock:
                    box = self._boxes.get(message.get("id", -1))
                if box is not None:
                    box.put(message)
                self._up.set()
        except (ValueError, TypeError, RecursionError):
            self.end("sent what cannot be read and was ended")
        self._reap()
        with self._lock:
            self._gone.set()
            self._up.set()
            for box in self._boxes.values():
                box.put(None)
        with self._pipe, self._answers, contextlib.suppress(OSError):
            self._questions.close()

    def _outlive(self) -> None:
        """However it ends, also by itself: what it started goes with it, and lets go of the pipe for its answers."""
        outlive(self._popen)
        self._over.set()

    def _reap(self) -> None:
        """It has closed its answers, so it is ending; where it is not, it is ended."""
        if not self._over.wait(END_S):
            self.end("closed its answers and was ended")
            self._over.wait()
        self._popen.wait()

    def _ended(self) -> Gone:
        self._gone.wait(2 * END_S)
        return Gone(self._why or f"ended by itself, {_describe(self._popen.returncode)}")


def _describe(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None or code >= 0:
        return f"with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"by {signal.Signals(-code).name} ({signal.strsignal(-code)})"
    return f"by signal {-code}"


def _drain(file: IO[bytes], say: Callable[[str], None], gone: threading.Event) -> None:
    """Take what a process prints, and no more a second than anybody would read."""
    with file, contextlib.suppress(OSError):
        while piece := os.read(file.fileno(), GULP_BYTES):
            say(piece.decode("utf-8", "replace"))
            gone.wait(PAUSE_S)
    say("")
