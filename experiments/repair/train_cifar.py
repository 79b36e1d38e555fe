"""Train the paper's CIFAR-10 network; killed, it resumes where it stopped when it is started again."""

import argparse
import os
from pathlib import Path

import numpy as np

from experiments._shared.convolutional import in_blocks, keep, pure
from experiments._shared.images import cifar10
from experiments._shared.resumable import Schedule, train_resumably


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cifar", help="a folder with CIFAR-10, or its cifar10_jpeg_bytes.npz")
    parser.add_argument("--networks", default="runs/experiments", help="where checkpoints and networks are kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--coarse", type=int, default=Schedule.coarse, help="epochs at half the resolution")
    parser.add_argument("--fine", type=int, default=Schedule.fine, help="epochs at the full resolution")
    parser.add_argument("--rate", type=float, default=Schedule.rate, help="the highest of the schedule")
    parser.add_argument(
        "--start", type=Path, help="the checkpoint of a finished training run, to go on by another schedule"
    )
    parser.add_argument("--limit", type=int, help="stop after this many steps, with a checkpoint")
    parser.add_argument("--one-thread", action="store_true", help="leave the other cores to others")
    asked = parser.parse_args()
    if asked.one_thread:  # XLA reads its flags at the first computation
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1".strip()

    images = cifar10(asked.cifar)
    schedule = Schedule(coarse=asked.coarse, fine=asked.fine, rate=asked.rate)
    folder = Path(asked.networks)
    name = f"cifar-{asked.coarse}+{asked.fine}-{asked.seed}"
    if asked.start:
        name = f"{asked.start.name.removesuffix('.checkpoint.npz')}-then-{asked.coarse}+{asked.fine}"
    checkpoint = folder / f"{name}.checkpoint.npz"
    network, took = train_resumably(
        "cifar",
        images.x_train,
        images.y_train,
        schedule,
        checkpoint,
        start=asked.start,
        seed=asked.seed,
        limit=asked.limit,
        report=lambda line: print(line, flush=True),
    )
    accuracy = np.mean(in_blocks(pure(network)[1], images.x_test).argmax(axis=1) == images.y_test)
    print(f"step {took['step']} of {took['steps']}: accuracy on test images {accuracy:.4f}", flush=True)
    if took["step"] == took["steps"]:
        file = folder / f"{name}.npz"
        keep(file, network, took["seconds"])
        print(f"kept {file}: {took['seconds']:.0f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
