"""What the intrinsic dimension depends on: networks, labels, data (Li, Farkhoor, Liu & Yosinski 2018, section 3).

Claims    networks  twenty fully connected networks of depth 1 to 5 and width 50 to 400 have nearly one d90 on MNIST,
                    while their numbers of weights differ 24-fold.
          labels    with shuffled labels d90 grows with the number of images (190,000 for all 60,000).
          cifar     d90 is 9,000 for a fully connected network on CIFAR-10 and 2,900 for LeNet; a ResNet gets half of
                    all test images right with 1,000 to 2,000.
Command   python -m experiments.intrinsic_dimension.sweeps networks (or labels, cifar) [--core] [--seeds 0 1 2]
          Measures what is missing in results_PART.json beside this file, and prints the table of all rows there;
          --results FILE starts a file of your own. A sweep may be stopped at any time.
Run time  and results: README.md in this folder
"""

import argparse
import itertools
import time
from pathlib import Path

import jax
import numpy as np

import dni_jax as dni
from experiments._shared.images import cifar10, mnist
from experiments._shared.results import Results
from experiments._shared.subjects import spread, table
from experiments.intrinsic_dimension._models import LeNet, ResNet, accuracy_on, crossing, init, logits, loss_of

DEPTHS, WIDTHS = (1, 2, 3, 4, 5), (50, 100, 200, 400)
MNIST_DIMS = (300, 500, 800, 1_200)
# Images: the dimensions to try, steps of 250 images, and the rate. More images take more steps, and smaller ones:
# of 10,000 shuffled labels, the full network memorizes .57 in 4,000 steps at .01.
MEMORIES = {
    500: ((200, 400, 800, 1_600), 600, 0.01),
    2_000: ((1_000, 2_000, 4_000, 8_000), 2_000, 0.01),
    10_000: ((8_000, 16_000, 32_000), 4_000, 0.003),
    60_000: ((128_000, 190_000), 24_000, 0.001),
}
TRUE_DIMS = (50, 100, 200, 400, 800, 1_600)
# Networks for CIFAR-10: the dimensions to try, and the steps of 128 images.
CIFAR = {
    "fully connected": ((2_000, 4_500, 9_000, 18_000), 4_000),
    "LeNet": ((1_000, 1_750, 2_900, 5_800), 12_000),
    "ResNet": ((500, 1_000, 2_000, 4_000), 6_000),
}
HALF = 0.5


def measured(network, start, dims, projection, data, judge, **settings):
    """Return a row: accuracies by dimension and of the full network, and where the threshold is crossed."""
    began = time.process_time()
    found = dni.lab.intrinsic_dimension.measure_dimension(
        loss_of(network), start, dims, projection, data=data, performance=judge, progress=False, **settings
    )
    reached = found.performance.mean(1)
    return {
        "n_params": found.n_params,
        "dims": list(dims),
        "accuracy": [round(float(one), 4) for one in reached],
        "full": round(float(found.full), 4),
        "dimension": found.dimension,
        "crossing": crossing(dims, reached, found.threshold),
        "cpu_seconds": round(time.process_time() - began),
    }


def networks(asked, results):
    """Twenty networks; --core takes four of them."""
    read = mnist(asked.mnist)
    data, judge = (read.x_train, read.y_train), accuracy_on(logits, read.x_test, read.y_test)
    (depths, widths), steps = ((1, 5), (50, 200)) if asked.core else (DEPTHS, WIDTHS), asked.steps or 400
    for seed, width, depth in itertools.product(asked.seeds, widths, depths):
        sizes = (784, *[width] * depth, 10)
        results.measured(
            lambda sizes=sizes, seed=seed: measured(
                logits, init(sizes, seed), MNIST_DIMS, "sparse", data, judge, batch=128, steps=steps,
                learning_rate=0.005, seed=seed,
            ),
            depth=depth, width=width, steps=steps, seed=seed,
        )  # fmt: skip
    rows = sorted(results.rows, key=lambda row: (row["width"], row["depth"], row["seed"]))
    head = [
        "depth",
        "width",
        "steps",
        "seed",
        "weights",
        "full network",
        *(f"share at d = {d}" for d in MNIST_DIMS),
        "d90",
    ]
    table(head, [
        [row["depth"], row["width"], row["steps"], row["seed"], f"{row['n_params']:,}", f"{row['full']:.4f}",
         *(f"{one / row['full']:.3f}" for one in row["accuracy"]), told(row)] for row in rows
    ])  # fmt: skip
    crossings = [row["crossing"] for row in rows if row["crossing"]]
    print(f"d90, interpolated, of {len(crossings)} of {len(rows)} networks: {spread(crossings, 0)}")


