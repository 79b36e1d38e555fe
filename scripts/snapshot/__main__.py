"""Save what the package computes, and compare two such snapshots: a guard for changes that must change no number.

Commands::

    python scripts/snapshot save /tmp/before
    ...  # change the code
    python scripts/snapshot save /tmp/after
    python scripts/snapshot compare /tmp/before /tmp/after

A snapshot is a folder: ``arrays.npz`` and ``texts.json`` hold the results of every case by their names,
``cases.json`` what each case took and whether it failed. `compare` exits with 1 where a number differs by more than
the tolerance, a text differs, or a case failed or is missing. ``save --only PATTERN`` does a part and keeps the
folder's other cases; ``--skip '(?!)'`` also does the slow ones. Where a public name moves, `names.py` is the only file
to edit.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="snapshot", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    save = commands.add_parser("save", help="run the cases and save their results")
    save.add_argument("folder", type=Path)
    save.add_argument(
        "--programs",
        type=Path,
        default=Path(tempfile.gettempdir()) / "dni_jax_snapshot_programs",
        help="folder of compiled programs, which a later snapshot takes up where they have not changed",
    )
    compare = commands.add_parser("compare", help="compare two snapshots, case by case")
    compare.add_argument("old", type=Path)
    compare.add_argument("new", type=Path)
    compare.add_argument("--tolerance", type=float, default=1e-6, help="largest absolute difference (default 1e-6)")
    compare.add_argument("--quiet", action="store_true", help="print only the cases that are not equal to the bit")
    for command in (save, compare):
        command.add_argument("--only", default="", metavar="PATTERN", help="regular expression that names must match")
        command.add_argument("--skip", default="^slow/", metavar="PATTERN", help='names to skip (default "^slow/")')
    asked = parser.parse_args()
    if asked.command == "compare":
        from comparing import compare_snapshots

        return compare_snapshots(asked.old, asked.new, asked.only, asked.skip, asked.tolerance, asked.quiet)
    with tempfile.TemporaryDirectory(prefix="snapshot_") as scratch:
        _fix_the_machine(scratch, asked.programs)
        from cases import load_cases
        from registry import save_snapshot

        load_cases()
        return save_snapshot(asked.folder.resolve(), asked.only, asked.skip, Path(scratch))


def _fix_the_machine(scratch: str, programs: Path) -> None:
    """Set what results may depend on, platform and number of devices, and leave the user's caches alone.

    Nearly all time goes into compiling small programs, so that the compiler is asked for little effort.
    """
    os.environ["DNI_JAX_CACHE"] = f"{scratch}/cache"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_NUM_CPU_DEVICES"] = "2"
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(programs.resolve())
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["MPLBACKEND"] = "agg"
    os.environ["COLUMNS"] = "120"


if __name__ == "__main__":
    sys.exit(main())
