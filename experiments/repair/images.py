"""Hybrids of a convolutional network and a support vector machine, attacked and repaired (Guidotti & Leofante 2019).

Claim     With the layers after the convolutions replaced by a support vector machine, a network decides better; its
          head can be repaired from one adversarial image with few changed weights, and others are then right as well.
Command   python -m experiments.repair.images            (MNIST)
          python -m experiments.repair.images --part cifar --seeds 0 --steps 250
Run time  MNIST 231 seconds for three seeds on 2 CPU cores, 20 CPU seconds per seed of them training;
          CIFAR-10 480 CPU seconds, 209 of them training
Result    MNIST, 200 steps of 128 images (so that the network is as good as the paper's), machines that learn from
          8,000 images, 1,000 test images attacked, 2,000 others to repair from; means over three networks:

                                              paper   measured   reproduced
          network, accuracy                    .971       .972   (set by the steps)
          linear hybrid                        .987       .979   yes: above the network
          RBF hybrid                           .989       .982   yes: above the linear one
          others fixed by repair from one    >= .20       .095   .130 from 5, .105 from 20, .244 from 200

          The last line is no test of the paper: here every image moves by the full epsilon, and targets are 1 and 0.
          `experiments.repair.protocol` does as the paper does, and reproduces the claim.

          Attacked at epsilon .15 the network keeps .533, the linear hybrid .200, the RBF hybrid .705: a linear hybrid
          is easier to fool than the network, an RBF one harder, at every epsilon.

          Repair toward scores of 1 and 0, at a cost of 1, corrects the given images, at a cost: from 20,
          accuracy on clean images falls from .981 to .805, and under a fresh attack at .15 from .200 to .046. That
          the right class's score alone is raised costs less and gives more: .911 and .169 from 20 (others fixed .154),
          .969 and .215 from 200 (.296; .902 of the given ones corrected). Features selected by Wilcoxon's test at .1
          make no difference (771 of 800, by all pairs) or a worse one (425 to 463, by 20 pairs: .784 and .049 from 20).

          CIFAR-10, from JPEG images (median PSNR to the originals 30.5 dB): the paper's 5,851,338 parameters, but
          only 250 steps of 64 images, a third of an epoch, one network, machines that learn from 4,000 images, 200
          test images attacked. So its accuracies are far below the paper's (.854, .856, .8551) and say little about
          them: network .434, linear hybrid .452, RBF hybrid .483. At epsilon .01 they keep .250, .050, .270; repair
          from 1, 5, 20, 200 puts .062, .074, .049, .086 of the others right toward 1 and 0, with the right class
          raised .025, .136, .074, .198; from 20 clean accuracy falls from .455 to .335, with the right class raised it
          stays (.460).
"""

import argparse
import time

import numpy as np
from scipy.stats import wilcoxon

import dni_jax as dni
from dni_jax.lab.repair import gradient_sign, margin_targets, one_hot_targets
from experiments._shared.convolutional import in_blocks, pure, trained
from experiments._shared.images import cifar10, mnist
from experiments._shared.subjects import spread, table

PARTS = {
    "mnist": {
        "steps": 200,
        "training": {"batch": 128},
        "learned": {"linear": 8_000, "rbf": 8_000},  # training images
        "tested": 10_000,
        "attacked": 1_000,
        "pool": 2_000,  # other test images, attacked to repair from
        "epsilons": (0.05, 0.1, 0.15, 0.2, 0.25, 0.3),
        "at": 0.15,
    },
    "cifar": {
        "steps": 500,
        "training": {"batch": 64, "flip": True},
        "learned": {"linear": 4_000, "rbf": 4_000},
        "tested": 2_000,
        "attacked": 200,
        "pool": 600,
        "epsilons": (0.005, 0.01, 0.03),
        "at": 0.01,
    },
}
MODELS = ("network", "linear", "rbf")
GIVEN = (1, 5, 20, 200)
TYPICAL = 20  # adversarials that the head is repaired from, where only one number is tried
SELECTED = 0.1  # Wilcoxon's p below which a feature may change
ALL, FEW = "the same, features selected by all pairs", f"the same, selected by {TYPICAL} pairs"
OWN, RAISED = "1 and -1", "right class raised"
WAYS = ("1 and 0", ALL, FEW, OWN, RAISED)


