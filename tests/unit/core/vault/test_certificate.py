"""A machine's certificate: its own authority and nobody else's, good for its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509

from peft_studio.core.vault.certificate import make_certificate


def test_it_vouches_for_one_machine_and_signs_nothing() -> None:
    """Not an authority; valid from a month ago, for clocks that are late, to the end that was asked for; its key does not print."""
    made = make_certificate(valid_s=3600)
    found = x509.load_pem_x509_certificate(made.certificate.encode())
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert found.not_valid_before_utc < datetime.now(UTC) - timedelta(days=29)
    assert timedelta(minutes=55) < found.not_valid_after_utc - datetime.now(UTC) < timedelta(minutes=65)
    assert "PRIVATE KEY" not in repr(made)
    assert made.key.reveal().endswith(made.certificate)
