"""How many dimensions of a network's weights a problem needs: Li, Farkhoor, Liu & Yosinski 2018, on toy and images.

Claims    (1) Ten constraints on 1,000 numbers: performance steps from 0 to 1 at exactly d = 10 (section 2).
          (2) A fully connected network 784-200-200-10 of 199,210 weights reaches 90 % of its accuracy on MNIST in a
          random subspace of 750 dimensions, whichever way the subspace is drawn.
          (3) Memorising shuffled labels takes far more dimensions than learning the true ones.
          (4) On CIFAR-10 a convolutional network (LeNet) needs fewer than a fully connected one (2,900 against 9,000).
Command   python -m experiments.intrinsic_dimension.images --part toy (or mnist, shuffled, cifar)
Run time  toy: half a minute; mnist: about 8 CPU minutes per seed, more than half of them for the dense projection;
          shuffled: about 3 CPU minutes; cifar (300 steps): 16 minutes, other programs running beside
Result    (1) Yes, with every projection, where the optimizer finds the solution: L-BFGS gives exp(-loss) 1.000 at d =
          10 in each of five draws. At 9 the mean is .26 (dense), .50 (sparse) and .29 (fastfood): one constraint is
          missed, by luck sometimes by little. Adam gives .15 to .45 at d = 10 with rate .01, and .77 to 1.00 with rate
          1. (2) 1,000 steps of 256 images, seed 0, full accuracy .9809: d90 = 750 in (500, 750] with dense and sparse
          projections, 500 in (300, 500] with fastfood, all within .004 of each other at 500:

          share of the full accuracy at d =   100   200   300   500   750  1,000
          dense                              .656  .793  .855  .898  .923   .937
          sparse                             .634  .799  .851  .897  .922   .933
          fastfood                           .669  .779  .843  .901  .923   .942
          sparse, seed 1                     .651  .793  .835  .893  .929   .939
          fastfood, seed 1                   .579  .785  .831  .896  .922   .935

          (3) 500 images, seed 0 (--steps 600 --dims 50 100 200 400 800 1600 3200): accuracy on them at d = 100, 200,
          400, 800, 1,600 with their own labels .712, .894, 1, 1, 1 (d90 = 400), with shuffled ones .224, .360, .508,
          .932, 1 (d90 = 800). Twice as many for 500 images; all 60,000, of which the paper tells, were not tried.

          (4) Not settled: JPEG pictures (median PSNR to the originals 30.5 dB), and 300 steps of 128 are too few
          (--part cifar --steps 300 --rate 0.003 --dims 500 1000 2000 4000 8000). Full networks reach .430 (LeNet) and
          .352, and the fully connected one does better in 8,000 dimensions, .382, than in all; so its d90 of at most
          500 tells of the training, not of the problem. LeNet at these d: .291, .327, .314, .381, .389 (d90 8,000).
"""

import argparse
import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import dni_jax as dni
from experiments._shared.images import cifar10, mnist
from experiments._shared.subjects import table

SIZES = (784, 200, 200, 10)


def init(sizes, seed):
    """He-normal weights and zero biases of a fully connected network."""
    keys, pairs = jax.random.split(jax.random.key(seed), len(sizes) - 1), itertools.pairwise(sizes)
    normal = jax.nn.initializers.he_normal()
    return [(normal(key, pair), jnp.zeros(pair[1])) for key, pair in zip(keys, pairs, strict=True)]


def logits(params, x):
    for weights, bias in params[:-1]:
        x = jax.nn.relu(x @ weights + bias)
    return x @ params[-1][0] + params[-1][1]


def loss(params, batch):
    x, y = batch
    return optax.softmax_cross_entropy_with_integer_labels(logits(params, x), y).mean()


def accuracy_on(x, y):
    return jax.jit(lambda params: (logits(params, x).argmax(-1) == y).mean())


def told(found, seconds):
    """Rows of a result, one per dimension; told at once, since the next may take long."""
    rows = [[found.projection, r.dim, f"{r.performance:.4f}", f"{r.share:.3f}"] for r in found.table.itertuples()]
    each = ", ".join(f"{d}: {performance}" for _, d, performance, _ in rows)
    print(f"{found!r}, {seconds:.0f} seconds; {each}", flush=True)
    return rows


def toy(asked):
    """Ten constraints: blocks of 100 numbers whose sums must be 1, 2, ... 10; performance is exp(-loss)."""

    def missed(params):
        return jnp.square(params.reshape(10, 100).sum(1) - jnp.arange(1.0, 11.0)).sum()

    def met(params):
        return jnp.exp(-missed(params))

    dims, rows = [1, 5, 8, 9, 10, 11, 15, 20], []
    for kind in asked.projections:
        for optimizer, rate in (("lbfgs", 1.0), ("adam", 0.01), ("adam", 1.0)):  # L-BFGS has no rate
            found = dni.lab.intrinsic_dimension.measure_dimension(
                missed, jnp.zeros(1_000), dims, kind, optimizer=optimizer, performance=met, full=1.0, repeats=5,
                steps=2_000, learning_rate=rate,
            )  # fmt: skip
            name = optimizer if optimizer == "lbfgs" else f"{optimizer}, rate {rate:g}"
            rows.append([kind, name, *(f"{one:.3f}" for one in found.performance.mean(1)), found.by_repeat])
    table(["projection", "optimizer", *(f"d = {d}" for d in dims), "d90 of five draws"], rows)