class Subject:
    """A trained network, its two hybrids, and test images: some to be judged on, others to repair from."""

    def __init__(self, plan, images, seed, folder, kind):
        network, self.training = trained(
            kind, seed, folder, images.x_train, images.y_train, plan["steps"], **plan["training"]
        )
        self.plan = plan
        self.body, whole = pure(network)
        self.hybrids, self.fitting = {}, {}
        order = np.random.default_rng(seed).permutation(len(images.x_train))[: max(plan["learned"].values())]
        states = in_blocks(self.body, images.x_train[order])
        for kernel, count in plan["learned"].items():
            began = time.process_time()
            self.hybrids[kernel] = dni.lab.repair.fit_hybrid(
                self.body, states[:count], images.y_train[order[:count]], kernel
            )
            self.fitting[kernel] = time.process_time() - began
        self.scores = {"network": whole} | {kernel: svm.scores for kernel, svm in self.hybrids.items()}
        shuffled = np.random.default_rng(seed + 1).permutation(len(images.x_test))
        n_judged, tested = plan["attacked"], shuffled[: plan["tested"]]
        judged, pool = shuffled[:n_judged], shuffled[n_judged : n_judged + plan["pool"]]
        self.x, self.y = images.x_test[judged], images.y_test[judged]
        self.pool = images.x_test[pool], images.y_test[pool]
        self.accuracies = {
            name: float(np.mean(in_blocks(scores, images.x_test[tested]).argmax(axis=1) == images.y_test[tested]))
            for name, scores in self.scores.items()
        }
        self.signs = {name: gradient_sign(scores, self.x, self.y) for name, scores in self.scores.items()}
        self.pool_sign = gradient_sign(self.scores["linear"], *self.pool)

    def attacked(self, signs, epsilon):
        """Give the images that are judged on, moved along signs and clipped to 0 and 1 (as `dni.lab.repair.fgsm`)."""
        return np.clip(self.x + np.float32(epsilon) * signs, 0, 1)

    def adversarials(self, epsilon):
        """Images of the pool that the linear hybrid knows and, attacked, no more: states before and after, labels."""
        svm, (pictures, labels) = self.hybrids["linear"], self.pool
        changed = np.clip(pictures + np.float32(epsilon) * self.pool_sign, 0, 1)
        before, after = in_blocks(self.body, pictures), in_blocks(self.body, changed)
        known, fooled = (np.asarray(svm.decision_function(states)).argmax(axis=1) for states in (before, after))
        hit = (known == labels) & (fooled != labels)
        return before[hit], after[hit], labels[hit]


def accuracy(svm, states, labels):
    return float(np.mean(np.asarray(svm.decision_function(states)).argmax(axis=1) == labels))


def selected(before, after):
    """Features that differ between images and their adversarials (NaN, no difference anywhere: they do not)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        p = wilcoxon(before.astype(float) - after, axis=0, method="asymptotic").pvalue
    return np.flatnonzero(p < SELECTED)


def repaired(svm, states, labels, way, features):
    """Repair the linear hybrid's head from adversarials, in one of the ways."""
    if way == RAISED:
        scores = states.astype(float) @ svm.weights.T + svm.bias
        return dni.repair_head(svm.weights, svm.bias, states, margin_targets(scores, labels, margin=0.1))
    wanted = one_hot_targets(labels, 10)
    if way == OWN:  # what the machines were trained for
        wanted = 2 * wanted - 1
    return dni.repair_head(svm.weights, svm.bias, states, wanted, cost=1.0, neurons=features.get(way))


def judged(case, fix, epsilon, clean, fresh=True):
    """What the repaired head reaches: on images, on adversarials of the network, of the hybrid, and of itself."""
    svm = case.hybrids["linear"]
    mended = svm.with_repair(fix)
    own = in_blocks(case.body, case.attacked(case.signs["linear"], epsilon))
    theirs = in_blocks(case.body, case.attacked(case.signs["network"], epsilon))
    known = np.asarray(svm.decision_function(clean)).argmax(axis=1) == case.y
    fooled = known & (np.asarray(svm.decision_function(own)).argmax(axis=1) != case.y)
    found = {
        "Data": accuracy(mended, clean, case.y),
        "NADV": accuracy(mended, theirs, case.y),
        "HADV": accuracy(mended, own, case.y),
        "fixed": accuracy(mended, own[fooled], case.y[fooled]) if fooled.any() else float("nan"),
        "changed": fix.changed,
    }
    if fresh:
        signs = gradient_sign(mended.scores, case.x, case.y)
        found["RHADV"] = accuracy(mended, in_blocks(case.body, case.attacked(signs, epsilon)), case.y)
    before = {"Data": accuracy(svm, clean, case.y), "NADV": accuracy(svm, theirs, case.y)}
    return found, before | {"HADV": accuracy(svm, own, case.y)}


