"""Use cases: what a user does with runs, models and data, on top of the ports."""
