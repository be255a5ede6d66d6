"""Brake 1 of a rented machine: when neither its owner nor its training gives a sign for long, the run is saved and the machine ends.

An owner who has everything says so (the door touches PS_DIR/over), and a machine that can end itself does, at once.

Signs are the owner's calls that change something (the door touches PS_DIR/lease), a new row of metrics, and a new event that is no
log line. A heartbeat is none: a frozen trainer has one, too. Time is counted by a clock that nobody can set. Standard library only,
Python 3.10 on. Needs neither the door nor the other brake; the boot script starts it again when it dies.

PS_LEASE_S     without a sign for so long: stop, save, end
PS_KEEP_S      the same once the run has ended: how long its files wait for the owner
PS_SAVE_S      how long saving may take
PS_LIFETIME_S  what brake 2 allows; the run is stopped and saved in time before: with nobody at home so early that its files wait as long
               as they shall, half the life at most
PS_END_CODE    end.py; its key comes on standard input
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

POLL_S = 0.5
END_AGAIN_S = 15.0


class Signs:
    """What can be seen of a run without asking anyone."""

    def __init__(self, base: Path, run: Path) -> None:
        self._base, self._run = base, run
        self._offset = self._events = 0
        self.has_ended = False
        self._owner, self._owner_at = -1, now_s()

    def owner_silent_s(self) -> float:
        """How long its owner has not called."""
        if (owner := self.of_owner()) != self._owner:
            self._owner, self._owner_at = owner, now_s()
        return now_s() - self._owner_at

    def of_owner(self) -> int:
        """Differs after each call of the owner."""
        found = _stat(self._base / "lease")
        return found.st_mtime_ns if found else 0

    def of_goodbye(self) -> bool:
        """Whether the owner has everything, and this machine can end itself. It cannot be unsaid."""
        return bool(os.environ.get("PS_ENDS_ITSELF")) and (self._base / "over").exists()

    def of_training(self) -> tuple[int, int]:
        """Differs after each step and each event."""
        with contextlib.suppress(OSError), (self._run / "events.jsonl").open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._take(line)
        found = _stat(self._run / "metrics")
        return found.st_size if found else 0, self._events

    def _take(self, line: bytes) -> None:
        with contextlib.suppress(ValueError):
            kind = json.loads(line).get("type")
            self._events += kind != "log"
            # A log that came with a resumed run has the ends of its earlier jobs, each before its new machine.
            self.has_ended = kind == "finished" or (self.has_ended and kind not in ("job_started", "machine"))


def watch(signs: Signs) -> str:
    """Return when the machine is to end, with the reason."""
    lease_s, keep_s = float(os.environ["PS_LEASE_S"]), float(os.environ["PS_KEEP_S"])
    life_s, save_s = float(os.environ["PS_LIFETIME_S"]), float(os.environ["PS_SAVE_S"])
    seen, at = (signs.of_owner(), signs.of_training()), now_s()
    while True:
        time.sleep(POLL_S)
        now = (signs.of_owner(), signs.of_training())
        if now != seen:
            seen, at = now, now_s()
        silent_s, limit_s = now_s() - at, keep_s if signs.has_ended else lease_s
        if signs.of_goodbye():
            return "its owner has everything"
        if silent_s >= limit_s:
            return f"neither owner nor training gave a sign for {silent_s:.0f} s"
        kept_s = min(keep_s, life_s / 2) if signs.owner_silent_s() >= lease_s else 0.0
        if not signs.has_ended and used_s() >= life_s - save_s - kept_s:
            return "its longest lifetime is nearly over"


def stop_and_save(run: Path, signs: Signs) -> None:
    """Ask the agent to stop and save, and give it time; one that is frozen gets no more than that."""
    deadline = now_s() + float(os.environ["PS_SAVE_S"])
    with contextlib.suppress(OSError, ValueError, KeyError):
        ask_to_stop(json.loads((run / "agent.json").read_text()))
    while now_s() < deadline and (run / "agent.json").exists() and not signs.has_ended:
        signs.of_training()
        time.sleep(0.1)
    signs.of_training()  # its last word may have come with its end


def ask_to_stop(agent: dict[str, str]) -> None:
    """Send the agent its one command: a WebSocket's opening and one masked frame (RFC 6455)."""
    with socket.create_connection((agent["host"], agent["port"]), timeout=5.0) as line:
        beyond = "after=999999999999&metrics=999999999999&system=999999999999"
        lines = (
            f"GET /stream?{beyond} HTTP/1.1", "Host: agent", f"Authorization: Bearer {agent['token']}", "Upgrade: websocket",
            "Connection: Upgrade", f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}", "Sec-WebSocket-Version: 13",
        )  # fmt: skip
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        command, mask, said = b'{"command": "stop", "save": true}', os.urandom(4), b""
        masked = bytes(byte ^ mask[number % 4] for number, byte in enumerate(command))
        line.sendall(bytes([0x81, 0x80 | len(command)]) + mask + masked)
        while b'"done"' not in said and b'"error"' not in said and (piece := line.recv(4096)):
            said += piece


def end(key: bytes, again: int) -> None:
    """Run end.py once more."""
    environment = {**os.environ, "PS_END_TRY": str(again)}
    command = [sys.executable, "-c", os.environ["PS_END_CODE"]]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(command, env=environment, input=key, timeout=120, check=False)


def now_s() -> float:
    """Seconds since the machine started, asleep or awake; no step of the clock changes them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def used_s() -> int:
    """What brake 2 has counted of the machine's life."""
    with contextlib.suppress(OSError, ValueError):
        return int((Path(os.environ["PS_DIR"]) / "used").read_text())
    return 0


def _stat(path: Path) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return path.stat()
    return None


def say(text: str) -> None:
    """Print a line; nobody may be listening any more."""
    with contextlib.suppress(OSError):
        print(f"brake 1: {text}", flush=True)


def main() -> None:
    """Watch; save; end, and again until the machine is gone, or its owner is back."""
    key = sys.stdin.buffer.read()
    base = Path(os.environ["PS_DIR"])
    run = base / "home" / "runs" / os.environ["PS_RUN"]
    signs = Signs(base, run)
    while True:
        say(f"{watch(signs)}. The run is stopped and saved, then this machine ends itself.")
        owner, again, had_ended = signs.of_owner(), 0, signs.has_ended
        if not signs.of_goodbye():
            stop_and_save(run, signs)
            if signs.has_ended and not had_ended:
                say(f"the run has ended; what it left waits {os.environ['PS_KEEP_S']} s for its owner.")
                continue
        while signs.of_owner() == owner or signs.of_goodbye():
            end(key, again)
            again += 1
            began = now_s()
            while (signs.of_owner() == owner or signs.of_goodbye()) and now_s() - began < min(
                END_AGAIN_S, 0.5 * 2**again
            ):
                time.sleep(POLL_S)
        say("its owner is back.")


if __name__ == "__main__":
    main()
