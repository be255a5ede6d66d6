"""A Hugging Face hub on loopback: state and routes that huggingface_hub's own client accepts (tried with 2.4)."""

from tests.emulators.hub.server import serve_hub
from tests.emulators.hub.state import Hub, Repo
from tests.emulators.hub.stored import Stored

__all__ = ["Hub", "Repo", "Stored", "serve_hub"]
