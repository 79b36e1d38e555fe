"""Processes to kill: forks of one that has imported everything, so that a kill costs no second of imports."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

_SERVER = """
import json, os, sys, traceback
import matplotlib.pyplot, orbax.checkpoint, pyarrow.parquet, scipy.stats, tensorstore
import dni_jax.app.cli, dni_jax.app.pipeline, dni_jax.app.report, dni_jax.app.sweep
import dni_jax.inspection, dni_jax.languages, dni_jax.models, dni_jax.verification
answers = os.fdopen(os.dup(1), "w", buffering=1)
for line in sys.stdin:
    code, log = json.loads(line)
    child = os.fork()  # JAX has not started yet, and with it none of its threads
    if child == 0:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1), os.dup2(file, 2)
        ended = 0
        try:
            exec(code, {})
        except SystemExit as stop:
            ended = stop.code or 0
        except BaseException:
            traceback.print_exc()
            ended = 1
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(ended)
    print(child, file=answers)
    print(os.waitpid(child, 0)[1], file=answers)
"""


class Killer:
    """Executes Python code in a process that is killed after some time.

    Parameters
    ----------
    folder
        Where the processes keep their log and the programs that they compile.
    """

    def __init__(self, folder: Path) -> None:
        self.log = folder / "killed.log"
        environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(folder / "programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self._unread = b""

    def run(self, code: str, seconds: float | None = None, how: signal.Signals = signal.SIGKILL) -> bool:
        """Execute code, and say whether it ended before it was killed; fail where it ended in an error."""
        self._server.stdin.write(json.dumps([code, str(self.log)]).encode() + b"\n")
        self._server.stdin.flush()
        child = int(self._answer(None))
        status = self._answer(seconds)
        if status is None:
            os.kill(child, how)
            self._answer(None)
            return False
        assert int(status) == 0, self.log.read_text()[-3_000:]
        return True

    def _answer(self, seconds: float | None) -> bytes | None:
        while b"\n" not in self._unread:
            if not select.select([self._server.stdout], [], [], seconds)[0]:
                return None
            more = os.read(self._server.stdout.fileno(), 1_000)
            assert more, "the server of processes has ended"
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def close(self) -> None:
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait(timeout=60)


def call_command(*arguments: object) -> str:
    """The code that executes a command of the package."""
    return f"from dni_jax.app.cli import main\nmain({[str(one) for one in arguments]!r})"
