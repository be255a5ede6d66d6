"""Names that strangers give to files: which of them may become paths here, on any of the three systems. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

PART_BYTES = 200  # systems take 255, and an unfinished download adds to the name
NAME_CHARACTERS = 800
DEEPEST = 16
_WINDOWS_DEVICES = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE | re.DOTALL
)
_NOT_ON_WINDOWS = frozenset('<>:"|?*\\')


class UnsafeName(ValueError):
    """A name that must not become a path; the text says why."""


def check_name(name: str) -> PurePosixPath:
    """A name as a relative path that stays inside the folder it is put in, and means the same on every system.

    Raises:
        UnsafeName: It does not.
    """
    if not name or len(name) > NAME_CHARACTERS:
        raise UnsafeName("it is empty" if not name else "it is too long")
    if name.startswith("/"):
        raise UnsafeName("it is absolute")
    parts = name.split("/")
    if len(parts) > DEEPEST:
        raise UnsafeName("it is too deep")
    for part in parts:
        _check_part(part)
    return PurePosixPath(*parts)


def fold(path: PurePosixPath) -> str:
    """What two paths share that are one on a disk without case, or of another Unicode form, as on Windows and macOS."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", str(path)).casefold())


def check_names(names: Iterable[str]) -> list[PurePosixPath]:
    """Names that are to stand in one folder.

    Raises:
        UnsafeName: One is not safe, two are one, or one is a file and the folder of another.
    """
    taken = Names()
    return [taken.add(name) for name in names]


class Names:
    """The names of one folder, as they come."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add(self, name: str, *, is_folder: bool = False) -> PurePosixPath:
        """Take one more. Raises :class:`UnsafeName`."""
        path = check_name(name.removesuffix("/") if is_folder else name)
        key, above = fold(path), {fold(parent) for parent in path.parents if parent.parts}
        if key in self._files or (not is_folder and key in self._folders):
            raise UnsafeName("there are two of that name, or of names that differ in case alone")
        if above & self._files:
            raise UnsafeName("it lies in what is a file")
        self._folders |= above | ({key} if is_folder else set())
        if not is_folder:
            self._files.add(key)
        return path


def _check_part(part: str) -> None:
    if part in ("", ".", ".."):
        raise UnsafeName("it leads elsewhere" if part == ".." else "it has an empty part")
    try:
        size = len(part.encode())
    except UnicodeEncodeError:
        raise UnsafeName("it is no Unicode") from None
    if size > PART_BYTES:
        raise UnsafeName("a part of it is too long")
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Zl", "Zp", "Cn", "Co") for sign in part):
        raise UnsafeName("it has signs that do not show")
    if found := _NOT_ON_WINDOWS & set(part):
        raise UnsafeName(f"it has {min(found)!r}, which is no part of a name on Windows")
    if part[-1] in " ." or part[0] == " ":
        raise UnsafeName("a part of it begins or ends with a space, or ends with a dot")
    if _WINDOWS_DEVICES.fullmatch(part):
        raise UnsafeName("it is the name of a device on Windows")
