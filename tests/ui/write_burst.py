"""A run in a process of its own that, once told to, logs very many steps in a second: ``python write_burst.py FOLDER ROWS``.

It trains a little, waits for ``go`` in its folder, logs the rows evenly over one second (or as fast as it can), writes how
long that took to ``took.json``, and lives on until it is killed. The numbers follow a formula: fixtures, not results.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

from peft_studio.core.system import try_lock, write_private
from tests.ui.write_run import RunWriter, build_spec

SLICES = 100  # of the second


def main() -> None:
    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    writer = RunWriter(folder, build_spec(max_steps=rows, save_steps=10 * rows))
    with writer.folder.agent_lock.open("a+b") as lock:
        assert try_lock(lock), "another process writes this run"
        writer.begin(total=rows)
        writer.train(10)
        while not (folder / "go").exists():
            writer.folder.heartbeat.touch()
            time.sleep(0.02)
        began = time.monotonic()
        for step in range(11, rows + 1):
            loss = 0.4 + 2.0 * math.exp(-step * 5 / rows) + 0.1 * math.sin(step) + (3.0 if step == rows // 3 else 0.0)
            writer.rows.log(
                step, loss=loss, learning_rate=2e-4, grad_norm=1.0 + 0.5 * math.sin(step / 7), tokens=1180.0 * step
            )
            if step % (rows // SLICES) == 0:
                time.sleep(max(0.0, began + step / rows - time.monotonic()))
        write_private(folder / "took.json", json.dumps(time.monotonic() - began))
        while True:
            writer.folder.heartbeat.touch()
            time.sleep(0.2)


if __name__ == "__main__":
    main()
