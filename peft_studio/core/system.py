"""What differs between Linux, macOS and Windows, in one place.

Linux is tried by the tests. The macOS and Windows branches follow those systems' documentation and are untested.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

import platformdirs
import psutil

WINDOWS = sys.platform == "win32"

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


def home_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """The folder that holds runs and models: the argument, else ``$PEFT_STUDIO_HOME``, else the platform's data folder."""
    chosen = given or os.environ.get("PEFT_STUDIO_HOME") or platformdirs.user_data_dir("peft-studio", appauthor=False)
    return Path(chosen).expanduser().resolve()


def detached() -> dict[str, Any]:
    """Arguments for ``subprocess.Popen`` that let a child outlive us, our terminal and our process group."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS | subprocess.CREATE_BREAKAWAY_FROM_JOB
        return {"creationflags": flags, "close_fds": True}
    return {"start_new_session": True, "close_fds": True}


def grouped() -> dict[str, Any]:
    """Arguments for ``subprocess.Popen`` that give a child a group of its own: an interrupt in our terminal does not reach it.

    No session of its own: Linux desktops share the processors out by session, and there :func:`give_way` would count for nothing.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"process_group": 0}


def give_way(process: psutil.Process) -> None:
    """Let others have the processors before a process that we started and its threads to come."""
    with contextlib.suppress(psutil.Error, OSError):
        if sys.platform == "win32":
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            process.nice(10)


def tame(process: psutil.Process, *, after_s: float) -> None:
    """Let those threads of a child that have had so much processor time wait until nobody else wants any.

    Linux ranks each thread by itself. Elsewhere nothing happens.
    """
    if sys.platform == "linux":
        with contextlib.suppress(psutil.Error, OSError):
            for thread in process.threads():
                if thread.user_time + thread.system_time > after_s and thread.id != process.pid:
                    os.setpriority(os.PRIO_PROCESS, thread.id, 19)


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """End a child that was started with :func:`grouped`, and what it started (not so on Windows), at once. Gone already is fine."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            child.kill()
        elif child.returncode is None:  # its number is its own until it was waited for
            os.killpg(child.pid, signal.SIGKILL)


def outlive(child: subprocess.Popen[bytes]) -> None:
    """Wait until a child that was started with :func:`grouped` has ended, however it did, then end what it started and left (not so on Windows).

    Only after this may it be waited for: until then its number is its own.
    """
    if sys.platform == "win32":
        child.wait()
        return
    with contextlib.suppress(ChildProcessError, psutil.NoSuchProcess):
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        else:  # macOS, before Python 3.13
            seen = psutil.Process(child.pid)
            while seen.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.1)
        kill_group(child)


def leave_with_group(status: int) -> NoReturn:
    """End this process at once, and what it started: where it leads a group of its own."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(status)


# How long an OpenMP thread spins before it sleeps while it waits for the others. libgomp's default, some milliseconds, starves whoever
# shares the cores; none at all costs a fifth where nobody does. Measured: docs/decisions/2026-11-22-threads-that-sleep.md.
SHARING = {"GOMP_SPINCOUNT": "10000"}


def try_lock(file: IO[Any], *, shared: bool = False) -> bool:
    """Lock an open file for as long as it stays open; the system releases it when the process dies. Never waits."""
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether a living process holds this lock file."""
    try:
        with path.open("r+b") as file:
            return not try_lock(file, shared=True)
    except FileNotFoundError:
        return False


def open_private(path: Path, flags: int) -> int:
    """``os.open`` for a file that only this user may read (mode 0600, where the system has modes)."""
    return os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0), 0o600)


def write_private(path: Path, text: str) -> None:
    """Replace a file's content at once, readable by this user alone. Readers see the old text or the new, never half."""
    write_aside(path, text.encode(), sync=True)


def write_aside(path: Path, content: bytes, *, sync: bool = False) -> None:
    """The same with bytes; without ``sync`` a power cut may leave an empty file."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}")
    fd = open_private(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    os.replace(aside, path)


def sync_folder(path: Path) -> None:
    """Make renames inside a folder survive a power cut. Windows has no such call and needs none on NTFS."""
    if sys.platform == "win32":
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file while the block runs; waits for whoever has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def end_process_tree(pid: int, *, grace_s: float = 5.0) -> None:
    """End a process that we started and all its children: ask first, then insist. Gone already is fine."""
    try:
        root = psutil.Process(pid)
        family = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=grace_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX-512 BF16 or AMX on x86, BF16 on Arm). False where unknown."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.lower().startswith(("flags", "features"))), "").split()
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags))


def forget_peak_memory() -> None:
    """Let :func:`peak_memory_bytes` begin anew. Only Linux can; elsewhere the peak stays that of the process's life."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes() -> int | None:
    """The most main memory this process has held at once; None where the system does not say."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(ImportError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return None


def free_memory_bytes() -> int:
    """Memory a new process could take: the machine's available memory or the container's limit, whichever is less."""
    available = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        available = min(available, max(0, limit - used))
    return available
