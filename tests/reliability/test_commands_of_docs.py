"""Every command of README.md and docs/ ends well, within three minutes, and never says nothing for two seconds.

All of them are slow: the commands run as written, in a folder of their own. Each prints its times (pytest -s).
"""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.cli_runs import SMALL
from tests.support.terminal import watch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the processes of a command are found in /proc"),
]
ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(r"^```(console|sh|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(dni [^`]+)`")
LONGEST, QUIETEST = 180, 2

# What a command needs that this test cannot give it, by what its line contains.
ELSEWHERE = {
    "scripts/quickstart": "installs from the network; then it is `dni run parentheses`",
    "scripts/test": "runs the tests",
    "pytest": "runs these tests",
    "bench_accelerator": "for an accelerator",
    "gcloud": "for a cluster",
    "--coordinator": "for two machines",
    "HOST": "for a cluster",
    "--address": "for a cluster",
    "pip install": "installs from the network",
}
# The ends of command lines that stand for one of the reader's own.
STAND_INS = {"RUN...": "runs/small", "RUN": "runs/small", "LANGUAGE": "parentheses"}
PARTIAL = re.compile(r"dni \w+( --(resume|force))?")  # a command that a sentence names without what it works on
COMPLETE = ("dni languages", "dni bench")


def commands_of(page):
    text = page.read_text(encoding="utf-8")
    for kind, block in _BLOCK.findall(text):
        if kind == "console":
            yield from (part.strip() for part in re.split(r"^\w*\$ ", block, flags=re.MULTILINE) if part.strip())
        elif not block.startswith("#!"):
            yield from filter(None, block.splitlines())
    for command in _INLINE.findall(text):
        if command in COMPLETE or not PARTIAL.fullmatch(command):
            for placeholder, value in STAND_INS.items():
                command = command.replace(f" {placeholder}", f" {value}")
            yield command


def short(command):
    """A command without its comment and with single blanks."""
    return " ".join(re.sub(r"\s+#\s.*", "", command).split())


COMMANDS = {short(command): page.name for page in PAGES for command in commands_of(page)}
HERE = [command for command in COMMANDS if not any(part in command for part in ELSEWHERE)]


def test_pages_have_commands():
    assert len(HERE) >= 25
    assert {COMMANDS[one] for one in HERE} >= {"command_line.md", "queries.md", "scaling.md", "sweeps.md"}
    for part in ELSEWHERE:
        assert any(part in one for one in COMMANDS), f"no command contains {part!r} any more"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("desk"))


def furnish(folder):
    """Put into a folder what the commands work on: the names with "my", a kernel's archive, the sweep's file, a run."""
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "my.lark").write_text('start: "(" start ")" start | "a"\n')
    (folder / "quotes.lark").write_text(re.search(r"grammar = r'''\n(.*?)'''", read("tutorial.md"), re.DOTALL)[1])
    (folder / "my.toml").write_text('language = "arithmetic"\nstrings = 5000\n[train]\nsteps = 100\n')
    (folder / "sizes.toml").write_text(re.search(r"```toml\n(.*?)```", read("sweeps.md"), re.DOTALL)[1])
    (folder / "kernel.c").write_text(C * 1_500)
    with tarfile.open(folder / "linux-6.1.tar.xz", "w:xz") as archive:
        for number in range(30):
            archive.add(folder / "kernel.c", f"linux-6.1/lib/file{number}.c")
    (folder / "home/.local/share/bash-completion/completions").mkdir(parents=True)
    command = folder / "home/dni"  # of this source tree, which another one may be installed instead of
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m dni_jax.app.cli "$@"\n')
    command.chmod(0o755)
    arguments = ["run", "parentheses", *SMALL, "--out", "runs/small", "--quiet"]
    subprocess.run([command, *arguments], cwd=folder, check=True, env=environment(folder), stdout=subprocess.DEVNULL)
    return folder


C = """
/* how many of the words are longer than most */
static int count(const char **words, int n, int most)
{
	int i, found = 0;

	for (i = 0; i < n; i++)
		if (strlen(words[i]) > most)
			found += 1;
	return found;
}
"""


def read(page):
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def environment(folder):
    """The environment of a user: no settings of the tests, and this source tree first."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_", "DNI_JAX_"))}
    home = folder / "home"
    path = os.pathsep.join([str(home), str(Path(sys.executable).parent), ours.get("PATH", "")])
    return ours | {"PATH": path, "PYTHONPATH": str(ROOT), "TERM": "xterm", "HOME": str(home)}


def complete(command, folder):
    """Let a command work where an earlier one has left its results."""
    if command.startswith(("dni run", "dni train")):
        return f"{command} --out runs/{len(list((folder / 'runs').iterdir()))}"
    if command == "dni sweep examples/sizes.toml":
        return f"{command} --out runs/examples"  # the sweep of docs/sweeps.md has the same name
    if command.startswith(("dni inspect", "dni verify")):
        return f"{command} --force"
    return command


PYTHON = """#!/bin/sh
case "$*" in
    *venv*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *pip*) sleep 4 ;;
esac
"""


def test_the_installation_of_the_quickstart_is_not_silent(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "scripts" / "environment").write_text((ROOT / "scripts" / "environment").read_text())
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    surroundings = os.environ | {"PYTHON": str(tmp_path / "python")}
    watched = watch("set -euo pipefail; source scripts/environment; install_once ''", tmp_path, surroundings, limit=60)
    assert watched.code == 0, watched.output
    assert watched.output.count("working") >= 3
    assert (tmp_path / ".venv" / ".installed").exists()


@pytest.mark.parametrize("command", HERE)
def test_a_command_ends_well_soon_and_never_silent(command, desk):
    watched = watch(complete(command, desk), desk, environment(desk), limit=1.2 * LONGEST)
    print(f"\n{watched.seconds:6.1f} s, {watched.silence:4.1f} s silent after {watched.before[-60:]!r}: {command}")
    assert watched.code == 0, watched.output[-3_000:]
    assert watched.seconds <= LONGEST
    assert watched.silence <= QUIETEST, watched.before