def labels(asked, results):
    """Some images with labels dealt anew, and with their own; accuracy on these very images."""
    read = mnist(asked.mnist)
    for count in asked.pictures or ([500] if asked.core else list(MEMORIES)):
        dims, steps, rate = MEMORIES[count]
        for seed, kind in itertools.product(asked.seeds, ("shuffled", "true")):
            rng = np.random.default_rng(seed)
            chosen = rng.permutation(len(read.x_train))[:count]
            x, y = read.x_train[chosen], read.y_train[chosen]
            y = rng.permutation(y) if kind == "shuffled" else y
            tried = dims if kind == "shuffled" else TRUE_DIMS
            projection = "sparse" if tried[-1] < 3_000 else "fastfood"  # each where it is the faster one
            results.measured(
                lambda x=x, y=y, tried=tried, steps=steps, rate=rate, projection=projection, seed=seed: measured(
                    logits, init((784, 200, 200, 10), seed), tried, projection, (x, y), accuracy_on(logits, x, y),
                    batch=250, steps=steps, learning_rate=rate, seed=seed,
                ),
                pictures=count, labels=kind, seed=seed,
            )  # fmt: skip
    rows = sorted(results.rows, key=lambda row: (row["pictures"], row["labels"], row["seed"]))
    head = ["pictures", "labels", "seed", "full network", "accuracy at d", "d90"]
    table(head, [[row["pictures"], row["labels"], row["seed"], f"{row['full']:.3f}", each(row), told(row)]
                 for row in rows])  # fmt: skip


def cifar(asked, results):
    """Fully connected, LeNet, ResNet: d90, and the dimension that gets half of all test images right."""
    read = cifar10(asked.cifar)
    data = (read.x_train, read.y_train)
    for seed, name in itertools.product(asked.seeds, ["fully connected"] if asked.core else asked.networks):
        dims, steps = asked.dims or CIFAR[name][0], asked.steps or CIFAR[name][1]
        if name == "fully connected":
            network, start = logits, init((read.x_train[0].size, 200, 200, 10), seed)
        else:
            module = {"LeNet": LeNet, "ResNet": ResNet}[name]()
            network, start = module.apply, module.init(jax.random.key(seed), read.x_test[:1])
        judge = accuracy_on(network, read.x_test, read.y_test)
        results.measured(
            lambda network=network, start=start, judge=judge, dims=dims, steps=steps, seed=seed: measured(
                network, start, dims, "fastfood", data, judge, batch=128, steps=steps, learning_rate=asked.rate,
                seed=seed,
            ),
            network=name, steps=steps, rate=asked.rate, seed=seed,
        )  # fmt: skip
    head = ["network", "steps", "rate", "seed", "weights", "full network", "accuracy at d", "d90", "d of half"]
    rows = sorted(results.rows, key=lambda row: (list(CIFAR).index(row["network"]), row["steps"], row["seed"]))
    table(head, [[row["network"], row["steps"], row["rate"], row["seed"], f"{row['n_params']:,}", f"{row['full']:.3f}",
                  each(row), told(row), half(row)] for row in rows])  # fmt: skip


def half(row):
    """Where a line between two dimensions crosses half of all images."""
    found = crossing(row["dims"], row["accuracy"], HALF)
    if found is None:
        return f"{row['dims'][0]:,} or fewer" if row["accuracy"][0] >= HALF else f"> {row['dims'][-1]:,}"
    return f"about {found:,.0f}"


def each(row):
    return ", ".join(f"{d:,}: {one:.3f}" for d, one in zip(row["dims"], row["accuracy"], strict=True))


def told(row):
    """The smallest dimension that reached the threshold, and where a line between its neighbors crosses it."""
    if row["dimension"] is None:
        return f"> {row['dims'][-1]:,}"
    return f"{row['dimension']:,}" + (f" (about {row['crossing']:,.0f})" if row["crossing"] else " or fewer")


PARTS = {"networks": networks, "labels": labels, "cifar": cifar}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--core", action="store_true", help="few networks, few images: minutes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--pictures", type=int, nargs="+", choices=MEMORIES, help="numbers of images to memorize")
    parser.add_argument("--networks", nargs="+", choices=CIFAR, default=list(CIFAR), help="networks for CIFAR-10")
    parser.add_argument("--dims", type=int, nargs="+", help="dimensions to try for CIFAR-10")
    parser.add_argument("--rate", type=float, default=0.003, help="peak learning rate for CIFAR-10, of all weights")
    parser.add_argument("--steps", type=int, help="of training: 400 for networks, 4,000 to 12,000 for CIFAR-10")
    parser.add_argument("--results", type=Path, help="where rows are kept")
    parser.add_argument("--mnist", help="your copy of mnist.npz")
    parser.add_argument("--cifar", help="the folder with your copy of CIFAR-10")
    asked = parser.parse_args()
    dni.devices.use_all_cores()
    path = asked.results or Path(__file__).with_name(f"results_{asked.part}.json")
    PARTS[asked.part](asked, Results(path))


if __name__ == "__main__":
    main()
