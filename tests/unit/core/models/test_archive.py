"""Archives of strangers, honest and hostile: all of it inside the folder, or nothing anywhere."""

from __future__ import annotations

import gzip
import io
import os
import random
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from peft_studio.core.models.archive import BadArchive, Bounds, extract, is_archive

GOOD = {"model.safetensors": b"w" * 3000, "nested/config.json": b"{}", "nested/deeper/a.txt": b"", "Ünïcode.txt": b"u"}
LONG = "d" * 150 + "/" + "f" * 150 + ".txt"
Member = tuple[str, bytes]


def zipped(
    members: dict[str, bytes],
    change: Callable[[zipfile.ZipInfo], None] = lambda info: None,
    kind: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.filename = info.orig_filename = name
            info.compress_type = kind
            change(info)
            file.writestr(info, content)
    return out.getvalue()


def tarred(
    *members: tarfile.TarInfo | Member, format: int = tarfile.PAX_FORMAT, headers: dict[str, str] | None = None
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, pax_headers=headers) as file:
        for one in members:
            if isinstance(one, tarfile.TarInfo):
                file.addfile(one, io.BytesIO(b"x" * one.size))
            else:
                info = tarfile.TarInfo(one[0])
                info.size = len(one[1])
                file.addfile(info, io.BytesIO(one[1]))
    return out.getvalue()


def odd(
    kind: bytes, name: str = "x", target: str = "", size: int = 0, pax: dict[str, str] | None = None
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.pax_headers = kind, target, size, pax or {}
    return info


def linked(info: zipfile.ZipInfo) -> None:
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16


def device(info: zipfile.ZipInfo) -> None:
    info.create_system, info.external_attr = 3, (stat.S_IFIFO | 0o644) << 16


def encrypted() -> bytes:
    """By its flags: nothing here writes such archives."""
    one = bytearray(zipped({"x": b"x"}))
    one[6] |= 1
    one[one.index(b"PK\1\2") + 8] |= 1
    return bytes(one)


def patched(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) >= 1
    assert len(old) == len(new)
    return content.replace(old, new)


def bomb() -> bytes:
    return zipped({"zeros": b"\0" * (80 * 2**20)})


def nested_kernel() -> bytes:
    """Two names for the same bytes, as in Fifield's zip bomb."""
    one = zipped({"aaa": b"x" * 500}, kind=zipfile.ZIP_STORED)
    at = one.index(b"PK\1\2")
    entry, end = one[at : one.index(b"PK\5\6")], one[one.index(b"PK\5\6") :]
    end = end[:8] + struct.pack("<HHI", 2, 2, 2 * len(entry)) + end[16:]
    return one[:at] + entry + entry.replace(b"aaa", b"bbb") + end


def counted(entries: int) -> bytes:
    """A directory that says it has so many."""
    one = zipped({"a": b""})
    return one[:-14] + struct.pack("<HH", entries, entries) + one[-10:]


def write(folder: Path, content: bytes, name: str = "stranger.archive") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        zipped(GOOD), zipped(GOOD, kind=zipfile.ZIP_STORED), tarred(*GOOD.items()), gzip.compress(tarred(*GOOD.items())),
        tarred(*GOOD.items(), format=tarfile.GNU_FORMAT), tarred(*list(GOOD.items())[:3], ("Ünïcode.txt", b"u"), format=tarfile.USTAR_FORMAT),
        zipped({"nested/": b"", **GOOD}), tarred(odd(tarfile.DIRTYPE, "nested"), *GOOD.items()),
    ],
    ids=["zip", "stored zip", "tar", "tar.gz", "gnu tar", "ustar", "zip with folder", "tar with folder"],
)  # fmt: skip
def test_honest_archives_come_out_as_they_are(content: bytes, tmp_path: Path) -> None:
    """Every file with its bytes, and no other."""
    files = extract(write(tmp_path, content), tmp_path / "to")

    assert {path.relative_to(tmp_path / "to").as_posix(): path.read_bytes() for path in files} == GOOD
    assert {path for path in (tmp_path / "to").rglob("*") if path.is_file()} == set(files)
    assert {path.name for path in tmp_path.iterdir()} == {"stranger.archive", "to"}


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names(format: int, tmp_path: Path) -> None:
    """Both formats have their own way."""
    assert [
        path.name
        for path in extract(write(tmp_path, tarred((LONG, b"1"), ("b", b"22"), format=format)), tmp_path / "to")
    ] == [
        "f" * 150 + ".txt",
        "b",
    ]


