"""What a run will need, before it is paid for: pure functions from shapes and a spec to numbers with their range and basis."""
