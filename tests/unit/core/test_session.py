"""The session: values that any thread may replace."""

from __future__ import annotations

import threading

from peft_studio.core.session import Session


def test_choose_if_respects_what_came_between() -> None:
    """A change worked out from an older choice of model, data or draft is dropped; other changes do not matter."""
    session = Session()
    before = session.choose(model="a")
    session.choose(panel="run", run_id="r-1")
    assert session.choose_if(before, model="b")
    assert session.now.panel == "run"
    assert not session.choose_if(before, model="c")
    assert session.now.model == "b"


def test_of_many_at_once_one_wins() -> None:
    """Threads that all start from one moment: exactly one change is made."""
    session = Session()
    before, made = session.now, []
    gate = threading.Barrier(8)

    def change(number: int) -> None:
        gate.wait()
        if session.choose_if(before, model=str(number)):
            made.append(str(number))

    threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [session.now.model]
