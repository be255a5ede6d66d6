"""One node's share of a run that several nodes train: gets the run's files, installs what training needs, starts its ranks, leaves nothing.

It travels as text beside ``job.py`` and is never imported here. Standard library only, Python 3.8 on. Whoever starts it reads the folder that
it made from standard output, puts the files there, and writes what is to be started as one line of JSON; closing the line ends it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

POLL_S = 0.2


def main() -> int:
    """Run until all ranks of this node have ended, or one went wrong; the exit status is that one's."""
    import job  # it lies beside this file there

    base = tempfile.mkdtemp(prefix="peft-studio-")
    job.guard(base)
    job.drop_secrets()
    print(base, flush=True)
    plan = json.loads(sys.stdin.readline())
    job.hold()
    run = os.path.join(base, "home", "runs", plan["run"])
    move_paths(os.path.join(run, "spec.json"), plan["base"], base)
    own = {"PS_DIR": base, "PYTHONPATH": os.path.join(base, "site"), "PEFT_STUDIO_HOME": os.path.join(base, "home")}
    environment = {**os.environ, **own, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run([sys.executable, "-m", "peft_studio.runner.node.install"], env=environment, cwd=base, check=True)
    with open(os.path.join(base, "python"), encoding="utf-8") as file:
        command = [file.read(), "-m", "peft_studio.runner", "train", run, *plan["arguments"]]
    ranks = [
        subprocess.Popen(command, env={**environment, **one}, cwd=run, stdin=subprocess.PIPE)
        for one in plan["environments"]
    ]
    while True:
        ended = [status for status in (rank.poll() for rank in ranks) if status is not None]
        if any(ended) or len(ended) == len(ranks):
            return next(filter(None, ended), 0)
        time.sleep(POLL_S)


def move_paths(spec: str, there: str, here: str) -> None:
    """Name this node's folder where the leader's stands."""
    with open(spec, encoding="utf-8") as file:
        text = file.read()
    with open(spec, "w", encoding="utf-8") as file:
        file.write(text.replace(there, here))


if __name__ == "__main__":
    sys.exit(main())
