"""A platform that misbehaves on purpose: every path follows a plan, and the effects it had are counted."""

from tests.emulators.faulty.certificates import Authority
from tests.emulators.faulty.server import Faulty, Request, serve_faulty

__all__ = ["Authority", "Faulty", "Request", "serve_faulty"]
