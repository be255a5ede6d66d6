"""Publishing on the hub, over our own door: create, ask how each file goes, send the large ones, one commit, and look before repeating.

Not by huggingface_hub: that sends through Xet whenever hf_xet is installed, which keeps to none of our deadlines, proxies and offline
switch, and is turned off by an environment variable before the first import only; and it is no part of the base install. What the hub's
own client sends was read from its 2.4, and the emulator that this is tested against accepts that client, too (November 2026).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from peft_studio.connectors.base.answer import unreadable
from peft_studio.connectors.base.door import Door
from peft_studio.connectors.base.parts import Digested, Stretch, digest
from peft_studio.connectors.base.patience import Limits
from peft_studio.connectors.base.reading import record, records, text
from peft_studio.connectors.huggingface.api import PACE, PLATFORM, read_error
from peft_studio.core.errors import ConnectorError, NotFound, Refused
from peft_studio.core.ports.registry import Published, Upload

LFS = {"Accept": "application/vnd.git-lfs+json", "Content-Type": "application/vnd.git-lfs+json"}
AT_ONCE = 256  # files of one question
SENDING = Limits(total_s=6 * 3600.0, read_s=120.0, attempts=5)
Report = Callable[[int], None]


class HubUpload:
    """One account's way to publish."""

    def __init__(self, endpoint: str, credentials: Callable[[], Mapping[str, str]] | None) -> None:
        self._endpoint = endpoint
        self._door = Door(PLATFORM, endpoint, credentials=credentials, pace=PACE, read_error=read_error)
        self._wide = Door(PLATFORM, endpoint, credentials=credentials, pace=PACE, limits=SENDING, read_error=read_error)

    def publish(self, upload: Upload, report: Report) -> Published:
        """See :meth:`peft_studio.core.ports.registry.Publisher.upload_artifact`."""
        files = [digest(file, PLATFORM.name) for file in upload.files]
        found = self._ensure_repo(upload)
        if _has_all(found, files):
            report(sum(one.file.size_bytes for one in files))
            return self._published(upload, found, already=True)
        large = self._ask_modes(upload.repo, files)
        progress = _Progress(report)
        self._send_large(upload.repo, [one for one in files if one.file.path in large], progress)
        try:
            self._commit(upload, files, large, parent=text(found, "sha"))
        except ConnectorError as exc:
            if not exc.may_have_happened:
                raise
            found = self._get(upload.repo)  # the reply was lost: did it arrive?
            if not _has_all(found, files):
                raise
        else:
            found = self._get(upload.repo)
        progress.add(sum(one.file.size_bytes for one in files if one.file.path not in large))
        return self._published(upload, found)

    def _published(self, upload: Upload, found: Mapping[str, Any], *, already: bool = False) -> Published:
        url = f"{self._endpoint}/{upload.repo}"
        use = (f"hf download {upload.repo}", f"PeftModel.from_pretrained(base, {upload.repo!r})")
        return Published(repo=upload.repo, url=url, revision=text(found, "sha"), already=already, use=use)

    def _get(self, repo: str) -> Mapping[str, Any]:
        return self._door.get(f"/api/models/{repo}", {"blobs": "true"}).record()

    def _ensure_repo(self, upload: Upload) -> Mapping[str, Any]:
        """The repository as it is, made where there was none."""
        try:
            found = self._get(upload.repo)
        except NotFound:
            self._create(upload)
            found = self._get(upload.repo)
        if found.get("private") is not upload.private:
            is_, wanted = ("private", "public") if found.get("private") else ("public", "private")
            raise Refused(
                f"{upload.repo} exists and is {is_}; this was to be {wanted}. Nothing was sent.",
                hint=f"Take another name, or push with private={not upload.private}.",
                platform=PLATFORM.name,
            )
        return found

    def _create(self, upload: Upload) -> None:
        owner, _, name = upload.repo.partition("/")
        body = {
            "name": name,
            "organization": owner,
            "visibility": "private" if upload.private else "public",
            "type": "model",
        }
        try:
            self._door.request("POST", "/api/repos/create", json=body, repeatable=True)  # a second time it says 409
        except Refused as exc:
            if exc.status != 409:
                raise

    def _ask_modes(self, repo: str, files: Sequence[Digested]) -> set[str]:
        """Paths of the files that the hub wants in LFS."""
        large = set()
        for start in range(0, len(files), AT_ONCE):
            asked = [
                {"path": one.file.path, "size": one.file.size_bytes, "sample": base64.b64encode(one.sample).decode()}
                for one in files[start : start + AT_ONCE]
            ]
            answer = self._door.request(
                "POST", f"/api/models/{repo}/preupload/main", json={"files": asked}, repeatable=True
            )
            large |= {
                text(one, "path") or "" for one in records(answer.listed("files")) if one.get("uploadMode") == "lfs"
            }
        return {one.file.path for one in files if one.file.path in large and one.file.size_bytes}

    def _send_large(self, repo: str, files: Sequence[Digested], progress: _Progress) -> None:
        """Every large file that the hub does not have yet: what arrived of an earlier upload is not sent again."""
        by_digest = {one.file.sha256: one for one in files}
        if not by_digest:
            return
        body = {
            "operation": "upload", "transfers": ["basic", "multipart"], "hash_algo": "sha256", "ref": {"name": "main"},
            "objects": [{"oid": sha256, "size": one.file.size_bytes} for sha256, one in by_digest.items()],
        }  # fmt: skip
        answer = self._door.request(
            "POST", f"/{repo}.git/info/lfs/objects/batch", json=body, headers=LFS, repeatable=True
        )
        for one in records(answer.listed("objects")):
            wanted = by_digest.pop(text(one, "oid") or "", None)
            if wanted is None:
                raise unreadable(PLATFORM, "instructions for a file that it was not asked about")
            if error := record(one, "error"):
                raise Refused(
                    f"Hugging Face does not take {wanted.file.path}: {(text(error, 'message') or 'it does not say why')[:200]}",
                    hint="What it said above names the reason.",
                    platform=PLATFORM.name,
                )
            self._send_one(wanted, record(one, "actions"), progress)
        if by_digest:
            raise unreadable(PLATFORM, "no instructions for a file that it was asked about")

    def _send_one(self, one: Digested, actions: Mapping[str, Any], progress: _Progress) -> None:
        upload, verify = record(actions, "upload"), record(actions, "verify")
        if href := _address(upload):
            header = record(upload, "header")
            if "chunk_size" in header:
                self._send_parts(one, href, header, progress)
            else:
                whole = Stretch(one.path, 0, one.file.size_bytes, progress.add)
                self._wide.request("PUT", href, content=whole, headers=whole.headers)
        else:
            progress.add(one.file.size_bytes)
        if href := _address(verify):
            body = {"oid": one.file.sha256, "size": one.file.size_bytes}
            self._door.request("POST", href, json=body, headers=LFS, repeatable=True)

    def _send_parts(self, one: Digested, href: str, header: Mapping[str, Any], progress: _Progress) -> None:
        said = str(header["chunk_size"])
        size = int(said) if said.isdecimal() else 0
        urls = [str(header[name]) for name in sorted((name for name in header if name.isdecimal()), key=int)]
        if not size or len(urls) != -(-one.file.size_bytes // size):
            raise unreadable(PLATFORM, "instructions for sending that do not fit the file")
        parts = []
        for number, url in enumerate(urls):
            start = number * size
            part = Stretch(one.path, start, min(size, one.file.size_bytes - start), progress.add)
            answer = self._wide.request("PUT", url, content=part, headers=part.headers)
            parts.append({"partNumber": number + 1, "etag": answer.headers.get("etag", "")})
        self._door.request("POST", href, json={"oid": one.file.sha256, "parts": parts}, headers=LFS)

    def _commit(self, upload: Upload, files: Sequence[Digested], large: set[str], *, parent: str | None) -> None:
        lines = "\n".join(json.dumps(line) for line in _commit_lines(upload, files, large, parent))
        self._door.request(
            "POST",
            f"/api/models/{upload.repo}/commit/main",
            content=lines.encode(),
            headers={"Content-Type": "application/x-ndjson"},
        )


class _Progress:
    """Bytes that are there."""

    def __init__(self, report: Report) -> None:
        self._report, self._sent = report, 0

    def add(self, count: int) -> None:
        self._sent += count
        self._report(self._sent)


def _address(action: Mapping[str, Any]) -> str:
    """Where to send; such addresses are signed, and long."""
    found = action.get("href")
    return found if isinstance(found, str) else ""


def _commit_lines(
    upload: Upload, files: Sequence[Digested], large: set[str], parent: str | None
) -> Iterator[dict[str, Any]]:
    header = {"summary": upload.message or "Publish an adapter", "description": f"PEFT Studio, {upload.id}"}
    yield {"key": "header", "value": {**header, **({"parentCommit": parent} if parent else {})}}
    for one in files:
        path = one.file.path
        if path in large:
            value = {"path": path, "algo": "sha256", "oid": one.file.sha256, "size": one.file.size_bytes}
            yield {"key": "lfsFile", "value": value}
        else:
            content = base64.b64encode(one.path.read_bytes()).decode()
            yield {"key": "file", "value": {"path": path, "content": content, "encoding": "base64"}}


def _has_all(found: Mapping[str, Any], files: Sequence[Digested]) -> bool:
    """Whether a repository has these very files: by sha256 where it keeps them in LFS, else by git's digest."""
    there = {text(one, "rfilename"): one for one in records(found.get("siblings"))}
    for one in files:
        entry = there.get(one.file.path, {})
        if one.file.sha256 != record(entry, "lfs").get("sha256") and one.blob_id != entry.get("blobId"):
            return False
    return bool(files)
