"""Which platforms are connected: keys are proved by a real call and kept in the vault; what that call said is kept beside the home.

The file of connections holds names, accounts and addresses. No key is ever in it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from peft_studio.core.errors import StudioError, VaultError
from peft_studio.core.ports.catalog import Catalog
from peft_studio.core.ports.platform import Account, Connector, ConnectorInfo, KeyField, Keys, Role, Value
from peft_studio.core.redact import Secret
from peft_studio.core.services.connection_list import Connection, ConnectionList, State
from peft_studio.core.services.given_keys import read_given
from peft_studio.core.system import locked, write_private
from peft_studio.core.vault import Vault

FILE = "connections.json"
CONNECT_S = 25.0
OWN_NAME = frozenset({"token", "key"})  # kept under the platform's own name
ELSEWHERE = "Its key was kept in another process alone, or was removed."


class Record(Value):
    """What is known of a connection. ``secrets``: names of the fields whose values are in the vault; ``settings``: the other values."""

    account: Account
    secrets: tuple[str, ...] = ()
    settings: Mapping[str, str] = {}


class Connections:
    """The connections of one home. Several processes may share it.

    Args:
        forget: Told the name of a platform whose account is another one, or none, from now on.
    """

    def __init__(
        self, home: Path, vault: Vault, catalog: Catalog, *, forget: Callable[[str], None] = lambda name: None
    ) -> None:
        self._path = home / FILE
        self._vault = vault
        self._catalog = catalog
        self._lock = threading.Lock()
        self._attached: set[str] = set()
        self._forget = forget

    def connect(self, name: str, given: Mapping[str, Secret], *, keep: bool = True) -> Connection:
        """Prove keys with a real call, then keep them. A failure leaves what was connected before as it was.

        Args:
            given: Values by the names of the platform's fields.
            keep: False keeps secrets in this process alone.

        Raises:
            StudioError: No such platform, it is disabled, or a value is missing or not one of its fields.
            NotAuthorised: The key is another platform's by its looks, and was not sent; or the platform does not know it.
            ConnectorError: The call failed otherwise. VaultError: The key is good and cannot be kept.
        """
        info = self._enabled(name)
        values = read_given(info, given)
        before = self._read().get(name)
        self._catalog.attach(name, values.keys)
        try:
            account = self._catalog.start(name, Account, _connect, deadline_s=CONNECT_S).result()
            for field in info.keys:
                if field.secret and field.name in values.secrets:
                    self._vault.set(vault_name(info, field), values.secrets[field.name], keep=keep)
                elif field.secret:
                    self._vault.remove(vault_name(info, field))
        except StudioError:
            self._catalog.attach(name, self._find_keys(info, before) if before else {})
            raise
        record = Record(account=account, secrets=tuple(values.secrets), settings=dict(values.settings))
        self._write(name, record)
        self._attached.add(name)
        if _account_of(before) != _account_of(record):
            self._forget(name)
        return self._connection(info, record)

    def disconnect(self, name: str) -> None:
        """Forget a platform's keys and account. One that is not connected is disconnected already."""
        info = self._catalog.get_info(name)
        for field in info.keys:
            if field.secret:
                self._vault.remove(vault_name(info, field))
        self._catalog.attach(name, {})
        self._write(name, None)
        self._forget(name)

    def account_of(self, name: str) -> str:
        """The account whose key is sent to a platform; empty while none is."""
        return _account_of(self._read().get(name))

    def list_all(self, *, check: bool = False) -> ConnectionList:
        """One row a platform. With ``check`` those that are connected are asked again, all at once."""
        records, infos = self._read(), self._catalog.list_infos()
        failed = self._check(records) if check else {}
        rows = [self._connection(info, records.get(info.name), failed.get(info.name, "")) for info in infos]
        rows += [Connection.of_refused(name, error.message) for name, error in sorted(self._catalog.refused.items())]
        return ConnectionList(rows, notes=[str(self._vault.tier)])

    def check(self, name: str) -> Connection:
        """Ask one platform again with what is kept for it. Raises as :meth:`connect` does, and where it is not connected."""
        info, record = self._enabled(name), self._read().get(name)
        if record is None:
            raise StudioError(f"{info.title} is not connected.", hint=f"studio.connect({name!r}) connects it.")
        self.make_ready(name)
        pending = self._catalog.start(name, Account, _connect, deadline_s=CONNECT_S)
        record = record.model_copy(update={"account": pending.result()})
        self._write(name, record)
        return self._connection(info, record)

    def list_ready(self, role: Role) -> list[str]:
        """Names of the platforms of a role that can be asked now: those that are connected; while none is, those that need no key."""
        infos, records = self._catalog.list_infos(role), self._read()
        connected = [info.name for info in infos if info.name in records]
        return connected or [info.name for info in infos if not any(field.required for field in info.keys)]

    def has_secret(self, name: str) -> bool:
        """Whether a platform was connected with a key, in any process."""
        record = self._read().get(name)
        return record is not None and bool(record.secrets)

    def make_ready(self, name: str) -> None:
        """See to it that calls to a platform are made with the keys that are kept for it.

        Raises:
            StudioError: It is disabled. VaultError: Its keys cannot be read now, or another process alone has them.
        """
        info = self._enabled(name)
        with self._lock:
            if name in self._attached:
                return
            if record := self._read().get(name):
                self._catalog.attach(name, self._find_all_keys(info, record))
            self._attached.add(name)

    def read_keys(self, name: str) -> Keys:
        """What is kept for a platform: for a process of this home that cannot open the vault itself.

        Raises:
            VaultError: It cannot be read now, or another process alone has it.
        """
        record = self._read().get(name)
        return self._find_all_keys(self._catalog.get_info(name), record) if record else {}

    def hold(self, name: str, keys: Keys) -> None:
        """Make calls to a platform with these keys, whatever the vault says."""
        with self._lock:
            self._catalog.attach(name, keys)
            self._attached.add(name)

    def _check(self, records: dict[str, Record]) -> dict[str, str]:
        """Ask every connected platform again, and say of those that fail why."""
        asked, failed = {}, {}
        for name in [info.name for info in self._catalog.list_infos() if info.name in records]:
            try:
                self.make_ready(name)
            except VaultError as exc:
                failed[name] = exc.message
            else:
                asked[name] = self._catalog.start(name, Account, _connect, deadline_s=CONNECT_S)
        for name, pending in asked.items():
            try:
                records[name] = records[name].model_copy(update={"account": pending.result()})
            except StudioError as exc:
                failed[name] = exc.message
            else:
                self._write(name, records[name])
        return failed

    def _connection(self, info: ConnectorInfo, record: Record | None, failed: str = "") -> Connection:
        why_not = failed or self._catalog.health(info.name).reason
        if record is None:
            return Connection(info.name, info.title, tuple(info.roles), "not connected", why_not=why_not)
        state: State = "failed" if why_not else "connected"
        try:
            if len(self._find_keys(info, record)) < len(record.secrets) + len(record.settings):
                why_not, state = ELSEWHERE, "not connected"
        except VaultError as exc:
            why_not, state = exc.message, "failed"
        return Connection(info.name, info.title, tuple(info.roles), state, account=record.account, why_not=why_not)

    def _enabled(self, name: str) -> ConnectorInfo:
        info = self._catalog.get_info(name)
        if not self._catalog.is_enabled(name):
            raise StudioError(
                f"{info.title} is disabled.",
                hint=f"studio.enable({name!r}) brings it back, unless PEFT_STUDIO_CONNECTORS leaves it out.",
            )
        return info

    def _find_keys(self, info: ConnectorInfo, record: Record) -> Keys:
        secrets = {f.name: self._vault.get(vault_name(info, f)) for f in info.keys if f.name in record.secrets}
        known = {name: secret for name, secret in secrets.items() if secret is not None}
        return {**known, **{name: Secret(value) for name, value in record.settings.items()}}

    def _find_all_keys(self, info: ConnectorInfo, record: Record) -> Keys:
        keys = self._find_keys(info, record)
        if any(field.required and field.name not in keys for field in info.keys):
            raise VaultError(f"{info.title}: {ELSEWHERE}", hint=f"studio.connect({info.name!r}) connects it again.")
        return keys

    def _read(self) -> dict[str, Record]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return {name: Record.model_validate(record) for name, record in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as exc:  # pydantic's ValidationError is a ValueError
            raise StudioError(
                f"{self._path} cannot be read.", hint="Delete it and connect again; the keys are not in it."
            ) from exc

    def _write(self, name: str, record: Record | None) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._path.with_name(".connections.lock")):
            records = self._read()
            records.pop(name, None)
            if record is not None:
                records[name] = record
            shown = {name: one.model_dump(mode="json") for name, one in sorted(records.items())}
            write_private(self._path, json.dumps(shown, indent=1) + "\n")


def _account_of(record: Record | None) -> str:
    return record.account.name if record and record.secrets else ""


def vault_name(info: ConnectorInfo, field: KeyField) -> str:
    """What the vault calls a platform's key: by the platform, and by the field where it is not simply its key or token."""
    return info.name if field.name in OWN_NAME else f"{info.name}.{field.name.replace('_', '-')}"


def _connect(connector: Connector) -> Account:
    return connector.connect()
