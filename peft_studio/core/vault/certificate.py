"""A certificate for one machine, made at home before the machine is: whoever connects to it trusts this one and nothing else.

No authority is asked, so no name has to be known: the machine gets the key as a secret, and its owner keeps the certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from peft_studio.core.redact import Secret

NAME = "node.peft-studio.invalid"
EARLIER = timedelta(
    days=30
)  # no step of a clock, here or there, may shut the owner out: it is trusted by its bytes, not by its dates


@dataclass(frozen=True, slots=True)
class MachineCertificate:
    """``certificate`` is PEM, for the owner; ``key`` is PEM of key and certificate, for the machine."""

    certificate: str
    key: Secret


def make_certificate(*, valid_s: float) -> MachineCertificate:
    """A key (P-256) and its certificate, good for so long and for signing nothing else."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - EARLIER, now + timedelta(seconds=valid_s)
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate = made.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return MachineCertificate(certificate, Secret(private + certificate))
