"""Section 5 of Lin & Wu 2017: a network that reads the Linux kernel's C.

Claim     (k) Neurons know ten kinds of nodes, by range and by impulse; and with the top 1 and the top 10 parenthesis
          neurons set to 1 the network writes more matched parentheses; likewise digits, function declarations and
          statement terminators.
Command   python -m experiments.inspection.linux_c --text linux-6.1.tar.xz     (a tar archive or folder of C)
          python -m experiments.inspection.linux_c --text PATH --glob '**/*.c' (other files than kernel/)
Run time  training 10 minutes on 2 CPU cores, once; it goes on where it was stopped. The rest 1 minute.
Result    the tables of README.md in this folder
"""

import argparse
import time
from pathlib import Path

import numpy as np
import xarray as xr

import dni_jax as dni
from dni_jax.models import cross_entropy
from dni_jax.text import to_string
from experiments._shared.subjects import both_protocols, table
from experiments.inspection._compression import compressor_bits, ngram_bits

KINDS = (
    "terminator",
    "function definition",
    "braces",
    "parentheses",
    "if",
    "loop",
    "assignment",
    "call",
    "return",
    "number",
)
SET_TO_ONE = ("range:parentheses", "digit", "function", "range:terminator")
CHARACTERS, INSPECTED = 2_600_000, 150_000
NETWORK = dni.models.TrainConfig(
    hidden=256, steps=10_000, batch=64, learning_rate=5e-3, evaluate_every=500, patience=20
)
KS, RANDOM_SETS, TEXTS, LENGTH = (1, 10), 64, 32, 500


