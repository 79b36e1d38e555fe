"""A command on a terminal, as a user sees it: how it ends, how long it takes, and how long it says nothing."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Watched:
    """What happened on the terminal.

    Attributes
    ----------
    code
        The exit code.
    seconds
        How long the command took: by the clock or by its busiest threads, whichever is less, so that other work on
        the machine does not count.
    silence
        The longest time, by the same measure, in which nothing was written.
    before
        The end of what was written before that silence.
    output
        All that was written.
    """

    code: int
    seconds: float
    silence: float
    before: str
    output: str


def watch(command: str, folder: Path, environment: dict[str, str], limit: float) -> Watched:
    """Execute a command line in bash on a terminal of its own; stop it after `limit` seconds of its busiest threads."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    clock = _Clock(process.pid)
    output, silences, spoke = b"", [(0.0, b"")], clock.read()
    while True:
        ready = select.select([master], [], [], 0.1)[0]
        now = clock.read()
        if ready:
            try:
                more = os.read(master, 65_536)
            except OSError:  # the last process has closed the terminal
                more = b""
            silences.append((_between(spoke, now), output[-200:]))
            spoke = now
            output += more
            if not more:
                break
        if now[1] > limit:
            os.killpg(process.pid, signal.SIGTERM)
        time.sleep(0.05)  # a bar writes often; it is read less often
    os.close(master)
    code = process.wait()
    silence, before = max(silences)
    decode = lambda text: text.decode("utf-8", "replace")  # noqa: E731
    return Watched(code, _between((0.0, 0.0), clock.read()), silence, decode(before), decode(output))


def _between(earlier: tuple[float, float], later: tuple[float, float]) -> float:
    return min(later[0] - earlier[0], later[1] - earlier[1])


class _Clock:
    """Seconds since the start of a session's first process, and how long its processes would have taken alone.

    Alone, an interval lasts at most as long as its busiest thread computes; other work on the machine only stretches
    it.
    """

    _INTERVAL = 0.5  # seconds; long enough that threads which would run at once have all had their turn

    def __init__(self, session: int) -> None:
        self._session = session
        self._began = self._read = time.monotonic()
        self._ticks: dict[str, int] = {}
        self._busiest = 0

    def read(self) -> tuple[float, float]:
        now = time.monotonic()
        if now - self._read >= self._INTERVAL:
            self._read, before = now, self._ticks
            self._ticks = dict(self._threads())
            self._busiest += max((ticks - before.get(name, 0) for name, ticks in self._ticks.items()), default=0)
        return now - self._began, self._busiest / os.sysconf("SC_CLK_TCK")

    def _threads(self) -> Iterator[tuple[str, int]]:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if int((process / "stat").read_text().rpartition(")")[2].split()[3]) != self._session:
                    continue
                for thread in (process / "task").iterdir():
                    fields = (thread / "stat").read_text().rpartition(")")[2].split()
                    yield thread.name, int(fields[11]) + int(fields[12])
            except OSError:  # it has ended in the meantime
                continue
