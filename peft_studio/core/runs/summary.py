"""The curve of a long run, kept beside its metrics by their writer: a chart of a million rows must not wait for them.

It saves time and holds nothing of its own: without it, or where it does not fit the file, readers read the rows. Layout:

    b"PSSUMMARY1\\n"   u32 length   JSON {offset, tail, kinds}   curve (see ``Curve.pack``)   crc

``offset`` is where in the metrics file its rows end, ``tail`` the CRC of the last bytes before that: another file is not
taken for the one that was summed up. ``kinds`` are those declared before the offset.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from zlib import crc32

from peft_studio.core.runs.curve import Curve
from peft_studio.core.runs.follow import read_new
from peft_studio.core.runs.metrics import MetricsReader
from peft_studio.core.runs.summing import summary_path
from peft_studio.core.system import write_aside

_HEADER = b"PSSUMMARY1\n"
_LENGTH = struct.Struct("<I")
_TAIL = 256  # bytes, some rows


def write_summary(path: Path, *, until: int) -> None:
    """Sum up a metrics file as far as ``until``, a byte at which a record ends, from its last summary on."""
    found = read_summary(path)
    curve, reader = found if found and found[1].offset <= until else (Curve(), MetricsReader(path))
    kinds, offset = reader.kinds, reader.offset
    reader = MetricsReader(path, until=until)
    reader.go_to(offset, kinds)
    columns, rows, back = read_new(reader)
    if back is not None and back < curve.last_step:
        summary_path(path).unlink(missing_ok=True)
        return write_summary(path, until=until)
    for stretch in columns:
        curve.add_columns(stretch)
    curve.add(rows)
    head = json.dumps({"offset": reader.offset, "tail": _tail(path, reader.offset), "kinds": reader.kinds}).encode()
    body = _HEADER + _LENGTH.pack(len(head)) + head + curve.pack()
    write_aside(summary_path(path), body + _LENGTH.pack(crc32(body)))
    return None


def read_summary(path: Path) -> tuple[Curve, MetricsReader] | None:
    """The curve as it was summed up last, and a reader that goes on from there; None where there is none that fits."""
    try:
        data = summary_path(path).read_bytes()
    except OSError:
        return None
    start = len(_HEADER) + _LENGTH.size
    if not data.startswith(_HEADER) or len(data) < start + _LENGTH.size:
        return None
    if _LENGTH.unpack(data[-_LENGTH.size :])[0] != crc32(data[: -_LENGTH.size]):
        return None
    end = start + _LENGTH.unpack_from(data, len(_HEADER))[0]
    head = json.loads(data[start:end])
    if _tail(path, head["offset"]) != head["tail"]:
        return None
    reader = MetricsReader(path)
    reader.go_to(head["offset"], {int(number): names for number, names in head["kinds"].items()})
    return Curve.unpack(data[end : -_LENGTH.size]), reader


def _tail(path: Path, offset: int) -> int | None:
    """The CRC of the bytes before an offset; None where the file ends before it."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, offset - _TAIL))
            data = file.read(min(_TAIL, offset))
    except FileNotFoundError:
        return None
    return crc32(data) if len(data) == min(_TAIL, offset) else None