def images(asked):
    """All of MNIST, held-out accuracy; the same network and the three projections."""
    read = mnist(asked.mnist)
    data = (read.x_train.reshape(len(read.x_train), -1), read.y_train)
    judge, rows = accuracy_on(read.x_test.reshape(len(read.x_test), -1), read.y_test), []
    for seed in asked.seeds:
        full = None
        for kind in asked.projections:
            began = time.perf_counter()
            found = dni.lab.intrinsic_dimension.measure_dimension(
                loss, initial(SIZES, seed), asked.dims or [100, 200, 300, 500, 750, 1_000], kind, data=data,
                performance=judge, full=full, batch=256, steps=asked.steps, learning_rate=asked.rate, seed=seed,
            )  # fmt: skip
            full = found.full
            rows += [[seed, *row] for row in told(found, time.perf_counter() - began)]
    table(["seed", "projection", "d", "accuracy", "of the full network's"], rows)


def shuffled(asked):
    """Some images of MNIST with their own labels, and with these dealt anew: accuracy on these very images."""
    read, rows = mnist(asked.mnist), []
    for seed in asked.seeds:
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(len(read.x_train))[: asked.memorised]
        x, y = read.x_train[chosen].reshape(asked.memorised, -1), read.y_train[chosen]
        for name, labels in (("true", y), ("shuffled", rng.permutation(y))):
            began = time.perf_counter()
            found = dni.lab.intrinsic_dimension.measure_dimension(
                loss, initial(SIZES, seed), asked.dims or [50, 125, 250, 500, 1_000, 2_000, 4_000], "fastfood",
                data=(x, labels), performance=accuracy_on(x, labels), batch=250, steps=asked.steps,
                learning_rate=asked.rate, seed=seed,
            )  # fmt: skip
            rows += [[seed, name, *row[1:]] for row in told(found, time.perf_counter() - began)]
    table(["seed", "labels", "d", "accuracy on the images learnt", "of the full network's"], rows)


class LeNet(nn.Module):
    """Two convolutions and three fully connected layers: 62,006 weights for pictures of 32 x 32 x 3."""

    @nn.compact
    def __call__(self, x):
        """Give logits (batch, 10)."""
        for channels in (6, 16):
            x = nn.max_pool(nn.relu(nn.Conv(channels, (5, 5), padding="VALID")(x)), (2, 2), (2, 2))
        x = x.reshape(len(x), -1)
        for width in (120, 84):
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(10)(x)


def cifar(asked):
    """CIFAR-10: a convolutional network beside a fully connected one; held-out accuracy."""
    read, rows = cifar10(asked.cifar), []
    lenet = LeNet()

    def flat(params, x):
        return logits(params, x.reshape(len(x), -1))

    for seed in asked.seeds:
        starts = {
            "LeNet": (lenet.apply, lenet.init(jax.random.key(seed), read.x_test[:1])),
            "fully connected": (flat, initial((3_072, 200, 200, 10), seed)),
        }
        for name, (network, start) in starts.items():

            def missed(params, batch, network=network):
                return optax.softmax_cross_entropy_with_integer_labels(network(params, batch[0]), batch[1]).mean()

            @jax.jit
            def judge(params, network=network):
                return (network(params, read.x_test).argmax(-1) == read.y_test).mean()

            began = time.perf_counter()
            found = dni.lab.intrinsic_dimension.measure_dimension(
                missed, start, asked.dims or [500, 1_000, 2_000, 4_000, 8_000], "sparse",
                data=(read.x_train, read.y_train), performance=judge, batch=128, steps=asked.steps,
                learning_rate=asked.rate, seed=seed,
            )  # fmt: skip
            rows += [[seed, name, *row[1:]] for row in told(found, time.perf_counter() - began)]
    table(["seed", "network", "d", "accuracy", "of the full network's"], rows)


PARTS = {"toy": toy, "mnist": images, "shuffled": shuffled, "cifar": cifar}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--dims", type=int, nargs="+")
    parser.add_argument("--projections", nargs="+", default=["dense", "sparse", "fastfood"])
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--memorised", type=int, default=500, help="images that labels are learnt of by heart")
    parser.add_argument("--mnist", help="your copy of mnist.npz")
    parser.add_argument("--cifar", help="the folder with your copy of CIFAR-10")
    asked = parser.parse_args()
    dni.devices.use_all_cores()
    PARTS[asked.part](asked)


if __name__ == "__main__":
    main()
