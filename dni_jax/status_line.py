"""The last line of a terminal, which says that a command works; it imports nothing that takes time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Protocol, runtime_checkable

_INTERVAL = 1.0  # seconds between two lines


@runtime_checkable  # tests check arguments against the types of signatures
class _Stream(Protocol):
    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...


class _StatusLine:
    """Rewrites the last line of a terminal each second: "working, 3 s"."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._pauses = 0
        self._shows = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._rewrite, daemon=True)
        self._thread.start()

    def _rewrite(self) -> None:
        while not self._ended.wait(_INTERVAL):
            with self._lock:
                if not self._pauses:
                    self._write(f"\rworking, {time.monotonic() - self._began:.0f} s\x1b[K")
                    self._shows = True

    def _write(self, text: str) -> None:
        # A terminal that has gone away must not end the work.
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()

    def pause(self) -> None:
        """Leave the line to others."""
        with self._lock:
            self._pauses += 1
            if self._shows:
                self._write("\r\x1b[K")
                self._shows = False

    def resume(self) -> None:
        with self._lock:
            self._pauses -= 1

    def end(self) -> None:
        self._ended.set()
        self.pause()
        self._thread.join()


_status: ContextVar[_StatusLine | None] = ContextVar("status", default=None)


@contextmanager
def show_status() -> Iterator[None]:
    """Show on a terminal that the block works and for how long, whenever no bar does.

    Imports, compilations and many short stages have no bar; a command would be silent while they last.
    """
    if not sys.stderr.isatty():
        yield
        return
    line = _StatusLine(sys.stderr)
    token = _status.set(line)
    try:
        yield
    finally:
        _status.reset(token)
        line.end()


@contextmanager
def pause_status() -> Iterator[None]:
    """Let the block write to the terminal where `show_status` does."""
    line = _status.get()
    if line is not None:
        line.pause()
    try:
        yield
    finally:
        if line is not None:
            line.resume()
