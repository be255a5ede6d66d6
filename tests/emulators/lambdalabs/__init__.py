"""Lambda's cloud on loopback: state and routes after its OpenAPI file 1.10.0; its machines are processes, each with a real sshd."""

from tests.emulators.lambdalabs.server import serve_lambda
from tests.emulators.lambdalabs.state import Cloud, Kind
from tests.emulators.lambdalabs.vm import SSHD

__all__ = ["SSHD", "Cloud", "Kind", "serve_lambda"]
