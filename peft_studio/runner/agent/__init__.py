"""One agent per run: it starts the trainer, writes the event log, answers over the network, and never loads torch."""
