"""Work without the network: whether there is one, what was fetched before and how old it is, what waits to be sent.

Knows no HTTP: senders, probes and fetchers are passed in.
"""
