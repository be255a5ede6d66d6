"""What the outbox sends a push with. A push is known by its content, so sending it again where it has arrived changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from peft_studio.core.errors import (
    ConnectorError,
    Forbidden,
    NotAuthorised,
    NotFound,
    RateLimited,
    Refused,
    Unavailable,
)
from peft_studio.core.offline.entry import Entry
from peft_studio.core.offline.sender import SendLater, SendRefused
from peft_studio.core.ports.catalog import Catalog
from peft_studio.core.ports.registry import Upload
from peft_studio.core.services.publish.push import send
from peft_studio.core.services.publish.record import Publications
from peft_studio.core.services.publish.staged import drop_staged, staged_folder

FOR_GOOD = (NotAuthorised, Forbidden, NotFound, Refused)


class PushSender:
    """Sends the pushes of one home. Implements :class:`peft_studio.core.offline.sender.Sender`."""

    idempotent = True  # upload_artifact looks first, by digest, and repeats nothing that is there
    reads_back = False

    def __init__(self, home: Path, catalog: Catalog, make_ready: Callable[[str], None]) -> None:
        self._home, self._catalog, self._make_ready = home, catalog, make_ready
        self._record = Publications(home)

    def send(self, entry: Entry) -> str | None:
        """Publish it; gives the address."""
        try:
            to, upload = str(entry.payload["to"]), Upload.model_validate(entry.payload["upload"])
        except (ValidationError, KeyError, TypeError) as exc:
            raise SendRefused("This is no push that can be read.", hint="Drop it and push again.") from exc
        if (address := self._find_done(upload)) is not None:
            return address
        self._make_ready(to)
        try:
            done = send(self._catalog, to, upload)
        except RateLimited as exc:
            raise SendLater(exc.message, hint=exc.hint, retry_after_s=exc.retry_after_s, not_sent=True) from exc
        except FOR_GOOD as exc:
            if (address := self._find_done(upload)) is not None:  # pushed by hand at the same time
                return address
            self._record.add("failed", to, upload, why=exc.message)
            raise SendRefused(exc.message, hint=exc.hint) from exc
        except ConnectorError as exc:
            away = isinstance(exc, Unavailable) and exc.status is None and not exc.may_have_happened
            raise SendLater(exc.message, hint=exc.hint, retry_after_s=exc.retry_after_s, unreachable=away) from exc
        self._record.add(
            "published", to, upload, url=done.url, revision=done.revision, already=done.already, use=done.use
        )
        drop_staged(self._home, upload.id)
        return done.url or done.repo

    def _find_done(self, upload: Upload) -> str | None:
        """Where it is, if it has arrived and its copies are gone: this process died before it could say so, or another way was quicker."""
        if staged_folder(self._home, upload.id).is_dir():
            return None
        line = self._record.find_published(upload.id)
        return str(line.get("url") or upload.repo) if line else None

    def read_back(self, entry: Entry) -> bool:
        """Not asked: sending looks by itself."""
        return False
