"""Very many launches in several processes, kept as they are played: the same call goes on where an earlier one was ended.

``.work/simulator`` has a file for each state of the code, with one line a part. Whoever changes a line of the product or of the simulator begins anew.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

from tests.simulator.play import Bound, Report, play_seeds

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".work" / "simulator"
PART = 500
TELL_S = 10.0


def march(seeds: range, *, workers: int, anew: bool = False, out: TextIO = sys.stderr, kept: Path = KEPT) -> Report:
    """Play what is not kept yet; each failure is told as it comes, and how far it is now and then. Returns the report of all."""
    kept.mkdir(parents=True, exist_ok=True)
    file = kept / f"{fingerprint()}.jsonl"
    if anew:
        file.unlink(missing_ok=True)
    total, left = Report(), []
    done = dict(read(file))
    for part in parts_of(seeds):
        if (report := done.get(name_of(part))) is None:
            left.append(part)
        else:
            total.merge(report)
    if total.launches:
        print(f"{total.launches:,} launches were played before with this code: {file.name}", file=out)
        tell_broken(total, out)
    progress = Progress(total.launches, len(seeds), out)
    with file.open("a", encoding="utf-8") as line:
        if line.tell() and not file.read_bytes().endswith(b"\n"):
            line.write("\n")  # a kill cut the last one short
        for part, report in play(left, workers):
            line.write(json.dumps({"part": name_of(part), "report": plain(report)}) + "\n")
            line.flush()
            total.merge(report)
            tell_broken(report, out)
            progress.tell(total)
    return total


def play(parts: list[range], workers: int) -> Iterator[tuple[range, Report]]:
    """Each part with its report, as they are done."""
    if workers == 1:
        for part in parts:
            yield part, play_seeds(part)
        return
    with multiprocessing.Pool(workers) as pool:
        yield from pool.imap_unordered(_play, parts)


def _play(part: range) -> tuple[range, Report]:
    return part, play_seeds(part)


def parts_of(seeds: range) -> list[range]:
    """Parts that begin at the same seeds whatever was asked for, so that a longer call finds those of a shorter one."""
    edges = [seeds.start, *range((seeds.start // PART + 1) * PART, seeds.stop, PART), seeds.stop]
    return [range(low, high) for low, high in pairwise(edges) if low < high]


def name_of(part: range) -> str:
    """How a part is called in the file."""
    return f"{part.start}-{part.stop}"


def plain(report: Report) -> dict[str, Any]:
    """As JSON has it."""
    return {**vars(report), "bounds": {name: vars(bound) for name, bound in report.bounds.items()}}


def read(file: Path) -> Iterator[tuple[str, Report]]:
    """The parts that are kept. A last line that a kill cut short is none."""
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            kept: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        report = kept["report"]
        report["faults"] = Counter(report["faults"])
        report["broken"] = [tuple(one) for one in report["broken"]]
        report["bounds"] = {name: Bound(**bound) for name, bound in report["bounds"].items()}
        yield kept["part"], Report(**report)


def fingerprint() -> str:
    """Differs with every change of what is played and of what plays it."""
    digest = hashlib.sha256()
    for folder in (ROOT / "peft_studio" / "core", ROOT / "tests" / "simulator"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def tell_broken(report: Report, out: TextIO) -> None:
    """How each failure is played again."""
    for replay, promise, seen in report.broken:
        print(f"BROKEN  {promise}: {seen}\n        {replay}", file=out, flush=True)


class Progress:
    """Says how far it is, now and then."""

    def __init__(self, before: int, wanted: int, out: TextIO) -> None:
        self._before, self._wanted, self._out = before, wanted, out
        self._began_s = self._told_s = time.monotonic()

    def tell(self, total: Report) -> None:
        """Not more often than every ten seconds."""
        now_s = time.monotonic()
        if now_s - self._told_s < TELL_S:
            return
        self._told_s = now_s
        rate = (total.launches - self._before) / (now_s - self._began_s)
        left_min = (self._wanted - total.launches) / rate / 60
        said = f"{total.launches:,} of {self._wanted:,}, {rate:.0f} a second, {left_min:.0f} min to go, {len(total.broken)} broken promises"
        print(said, file=self._out, flush=True)