def network(corpus: dni.Corpus, folder: Path) -> dni.models.TrainedModel:
    """Train, go on with a training that was stopped, or take the network that is there."""
    if not (folder / "network").exists():
        began = time.perf_counter()
        dni.train(corpus, config=NETWORK, checkpoints=folder / "training").save(folder / "network")
        print(f"trained in {time.perf_counter() - began:.0f} s (this call)")
    model = dni.load(folder / "network")
    for row in model.history[:: max(len(model.history) // 8, 1)]:
        print(
            f"  step {row['step']}: {row['validation_loss'] / np.log(2):.3f} bits per character, {row['seconds']:.0f} s"
        )
    return model


def compare_losses(model: dni.models.TrainedModel, corpus: dni.Corpus) -> None:
    """The network's loss on the files that stopped its training, beside models that only count."""
    train, unseen = corpus.train, corpus.validation
    bits = {f"this network ({model.n_neurons} neurons)": cross_entropy(model.weights, unseen) / np.log(2)}
    for order in (1, 3, 5, 7):
        found = ngram_bits(train.flat_codes, unseen.flat_codes, order, len(corpus.vocabulary))
        bits[f"{order}-gram, Witten-Bell"] = found
    bits |= compressor_bits(*(to_string(part.text) for part in (train, unseen)))
    table(["model", "bits per character"], [[name, f"{value:.3f}"] for name, value in bits.items()])


def relevance_of(model: dni.models.TrainedModel, held_out: dni.Corpus) -> tuple[xr.Dataset, dict[str, np.ndarray]]:
    """Print how well the ten kinds of nodes are known, by both protocols; give ours, and each neuron's direction."""
    states = dni.record(model, held_out)
    library = dni.languages.get("c").features()
    names = [f"{form}:{kind}" for kind in KINDS for form in ("range", "impulse")]
    function = (library["range:function definition"] & ~library["range:braces"]).rename("function")
    labels = (library.select([*names, "digit"]) + function).label(held_out)
    paper, ours = both_protocols(states.hidden, labels, states.groups, 0)
    rows = []
    for kind in KINDS:
        row = [kind]
        for form in ("range", "impulse"):
            name = f"{form}:{kind}"
            best = float(paper["accuracy"].mean("fold").sel(feature=name).max())
            auc = float(ours["auc"].mean("fold").sel(feature=name).max())
            row += [f"{float(paper['baseline'].mean('fold').sel(feature=name)):.3f}", f"{best:.3f}", f"{auc:.3f}"]
        rows.append(row)
    head = ["node", "range: majority", "best accuracy", "best AUC", "impulse: majority", "best accuracy", "best AUC"]
    table(head, rows)
    holds = {name: labels[name] == 1 for name in SET_TO_ONE}
    signs = {n: np.sign(states.hidden[on].mean(0) - states.hidden[~on].mean(0)) for n, on in holds.items()}
    return ours, signs


def written(texts: list[str]) -> dict[str, float]:
    """What is counted in texts: shares of characters."""
    whole = "".join(texts)
    found = dni.verification.measure_texts(texts)
    brackets = sum(whole.count(bracket) for bracket in "()[]{}")
    functions = [dni.languages.get("c").read(text).counts for text in texts]
    return {
        "range:parentheses": np.nan_to_num(found.matched) * brackets / len(whole),  # NaN: none but cut-off ones
        "digit": found.shares.get("digit", 0.0),
        "function": 1_000 * sum(each.get("functions", 0) for each in functions) / len(whole),
        "range:terminator": whole.count(";") / len(whole),
        "matched": found.matched,
    }


def set_to_one(model: dni.models.TrainedModel, relevance: xr.Dataset, signs: dict[str, np.ndarray]) -> None:
    """Hold the top k of each feature at 1, as the paper does, or at 1 or -1 as it is where the feature holds."""
    rng = np.random.default_rng(0)
    ones = np.ones(model.n_neurons)
    ways = {}
    for name in SET_TO_ONE:
        order = dni.top(relevance, name, k=max(KS), by="auc")["neuron"].to_numpy()
        ways |= {("at 1", name): (order, ones), ("own signs", name): (order, signs[name])}
    for draw in range(RANDOM_SETS):
        order = rng.permutation(model.n_neurons)
        ways |= {("at 1", draw): (order, ones), ("own signs", draw): (order, rng.choice([-1.0, 1.0], len(ones)))}
    sets = [(way, k) for way in ways for k in KS]
    held = [dni.clamp(ways[way][0][:k], ways[way][1][ways[way][0][:k]].tolist()) for way, k in sets]
    texts = dni.models.generate_each(model, [None, *held], n=TEXTS, length=LENGTH, seed=0, prime="\n")
    intact = written(texts[0])
    counted = {pair: written(each) for pair, each in zip(sets, texts[1:], strict=True)}
    words = {
        "range:parentheses": "brackets with a partner, share of characters",
        "digit": "digits, share of characters",
        "function": "functions in 1,000 characters",
        "range:terminator": "`;`, share of characters",
    }
    rows = []
    for name, said in words.items():
        for k in KS:
            row = [said, k, f"{intact[name]:.4f}"]
            for way in ("at 1", "own signs"):
                random = np.asarray([counted[(way, draw), k][name] for draw in range(RANDOM_SETS)])
                top = counted[(way, name), k][name]
                p = (1 + (random >= top).sum()) / (1 + RANDOM_SETS)
                row += [f"{top:.4f}", f"{random.mean():.4f} ({np.quantile(random, 0.95):.4f})", f"{p:.2f}"]
            rows.append(row)
    head = ["measure", "k", "intact", "top k at 1", "random k at 1 (95th percentile)", "p"]
    table([*head, "top k, own signs", "random k, random signs (95th percentile)", "p"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="a file, a folder or a tar archive with C source code")
    parser.add_argument("--glob", default="**/kernel/**/*.c")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/experiments/linux-c"), help="where the network is kept"
    )
    asked = parser.parse_args()
    corpus = dni.languages.load_c(asked.text, asked.glob, max_chars=CHARACTERS)
    print(f"{corpus}; {len(corpus.train.text):,} characters to train on\n")
    model = network(corpus, asked.folder)
    compare_losses(model, corpus)
    set_to_one(model, *relevance_of(model, corpus.test.shuffle(0).head(INSPECTED)))


if __name__ == "__main__":
    main()