HOSTILE = {
    "zip up": zipped({"../evil": b"x"}),
    "zip up within": zipped({"ok/../../evil": b"x"}),
    "zip absolute": zipped({"/tmp/evil": b"x"}),
    "zip backslash": zipped({"..\\evil": b"x"}),
    "zip drive": zipped({"C:evil": b"x"}),
    "zip stream": zipped({"a:evil": b"x"}),
    "zip link": zipped({"x": b"/etc/passwd"}, linked),
    "zip device": zipped({"x": b""}, device),
    "zip encrypted": encrypted(),
    "zip bzip2": zipped({"x": b"x"}, kind=zipfile.ZIP_BZIP2),
    "zip windows device": zipped({"ok/NUL.txt": b"x"}),
    "zip case": zipped({"Model": b"1", "model": b"2"}),
    "zip file as folder": zipped({"a": b"1", "a/b": b"2"}),
    "zip folder with content": zipped({"a/": b"1"}),
    "zip bomb": bomb(),
    "zip overlap": nested_kernel(),
    "zip many": counted(20_000),
    "zip empty name": zipped({"": b"x"}),
    "zip nul in name": patched(zipped({"a_b": b"x"}), b"a_b", b"a\0b"),
    "zip two names": patched(zipped({"aaaa": b"x"}), b"\x04\0\0\0aaaa", b"\x04\0\0\0bbbb"),
    "zip damaged": patched(zipped({"x": b"hello"}, kind=zipfile.ZIP_STORED), b"hello", b"hellO"),
    "zip cut": zipped(GOOD)[:-30],
    "zip trailing": zipped(GOOD)[:100],
    "tar up": tarred(("../evil", b"x")),
    "tar absolute": tarred(("/tmp/evil", b"x")),
    "tar symlink": tarred(odd(tarfile.SYMTYPE, "x", "/etc/passwd")),
    "tar symlink then through it": tarred(odd(tarfile.SYMTYPE, "x", ".."), ("x/evil", b"x")),
    "tar hard link": tarred(odd(tarfile.LNKTYPE, "x", "/etc/passwd")),
    "tar device": tarred(odd(tarfile.CHRTYPE)),
    "tar block device": tarred(odd(tarfile.BLKTYPE)),
    "tar fifo": tarred(odd(tarfile.FIFOTYPE)),
    "tar contiguous": tarred(odd(tarfile.CONTTYPE)),
    "tar sparse": tarred(odd(tarfile.GNUTYPE_SPARSE)),
    "tar pax link path": tarred(odd(tarfile.REGTYPE, "x", pax={"linkpath": "/etc/passwd"})),
    "tar pax up": tarred(odd(tarfile.REGTYPE, "x", pax={"path": "../evil"})),
    "tar pax sparse": tarred(odd(tarfile.REGTYPE, "x", pax={"GNU.sparse.name": "../evil"})),
    "tar pax for all": tarred(("x", b"1"), headers={"path": "../evil"}),
    "tar twice": tarred(("a", b"1"), ("a", b"2")),
    "tar case": tarred(("a/Model", b"1"), ("A/model", b"2")),
    "tar folder over file": tarred(("a", b"1"), odd(tarfile.DIRTYPE, "a")),
    "tar file over folder": tarred(("a/b", b"1"), ("a", b"1")),
    "tar reserved": tarred(("aux.json", b"1")),
    "tar huge size": tarred(("x", b"1")).replace(b"00000000001", b"77777777777", 1),
    "tar negative size": tarred(("x", b"1")).replace(b"00000000001\0", b"\xff" * 12, 1),
    "tar bad checksum": patched(tarred(("abc", b"1")), b"abc", b"abd"),
    "tar cut": tarred(("x", b"1" * 5000))[:2000],
    "tar.gz cut": gzip.compress(tarred(("x", os.urandom(5000))))[:2000],
    "tar.gz bomb": gzip.compress(tarred(("x", b"\0" * (80 * 2**20)))),
    "neither": b"hello, I am no archive at all",
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_archives_leave_nothing(what: str, tmp_path: Path) -> None:
    """Neither inside the folder nor outside; and the reason is said."""
    home = tmp_path / "deep" / "home"
    home.mkdir(parents=True)
    path = write(home, HOSTILE[what])
    with pytest.raises(BadArchive, match="was not unpacked: ") as caught:
        extract(path, home / "to")

    assert caught.value.hint
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]
    assert not (home / "to").exists()
    assert not Path("/tmp/evil").exists()