def measured(case):
    """All numbers of one seed."""
    plan, svm = case.plan, case.hybrids["linear"]
    clean = in_blocks(case.body, case.x)
    found = {"accuracy": case.accuracies, "attacked": {}, "by epsilon": {}, "by number": {}}
    for epsilon in plan["epsilons"]:
        found["attacked"][epsilon] = {
            name: float(np.mean(in_blocks(scores, case.attacked(case.signs[name], epsilon)).argmax(axis=1) == case.y))
            for name, scores in case.scores.items()
        }
        _, states, labels = case.adversarials(epsilon)
        fix = repaired(svm, states[:TYPICAL], labels[:TYPICAL], WAYS[0], {})
        found["by epsilon"][epsilon] = judged(case, fix, epsilon, clean)
    before, states, labels = case.adversarials(plan["at"])
    features = {ALL: selected(before, states), FEW: selected(before[:TYPICAL], states[:TYPICAL])}
    found["features"], found["pool"] = [len(free) for free in features.values()], len(states)
    for given in GIVEN:
        if given > len(states):
            continue
        for way in WAYS:
            began = time.perf_counter()
            fix = repaired(svm, states[:given], labels[:given], way, features)
            took = time.perf_counter() - began
            found["by number"][given, way] = judged(case, fix, plan["at"], clean)[0] | {
                "seconds": took,
                "corrected": float(fix.corrected.mean()),
                "gap": float(fix.gap.sum() / max(fix.objective, 1e-300)),
            }
    return found


def over(found, *path):
    """One number of every seed."""
    values = found
    for step in path:
        values = [value[step] for value in values]
    return spread(values)


def report(found, plan):
    print(f"Accuracy on {plan['tested']} test images\n")
    table(("network", "linear hybrid", "RBF hybrid"), [[over(found, "accuracy", name) for name in MODELS]])
    print(f"Accuracy on {plan['attacked']} images attacked through the classifier itself\n")
    rows = [[e, *(over(found, "attacked", e, name) for name in MODELS)] for e in plan["epsilons"]]
    table(("epsilon", *MODELS), rows)
    print(f"The linear hybrid's head repaired from {TYPICAL} of its adversarials toward 1 and 0; before -> after\n")
    names = ("Data", "NADV", "HADV")
    rows = []
    for e in plan["epsilons"]:
        cells = [
            f"{over(found, 'by epsilon', e, 1, name)} -> {over(found, 'by epsilon', e, 0, name)}" for name in names
        ]
        rows.append([e, *cells, *(over(found, "by epsilon", e, 0, name) for name in ("RHADV", "fixed"))])
    table(("epsilon", *names, "RHADV", "share of other adversarials fixed"), rows)
    pools, free = ([one[name] for one in found] for name in ("pool", "features"))
    print(f"Repaired from some of {pools} adversarials at epsilon {plan['at']}")
    print(f"Features selected by all pairs and by {TYPICAL}: {free}\n")
    data, own = (over(found, "by epsilon", plan["at"], 1, name) for name in ("Data", "HADV"))
    rows = [[0, "not repaired", "", data, own, own, "", 0, "", ""]]
    for given, way in found[0]["by number"]:
        if any((given, way) not in one["by number"] for one in found):
            continue
        names = ("fixed", "Data", "HADV", "RHADV", "corrected", "changed", "seconds", "gap")
        cells = [[one["by number"][given, way][name] for one in found] for name in names]
        shown = [spread(values, 0 if name == "changed" else 3) for name, values in zip(names[:-1], cells, strict=False)]
        rows.append([given, way, *shown, f"{max(cells[-1]):.0e}"])
    head = ("given", "way", "share of others fixed", "Data", "HADV", "RHADV", "given ones corrected")
    table((*head, "weights changed", "seconds", "relative gap"), rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, default="mnist")
    parser.add_argument("--mnist", help="an .npz of MNIST")
    parser.add_argument("--cifar", help="a folder with CIFAR-10")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one network each")
    parser.add_argument("--steps", type=int, help="of training")
    parser.add_argument("--networks", default="runs/experiments", help="where trained networks are kept")
    parser.add_argument("--quick", action="store_true", help="fewer images and epsilons")
    asked = parser.parse_args()
    dni.devices.use_all_cores()
    plan = dict(PARTS[asked.part])
    if asked.steps:
        plan["steps"] = asked.steps
    if asked.quick:
        plan |= {"attacked": 200, "pool": 600, "learned": {"linear": 1_000, "rbf": 1_000}, "epsilons": (plan["at"],)}
    images = mnist(asked.mnist) if asked.part == "mnist" else cifar10(asked.cifar)
    found = []
    for seed in asked.seeds:
        began = time.process_time()
        case = Subject(plan, images, seed, asked.networks, asked.part)
        found.append(measured(case))
        took = {"training": case.training, **case.fitting, "this run": time.process_time() - began}
        print(
            f"seed {seed}: CPU seconds " + ", ".join(f"{name} {value:.0f}" for name, value in took.items()), flush=True
        )
    report(found, plan)


if __name__ == "__main__":
    main()
