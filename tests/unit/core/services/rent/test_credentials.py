"""Token and certificate of a machine: new each time, good for each other, in the two shapes in which a script takes them."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

from peft_studio.core.services.rent.credentials import make_credentials


def test_key_and_certificate_belong_together(tmp_path: Path) -> None:
    """A server can be made of what the machine gets; no two machines get the same, and nothing of it prints."""
    made, other = make_credentials(lifetime_s=60, tls=True), make_credentials(lifetime_s=60, tls=True)
    assert made.certificate != other.certificate
    assert made.token != other.token
    assert made.key
    pem = base64.b64decode(made.key.reveal())
    (tmp_path / "pem").write_bytes(pem)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "pem")
    assert pem.decode().endswith(str(made.certificate))
    assert made.token.reveal() not in repr(made)


def test_the_file_says_what_the_environment_says() -> None:
    """A line each, a name and a value without spaces; behind a proxy or a tunnel there is no certificate."""
    made = make_credentials(lifetime_s=60, tls=True)
    lines = dict(line.split(" ") for line in made.file.reveal().splitlines())
    assert lines == {name: value.reveal() for name, value in made.environment.items()}
    assert set(lines) == {"PS_TOKEN", "PS_TLS"}
    plain = make_credentials(lifetime_s=60, tls=False)
    assert (plain.certificate, list(plain.environment)) == (None, ["PS_TOKEN"])
