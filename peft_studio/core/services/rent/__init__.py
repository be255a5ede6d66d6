"""Renting machines: what is bought, what runs there, and that it ends."""
