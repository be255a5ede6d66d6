"""The process that looks after a home's rented machines, with or without a notebook: a keeper a provider, and who follows the runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from peft_studio.core.errors import RentError
from peft_studio.core.services.rent.followers import Followers
from peft_studio.core.services.rent.keeper import Keeper
from peft_studio.core.services.rent.store import Store
from peft_studio.core.system import try_lock

TURN_S = 0.5
TAKEOVER = "takeover"


def watch(
    folder: Path, store: Store, *, keeper_of: Callable[[str], Keeper], followers: Followers, linger_s: float = 5.0
) -> bool:
    """Look after machines until none is left and all is home. Returns False where another process does.

    A process with newer keys takes over: it leaves a note, and whoever watches lets go.

    Args:
        folder: Where the lock stands.
        linger_s: How long nothing may be left to do before it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / TAKEOVER
    with (folder / "watch.lock").open("a+b") as lock:
        mine = str(time.monotonic_ns())
        note.write_text(mine, encoding="ascii")
        while not try_lock(lock):
            if note.read_text(encoding="ascii") != mine:
                return False
            time.sleep(0.1)
        threads: dict[str, threading.Thread] = {}
        over = threading.Event()
        idle_since = time.monotonic()
        while note.read_text(encoding="ascii") == mine:
            try:
                providers = {record.intent.provider for record in store.list_open()}
                followers.turn()
            except RentError:  # a disk that does not answer ends nothing
                time.sleep(TURN_S)
                continue
            for provider in providers - threads.keys():
                threads[provider] = threading.Thread(
                    target=_keep, args=(keeper_of(provider), over), name=provider, daemon=True
                )
                threads[provider].start()
            if providers or followers.busy():
                idle_since = time.monotonic()
            if time.monotonic() - idle_since > linger_s:
                break
            time.sleep(TURN_S)
        over.set()
        followers.close()
        for thread in threads.values():
            thread.join(5)
    return True


def _keep(keeper: Keeper, over: threading.Event) -> None:
    while not over.is_set():
        over.wait(keeper.turn())
