"""A network between two ends on loopback that can be gone for a while, as networks are: no byte passes, and nobody is told."""

from __future__ import annotations

import contextlib
import socket
import threading

PIECE_BYTES = 65536


class Relay:
    """Leads to any port of loopback. Use it in a ``with`` block.

    Attributes:
        stop_at: Bytes on their way to a target at which their connection, and that one alone, waits; sets ``reached``.
        met: How many connections were asked for.
    """

    def __init__(self) -> None:
        self._ways: dict[int, socket.socket] = {}
        self._flows, self._mended = threading.Event(), threading.Event()
        self._flows.set()
        self.stop_at = b""
        self.reached = threading.Event()
        self.met = 0
        self._open: list[socket.socket] = []

    def lead(self, target: int) -> int:
        """The port by which one gets to ``target`` through this network; the same one when asked again."""
        if target not in self._ways:
            self._ways[target] = socket.create_server(("127.0.0.1", 0))
            threading.Thread(target=self._accept, args=(self._ways[target], target), daemon=True).start()
        return int(self._ways[target].getsockname()[1])

    def cut(self) -> None:
        """From now on nothing passes, in either direction; new connections are taken by nobody."""
        self._flows.clear()

    def mend(self, *, forget: bool = False) -> None:
        """All passes again, also what waited. ``forget``: a router in between has forgotten the old connections, and says so."""
        if forget:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self.stop_at = b""
        self._mended.set()
        self._flows.set()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *exc: object) -> None:
        for listener in self._ways.values():
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.mend(forget=True)

    def _accept(self, listener: socket.socket, target: int) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near, target), daemon=True).start()

    def _carry(self, near: socket.socket, target: int) -> None:
        self.met += 1
        self._flows.wait()
        try:
            far = socket.create_connection(("127.0.0.1", target), timeout=5)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        self._open += [near, far]
        back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
        back.start()
        self._pump(near, far, counts=True)
        back.join()
        near.close()
        far.close()

    def _pump(self, source: socket.socket, target: socket.socket, *, counts: bool = False) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                if counts and self.stop_at and self.stop_at in piece:
                    self.reached.set()
                    self._mended.wait()
                self._flows.wait()
                target.sendall(piece)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
