"""States larger than memory: rates of recording to disk, of scoring from it, and of scoring without it.

    python scripts/bench_stream.py                         # 10,000,000 characters x 512 neurons, on disk 10.2 GB
    python scripts/bench_stream.py --positions 1000000     # a tenth

Writes bench_stream.json to --out. The text is sampled parentheses with their 51 features, 20 folds; the network is an
LSTM with initial weights, since its rate does not depend on them. Disk bandwidth is that of the same number of bytes in
one file, written and synced, then read back, page cache dropped, right beside the rest. Peak memory is the process's.
The store is removed afterwards.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

import dni_jax as dni
from dni_jax.models import open_states, stream
from dni_jax.models.cells import CELLS

_BLOCK = 2**24


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def text(positions: int, seed: int) -> dni.Corpus:
    """Sampled strings with about so many characters."""
    language = dni.languages.get("parentheses")
    few = language.sample(2_000, seed=seed)
    return language.sample(int(positions * len(few) / few.n_positions), seed=seed)


def forget(path: Path) -> None:
    """Drop a folder's files from the page cache."""
    for file in path.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def disk(folder: Path, n_bytes: int, seed: int) -> dict[str, float]:
    """MB/s of writing (synced) and reading a plain file of so many bytes."""
    folder.mkdir()
    block, start = np.random.default_rng(seed).bytes(_BLOCK), time.perf_counter()
    with (folder / "plain").open("wb") as file:
        for _ in range(max(1, n_bytes // _BLOCK)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    written = time.perf_counter() - start
    forget(folder)
    start = time.perf_counter()
    with (folder / "plain").open("rb", buffering=0) as file:
        while file.read(_BLOCK):
            pass
    read, size = time.perf_counter() - start, (folder / "plain").stat().st_size / 1e6
    shutil.rmtree(folder)
    return {"disk_write_mb_s": size / written, "disk_read_mb_s": size / read}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, default=10_000_000)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--cell", default="lstm", choices=tuple(CELLS))
    parser.add_argument("--folds", type=int, default=20)
    parser.add_argument("--tolerance", type=float, default=0.02)
    parser.add_argument("--skip", nargs="*", default=(), choices=("stream", "early"))
    parser.add_argument("--scratch", type=Path, default=None, help="folder for the store; by default the system's")
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="bench_stream_", dir=args.scratch))
    try:
        found = measure(args, scratch)
    finally:
        shutil.rmtree(scratch)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "bench_stream.json").write_text(json.dumps(found, indent=1))


def measure(args: argparse.Namespace, scratch: Path) -> dict[str, object]:
    found: dict[str, object] = {"machine": platform.platform(), "cores": os.cpu_count(), **vars(args)}
    found = {name: str(value) if isinstance(value, Path) else value for name, value in found.items()}

    def note(**more: float) -> None:
        found.update({name: float(f"{value:.4g}") for name, value in more.items()}, peak_gib=round(peak_gib(), 2))
        load = os.getloadavg()[0]
        print(
            ", ".join(f"{k} {v:,.4g}" for k, v in more.items()),
            f"| peak {peak_gib():.2f} GiB, load {load:.1f}",
            flush=True,
        )

    start = time.perf_counter()
    corpus = text(args.positions, seed=0)
    note(positions=corpus.n_positions, strings=len(corpus), sampling_s=time.perf_counter() - start)
    plan = dni.models.TrainConfig(hidden=args.hidden, cell=args.cell, seed=0)
    model = dni.models.TrainedModel.init(corpus.vocabulary, plan)
    library = dni.languages.get("parentheses").features()
    n_bytes = corpus.n_positions * args.hidden * 2
    warm = corpus.head(200_000)
    dni.record(model, warm, store=scratch / "warm", dtype="float16")
    dni.inspect(open_states(scratch / "warm"), library, corpus=warm, folds=args.folds)  # compiles
    shutil.rmtree(scratch / "warm")
    note(**disk(scratch / "disk", n_bytes, seed=0))

    start = time.perf_counter()
    dni.record(model, corpus, store=scratch / "states", dtype="float16")
    took = time.perf_counter() - start
    note(record_s=took, record_characters_s=corpus.n_positions / took, record_mb_s=n_bytes / took / 1e6)

    forget(scratch / "states")
    states, start = open_states(scratch / "states"), time.perf_counter()
    for _ in states.chunks():
        pass
    took = time.perf_counter() - start
    note(read_s=took, read_mb_s=n_bytes / took / 1e6)

    start, n_labels = time.perf_counter(), min(len(corpus), 20_000)
    library.label_lazily(corpus).label([(0, n_labels)])
    note(label_characters_s=float(corpus.offsets[n_labels]) / (time.perf_counter() - start))

    forget(scratch / "states")
    start = time.perf_counter()
    relevance = dni.inspect(states, library, corpus=corpus, folds=args.folds)
    took = time.perf_counter() - start
    pairs = relevance.sizes["neuron"] * relevance.sizes["feature"]
    note(inspect_s=took, inspect_characters_s=corpus.n_positions / took, fits_s=pairs * args.folds / took)
    note(**{name: relevance.attrs[name] for name in ("auc_error", "accuracy_error", "r2_error")})

    if "early" not in args.skip:
        forget(scratch / "states")
        start = time.perf_counter()
        early = dni.inspect(states, library, corpus=corpus, folds=args.folds, tolerance=args.tolerance)
        off = np.abs(early["score"].mean("fold") - relevance["score"].mean("fold")).values
        read = early.attrs["positions_read"] / corpus.n_positions
        note(early_s=time.perf_counter() - start, early_read=read, early_largest_difference=float(off.max()))
    if "stream" not in args.skip:
        start = time.perf_counter()
        dni.inspect(stream(model, corpus), library, folds=args.folds)
        took = time.perf_counter() - start
        note(stream_s=took, stream_characters_s=corpus.n_positions / took)
    return found


if __name__ == "__main__":
    main()
