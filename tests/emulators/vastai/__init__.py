"""Vast.ai on loopback: state and routes after its own OpenAPI file and client (August 2026); its machines are real processes."""

from tests.emulators.vastai.routes import serve_vast
from tests.emulators.vastai.state import Ask, Market

__all__ = ["Ask", "Market", "serve_vast"]
