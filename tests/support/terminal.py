"""A command on a terminal, as a user sees it: how it ends, how long it takes, and how long it says nothing."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
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
        How long the command took: on the clock or of one core, whichever is less, so that other work on the machine
        does not count.
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
    """Execute a command line in bash on a terminal of its own; stop it after `limit` seconds of a core."""
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
        elif now[1] > limit:
            os.killpg(process.pid, 15)
    os.close(master)
    code = process.wait()
    silence, before = max(silences)
    decode = lambda text: text.decode("utf-8", "replace")  # noqa: E731
    return Watched(code, _between((0.0, 0.0), clock.read()), silence, decode(before), decode(output))


def _between(earlier: tuple[float, float], later: tuple[float, float]) -> float:
    return min(later[0] - earlier[0], later[1] - earlier[1])


class _Clock:
    """Seconds since the start of a session's first process, and the seconds of a core its processes have used."""

    def __init__(self, session: int) -> None:
        self._session = session
        self._began = time.monotonic()
        self._ticks: dict[str, float] = {}

    def read(self) -> tuple[float, float]:
        for file in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = file.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self._session:
                self._ticks[file.parent.name] = int(fields[11]) + int(fields[12])
        return time.monotonic() - self._began, sum(self._ticks.values()) / os.sysconf("SC_CLK_TCK")
