"""Civitai's site on loopback: state and routes after the site's own source (August 2026)."""

from tests.emulators.civitai.server import Site, make_model, serve_civitai

__all__ = ["Site", "make_model", "serve_civitai"]