def test_bounds_hold(tmp_path: Path) -> None:
    """Of files and of bytes, for both formats."""
    many = {f"f{n}": b"x" for n in range(30)}
    for content in (zipped(many), tarred(*many.items())):
        path = write(tmp_path, content)
        with pytest.raises(BadArchive, match="more than 20 entries"):
            extract(path, tmp_path / "to", bounds=Bounds(files=20))
        with pytest.raises(BadArchive, match="would unpack to more"):
            extract(path, tmp_path / "to", bounds=Bounds(total_bytes=29))
        with pytest.raises(BadArchive, match="would unpack to more"):
            extract(path, tmp_path / "to", bounds=Bounds(file_bytes=0))


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    """What a killed try left is, before anything else."""
    (tmp_path / "to").mkdir()
    (tmp_path / ".to.unpacking").mkdir()
    (tmp_path / ".to.unpacking" / "old").write_text("x")
    path = write(tmp_path, zipped(GOOD))
    with pytest.raises(BadArchive, match="there already"):
        extract(path, tmp_path / "to")
    (tmp_path / "to").rmdir()
    assert len(extract(path, tmp_path / "to")) == len(GOOD)
    assert not (tmp_path / ".to.unpacking").exists()


def test_names_of_archives() -> None:
    """By suffix."""
    assert [name for name in ("a.zip", "b.TAR.GZ", "c.tgz", "d.tar", "e.7z", "f.gz", "zip") if is_archive(name)] == [
        "a.zip",
        "b.TAR.GZ",
        "c.tgz",
        "d.tar",
    ]


def test_damaged_archives_end_in_one_error(tmp_path: Path) -> None:
    """Four hundred seeded damages: a refusal, or files inside the folder; never anything else."""
    rng = random.Random(17)
    honest = [
        zipped(GOOD),
        tarred(*GOOD.items()),
        gzip.compress(tarred(*GOOD.items())),
        tarred((LONG, b"1"), format=tarfile.GNU_FORMAT),
    ]
    for kind, content in enumerate(honest):
        for count in range(100):
            damaged = bytearray(content)
            for _ in range(rng.randrange(1, 6)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            folder = tmp_path / f"{kind}-{count}"
            folder.mkdir()
            path = write(folder, bytes(damaged[: rng.choice((len(damaged), rng.randrange(len(damaged))))]))
            try:
                extract(path, folder / "to", bounds=Bounds(free=2**20))
            except BadArchive:
                assert [one.name for one in folder.iterdir()] == ["stranger.archive"]
            else:
                assert {one.name for one in folder.iterdir()} == {"stranger.archive", "to"}
                assert not [one for one in folder.rglob("*") if one.is_symlink()]
