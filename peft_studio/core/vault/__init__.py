"""Where keys are kept: sealed in a file that the system's keystore or a passphrase opens, or in this process alone."""

from peft_studio.core.redact import Secret
from peft_studio.core.vault.offered import Offered, find_offered, without_keys
from peft_studio.core.vault.tier import Tier
from peft_studio.core.vault.vault import Vault

__all__ = ["Offered", "Secret", "Tier", "Vault", "find_offered", "without_keys"]
