"""The record of what was published: appended, whole lines, private, without secrets, by several processes at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from peft_studio.core.ports import Upload, UploadFile
from peft_studio.core.services.publish.record import FILE, Publications

UPLOAD = Upload(
    id="push-1", repo="me/x", files=(UploadFile(path="a", source="/home/ann/a", size_bytes=1, sha256="0" * 64),)
)


def test_an_intent_names_every_file_and_no_folder(tmp_path: Path) -> None:
    """Who, when, what, where to; readable by this user alone."""
    Publications(tmp_path).add("intended", "huggingface", UPLOAD)
    (line,) = Publications(tmp_path).read()

    assert (line["what"], line["id"], line["to"], line["repo"], line["private"]) == (
        "intended",
        "push-1",
        "huggingface",
        "me/x",
        True,
    )
    assert line["files"] == [{"path": "a", "size_bytes": 1, "sha256": "0" * 64}]
    assert line["at"].endswith("+00:00")
    assert line["by"]
    assert "/home/ann" not in json.dumps(line)
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_a_line_cut_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    """What was there stays as it was, to the byte; what comes after is read."""
    record = Publications(tmp_path)
    record.add("intended", "huggingface", UPLOAD)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"what": "publ')
    before = (tmp_path / FILE).read_bytes()
    record.add("published", "huggingface", UPLOAD, url="http://x/me/x")

    assert (tmp_path / FILE).read_bytes().startswith(before)
    assert [line["what"] for line in record.read()] == ["intended", "published"]


def test_no_key_is_written_down(tmp_path: Path) -> None:
    """Not even one that a platform quotes in its refusal."""
    Publications(tmp_path).add("failed", "huggingface", UPLOAD, why="bad token hf_" + "z" * 34)
    assert "hf_zzz" not in (tmp_path / FILE).read_text()


def test_processes_do_not_mix_their_lines(tmp_path: Path) -> None:
    """Three at once, forty lines each."""
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.unit.core.services.publish.test_record import UPLOAD, Publications\n"
        "for n in range(40): Publications(Path(sys.argv[1])).add('queued', sys.argv[2], UPLOAD, why='x' * 300)"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in ("a", "b", "c")]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    lines = Publications(tmp_path).read()
    assert sorted(line["to"] for line in lines) == ["a"] * 40 + ["b"] * 40 + ["c"] * 40
