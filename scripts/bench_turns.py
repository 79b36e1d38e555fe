"""Fair timing for benchmarks: calls take turns, answers are compared first, other processes' load is told."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from dni_jax.devices import count_cores

QUIET = 0.1  # share of the cores that others may have in a turn


def seconds(call: Callable) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Turns(NamedTuple):
    """Seconds of each call in each turn, and the share of the cores that other processes had meanwhile."""

    seconds: dict[str, list[float]]
    others: list[float]


def contest(calls: dict[str, Callable], repeats: int) -> Turns:
    """Let calls take turns; the first, which compiles, is not counted.

    Turns that other processes disturbed are left out where enough others remain: PyTorch's threads, which wait for each
    other at every operation, come to a standstill where one of them has no core.
    """
    turns: list[tuple[float, dict[str, float]]] = []
    while len(turns) < 3 * repeats + 1 and sum(share < QUIET for share, _ in turns[1:]) < repeats:
        start, busy = time.perf_counter(), foreign_seconds()
        took = {}
        for name, call in calls.items():
            time.sleep(0.02)  # the threads of the one before wait for more work, on a core, before they sleep
            took[name] = seconds(call)
        turns.append(((foreign_seconds() - busy) / (time.perf_counter() - start) / count_cores(), took))
    kept = sorted(turns[1:], key=lambda turn: turn[0])[:repeats]
    return Turns({name: [took[name] for _, took in kept] for name in calls}, [share for share, _ in kept])


def foreign_seconds() -> float:
    """CPU seconds that the machine has spent on others than this process; 0 where the system does not tell."""
    try:
        ticks = [int(part) for part in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    except OSError:
        return 0.0
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK") - time.process_time()


def agree(what: str, ours: np.ndarray, theirs: np.ndarray, name: str, tolerance: float = 1e-4) -> None:
    gap = float(np.max(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64))))
    if not gap <= tolerance:
        raise SystemExit(
            f"expected {name} to give our {what} within {tolerance:g}, got a difference of {gap:.3g}: "
            "speeds of different answers are not compared"
        )


def rows(what: str, characters: int, turns: Turns, target: float | None = None) -> Iterator[dict]:
    """One row for each other; ratios pair the runs of one turn."""
    times = turns.seconds
    rates = {name: characters / float(np.median(each)) for name, each in times.items()}
    for name in times:
        row = {"what": what, "ours": rates["ours"], "other": name, "seconds": times["ours"]}
        row["busy_elsewhere"] = float(np.median(turns.others))
        if name != "ours":
            ratios = np.divide(times[name], times["ours"])
            row |= {"rate": rates[name], "other_seconds": times[name], "ratio": float(np.median(ratios))}
            row |= {"least": float(ratios.min()), "most": float(ratios.max())}
            row["wanted"] = target if name == "torch" else None
        if name != "ours" or len(times) == 1:
            yield row


def limit_row(what: str, took: list[float], wanted: float) -> dict:
    return {"what": what, "seconds": took, "median_s": float(np.median(took)), "wanted_s": wanted}


def show(row: dict) -> None:
    if "ratio" in row:
        wish = f"  at least {row['wanted']:g} wanted" if row.get("wanted") else ""
        between = f"{row['least']:.2f} to {row['most']:.2f}"
        busy = f"  others had {row['busy_elsewhere']:.0%} of the cores" if row["busy_elsewhere"] > QUIET else ""
        print(
            f"{row['what']:34} {row['ours'] / 1e3:9,.0f} {row['other']:>8} {row['rate'] / 1e3:9,.0f}"
            f" {row['ratio']:6.2f}  ({between}){wish}{busy}"
        )
    elif "wanted_s" in row:
        took = row["seconds"]
        between = f"{min(took):.2f} to {max(took):.2f}"
        print(f"{row['what']:34} {row['median_s']:7.2f} s  ({between})  at most {row['wanted_s']:g} wanted")
    elif "ours" in row:
        print(f"{row['what']:34} {row['ours'] / 1e3:9,.0f}")
    else:
        print(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in row.items()))


def machine() -> dict:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    about = {"processor": names[0].split(":")[1].strip() if names else platform.machine(), "cores": count_cores()}
    about["devices"] = sorted({device.device_kind for device in jax.devices()})
    for package in ("jax", "jaxlib", "flax", "torch", "numpy"):
        try:
            about[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            about[package] = None
    return about
