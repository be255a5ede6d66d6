"""Command line of the worker processes; for PEFT Studio's own use.

agent RUN_FOLDER [--from-step N]     supervise one run
train RUN_FOLDER [--from-step N]     train; started by the agent
prepare MODEL --home HOME            bring a base model onto this machine
fetch-dataset ID --home HOME         bring a hub data set onto this machine
merge MODEL ADAPTER OUT              merge an adapter into its base
dry-run MODEL_FOLDER                 count what a step of the spec on standard input would hold in memory
chat                                 answer prompts on standard input
measure-speed                        how fast this machine trains
"""

from __future__ import annotations

import importlib
import sys

# Imported only when asked for: an agent must stay small, so it may never load torch.
COMMANDS = {
    "agent": "peft_studio.runner.agent.agent:agent_main",
    "train": "peft_studio.runner.trainer.main:train_main",
    "prepare": "peft_studio.runner.trainer.prepare:prepare_main",
    "fetch-dataset": "peft_studio.runner.trainer.prepare:fetch_dataset_main",
    "merge": "peft_studio.runner.trainer.merge:merge_main",
    "dry-run": "peft_studio.runner.trainer.dry_run:dry_run_main",
    "chat": "peft_studio.runner.trainer.chat:chat_main",
    "measure-speed": "peft_studio.runner.trainer.speed:measure_speed_main",
}
LOAD_TORCH = {"dry-run", "chat", "measure-speed"}  # at once; train does so where it can say what is wrong


def main(argv: list[str]) -> int:
    """Run one command and return its exit status."""
    if not argv or argv[0] not in COMMANDS:
        print(__doc__, file=sys.stderr)
        return 2
    if argv[0] in LOAD_TORCH:
        importlib.import_module("peft_studio.runner.trainer.late_compile").load_bitsandbytes()
    module, function = COMMANDS[argv[0]].split(":")
    status: int = getattr(importlib.import_module(module), function)(argv[1:])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
