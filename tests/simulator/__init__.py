"""A deterministic simulator of rented machines: one thread, a clock of its own, clouds that misbehave, nodes with their brakes, an auditor.

``python -m tests.simulator --launches 1000000`` runs many; ``python -m tests.simulator --seed 17`` replays one, and tells what happened.
"""
