"""What connectors share: the one place that speaks HTTP, and the client of our own agent."""
