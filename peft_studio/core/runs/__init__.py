"""A run as it stands on disk: its folder, its event log, its metrics, the state folded from them, and the index over all runs."""
