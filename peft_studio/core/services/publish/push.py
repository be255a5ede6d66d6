"""Do what a plan says, once it is confirmed: the intent on disk first, then the platform, then what came of it; without a network, later."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft_studio.core.errors import Cancelled, ConnectorError, NotReadyError, Refused, Unavailable
from peft_studio.core.markup import block, escape, visible
from peft_studio.core.ports.catalog import Catalog
from peft_studio.core.ports.registry import Published, Upload, UploadFile
from peft_studio.core.services.publish.plan import PushPlan
from peft_studio.core.services.publish.record import Publications
from peft_studio.core.services.publish.staged import BUNDLE, drop_merged, drop_staged, staged_folder
from peft_studio.core.system import write_aside

DEADLINE_S = 24 * 3600.0
KIND = "upload"
Report = Callable[[int], None]


@dataclass(frozen=True)
class Pushed:
    """What came of a push.

    Attributes:
        queued: Why it waits in the outbox instead of being there.
        folder: Where it lies, ready to be uploaded by hand, where the platform has no API for that.
        lines: How others use it, or what is left to do.
    """

    id: str
    title: str
    repo: str
    url: str | None = None
    revision: str | None = None
    already: bool = False
    queued: str = ""
    folder: Path | None = None
    lines: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return visible("\n".join([self._headline(), *(f"  {line}" for line in self.lines)]))

    def _repr_html_(self) -> str:
        link = f'<p><a href="{escape(self.url)}" rel="noreferrer">{escape(self.url)}</a></p>' if self.url else ""
        lines = f"<pre>{escape(chr(10).join(self.lines))}</pre>" if self.lines else ""
        return block([f"<p>{escape(self._headline())}</p>", "" if self.queued else link, lines])

    def _headline(self) -> str:
        if self.queued:
            return f"{self.repo} waits in the outbox for {self.title}: {self.queued} It goes by itself when the network is back."
        if self.folder:
            return f"Ready for {self.title} in {self.folder}; nothing has been uploaded: {self.title} has no way to do that for you."
        where = f": {self.url}" if self.url else "."
        if self.already:
            return f"{self.title} had all of it already as {self.repo}; nothing was changed{where}"
        return f"{self.title} has it as {self.repo}{where}"


@dataclass(frozen=True)
class Way:
    """What a push needs of the studio.

    Attributes:
        make_ready: Sees to a platform's keys.
        offline: Why there is no network; False where there is one.
        queue: Puts ``(target, kind, payload, id)`` into the outbox.
    """

    home: Path
    catalog: Catalog
    make_ready: Callable[[str], None]
    offline: Callable[[], bool | str]
    queue: Callable[[str, str, Any, str], Any]


def push_plan(plan: PushPlan, way: Way, *, report: Report = lambda sent: None) -> Pushed:
    """Publish what a plan lists. Called again, also after a crash or a lost reply, it changes nothing that is there already.

    Raises:
        NotReadyError: Something blocks the plan. ConnectorError: The platform did not take it; the record says so, too. Cancelled where
            ``report`` raised that.
    """
    if not plan.ready:
        blocking = [problem for problem in plan.problems if problem.severity == "blocking"]
        raise NotReadyError("Nothing was shared:\n" + "\n".join(map(str, blocking)), hint=blocking[0].fix)
    record, upload = Publications(way.home), stage(plan, way.home)
    record.add("intended", plan.to, upload, run=plan.run_id)
    if plan.steps:
        return _bundle(plan, upload, way)
    offline, local = way.offline(), way.catalog.get_info(plan.to).local
    if offline is not False and not local:
        return _queue(plan, upload, way, offline if isinstance(offline, str) else "you are offline by your own word.")
    try:
        way.make_ready(plan.to)
        done = send(way.catalog, plan.to, upload, report)
    except Unavailable as exc:
        if exc.status is not None or local:
            record.add("failed", plan.to, upload, why=exc.message)
            raise
        return _queue(plan, upload, way, exc.message)
    except ConnectorError as exc:
        record.add("cancelled" if isinstance(exc, Cancelled) else "failed", plan.to, upload, why=exc.message)
        raise
    record.add("published", plan.to, upload, url=done.url, revision=done.revision, already=done.already, use=done.use)
    drop_staged(way.home, plan.id)
    drop_merged(way.home, [file.source for file in plan.files])
    return Pushed(plan.id, plan.title, done.repo, done.url, done.revision, done.already, lines=done.use)


def send(catalog: Catalog, to: str, upload: Upload, report: Report = lambda sent: None) -> Published:
    """One upload through its connector, waited for. An interrupt ends it at its next piece.

    Raises:
        ConnectorError: As the connector's ``upload_artifact``.
    """
    ended = threading.Event()

    def told(sent: int) -> None:
        if ended.is_set():
            raise Refused("The upload was interrupted.", hint="Push again: what has arrived is kept.", platform=to)
        report(sent)

    pending = catalog.start(to, Published, lambda one: one.upload_artifact(upload, told), deadline_s=DEADLINE_S)
    try:
        return pending.result()
    finally:
        ended.set()


def stage(plan: PushPlan, home: Path) -> Upload:
    """A plan as what a connector takes: made files are written into the home, so that a push can wait and go on; others stay where they are."""
    folder = staged_folder(home, plan.id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = []
    for file in plan.files:
        source = file.source
        if file.content is not None:
            source = folder / file.path.replace("/", "--")
            write_aside(source, file.content, sync=True)
        files.append(UploadFile(path=file.path, source=str(source), size_bytes=file.size_bytes, sha256=file.sha256))
    message = f"Adapter of run {plan.run_id}" if plan.run_id else "Adapter"
    return Upload(
        id=plan.id, repo=plan.repo, files=tuple(files), private=plan.private, message=message, settings=plan.settings
    )


def _bundle(plan: PushPlan, upload: Upload, way: Way) -> Pushed:
    """A folder with everything, for a person to upload: nothing leaves this machine."""
    folder = staged_folder(way.home, plan.id) / BUNDLE
    folder.mkdir(exist_ok=True)
    for file in upload.files:
        shutil.copyfile(file.source, folder / file.path.replace("/", "--"))
    Publications(way.home).add("bundled", plan.to, upload)
    drop_staged(way.home, plan.id)
    steps = [f"{number}. {step}" for number, step in enumerate(plan.steps, 1)]
    return Pushed(plan.id, plan.title, plan.repo, folder=folder, lines=tuple(steps))


def _queue(plan: PushPlan, upload: Upload, way: Way, why: str) -> Pushed:
    payload = {"to": plan.to, "upload": upload.model_dump(mode="json")}
    way.queue(f"{plan.to}:{plan.repo}"[:300], KIND, payload, plan.id)
    Publications(way.home).add("queued", plan.to, upload, why=why)
    return Pushed(plan.id, plan.title, plan.repo, queued=why)
