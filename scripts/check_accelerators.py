"""Compile the package's programs for accelerators, without one, and say how well they would fill them.

    python scripts/check_accelerators.py --target h200                    # every program at real sizes
    python scripts/check_accelerators.py --target v5e --program svm       # one of them
    python scripts/check_accelerators.py --target h200 --dump programs    # and write NAME.hlo, the optimized program

Needs the plugins that compile: pip install "dni-jax[accelerators]". Launches are kernels times the trips of their
loops; one whose trips depend on data is counted with 16, and makes a GPU's host wait. A TPU runs its loops itself:
nothing is launched in them. The modeled time is the larger of launches times the time of one (4 us) and the bytes that
XLA counts over the bandwidth: it is a bound to compare programs by, not a measurement.

JAX's own setting says how much work XLA puts into a program: JAX_OPTIMIZATION_LEVEL=O1 compiles faster.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
from accelerators.launches import count_launches
from accelerators.programs import NARROW, ON_HOST, PROGRAMS, SMALL, Site, Sizes
from accelerators.targets import TARGETS, Target

COLUMNS = ("launches", "per_character", "waiting", "collectives", "temporary", "bytes", "compile_s", "modeled_s")


def check(name: str, target: Target, devices: list, sizes: Sizes, dump: Path | None = None) -> dict:
    """Compile one program and return what is known of it."""
    with jax.enable_x64(name not in NARROW):
        program = PROGRAMS[name](Site(target.platform, devices), sizes)
        began = time.perf_counter()
        compiled = program.trace().lower().compile()
        seconds = time.perf_counter() - began
    hlo = compiled.as_text()
    if dump is not None:
        dump.mkdir(parents=True, exist_ok=True)
        (dump / f"{name}.hlo").write_text(hlo, encoding="utf-8")
    count, memory = count_launches(hlo).times(program.calls), compiled.memory_analysis()
    cost = compiled.cost_analysis() or {}
    n_bytes = program.calls * float((cost[0] if isinstance(cost, list) else cost).get("bytes accessed", 0.0))
    row: dict[str, Any] = {"program": name, "collectives": count.collectives}
    modeled = n_bytes / target.bandwidth
    if target.launch:
        row |= {"launches": count.launches, "waiting": count.waiting}
        modeled = max(modeled, count.launches * target.launch)
        if program.characters:
            row["per_character"] = round(count.launches / program.characters, 1)
    row |= {"temporary": getattr(memory, "temp_size_in_bytes", 0), "bytes": n_bytes}
    return row | {"compile_s": round(seconds, 1), "modeled_s": modeled}


def show(row: dict) -> str:
    """Return a row of the table."""
    cells = [f"{row['program']:17}"]
    for name in COLUMNS:
        value = row.get(name, "")
        if name in ("temporary", "bytes"):
            value = f"{value / 2**20:,.0f} MiB"
        elif name == "modeled_s":
            value = f"{1e3 * value:,.2f} ms"
        cells.append(f"{value:>13,}" if isinstance(value, int) else f"{value:>13}")
    return "".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=tuple(TARGETS), default="h200")
    parser.add_argument("--program", action="append", choices=tuple(PROGRAMS), help="only these")
    parser.add_argument("--small", action="store_true", help="at sizes that compile quickly")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of a table")
    parser.add_argument("--dump", type=Path, metavar="FOLDER", help="write NAME.hlo, the optimized programs")
    options = parser.parse_args()
    target = TARGETS[options.target]
    try:
        devices = target.devices()
    except ImportError as error:
        sys.exit(f"{error}")
    if not options.json:
        print(f"{'program':17}" + "".join(f"{name:>13}" for name in COLUMNS))
    for name in options.program or PROGRAMS:
        if target.platform == "tpu" and name in ON_HOST:
            print(f"{name}: left to the host of a TPU", file=sys.stderr)
            continue
        row = check(name, target, devices, SMALL if options.small else Sizes(), options.dump)
        print(json.dumps(row | {"target": options.target}) if options.json else show(row), flush=True)


if __name__ == "__main__":
    main()
