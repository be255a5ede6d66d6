"""Ollama's daemon on loopback: state and routes that its own Python client accepts (tried with 0.6)."""

from tests.emulators.ollama.server import Daemon, Local, serve_ollama

__all__ = ["Daemon", "Local", "serve_ollama"]
