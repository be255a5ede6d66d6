"""One folder a platform. A connector imports ``connectors.base`` and ``core``, never another connector."""
