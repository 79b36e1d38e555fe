"""Speed of verification and of generation under interventions.

    python scripts/bench_verification.py

A network of 128 neurons on parentheses; whole calls, warmed up: first calls, with their compilation, stand beside.
"""

import argparse
import time

import numpy as np

import dni_jax as dni
from dni_jax.devices import count_cores

KINDS = ("ablate", "clamp", "oracle")


def timed(call):
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=20_000)
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    language = dni.languages.get("parentheses")
    corpus = language.sample(60_000, seed=0)
    model = dni.train(corpus, steps=200, progress=False)
    text = corpus.test.head(args.characters)
    labels = language.features().select(["digit", "depth=1"]).label(text)
    relevance = dni.inspect(dni.record(model, text), labels)

    def verdicts(feature):
        asked = {"ks": (1, 5, 10), "n_random": args.draws}
        return [dni.verify(model, text, relevance, feature, intervention=kind, **asked) for kind in KINDS]

    _, first = timed(lambda: verdicts("digit"))
    again = [timed(lambda: verdicts("depth=1"))[1] for _ in range(args.repeats)]
    sets = len(KINDS) * (1 + 2 * 3 + 3 * args.draws)
    rate = sets * text.n_positions / np.median(again)
    print(
        f"verify: 3 k x (top, bottom, {args.draws} draws) x {len(KINDS)} interventions on {text.n_positions:,} "
        f"characters, {count_cores()} cores: first {first:.1f} s, then {np.median(again):.1f} s "
        f"({min(again):.1f}-{max(again):.1f}), {rate:,.0f} characters/s read under an override"
    )
    held = dni.clamp([3, 17], 1.0)
    _, first = timed(lambda: dni.generate(model, 256, 200, intervention=held))
    again = [timed(lambda: dni.generate(model, 256, 200, intervention=held))[1] for _ in range(args.repeats)]
    rates = [256 * 200 / took for took in again]
    print(
        f"generate: 256 texts x 200 characters under a clamp: first {first:.1f} s, then {np.median(rates):,.0f} "
        f"characters/s ({min(rates):,.0f}-{max(rates):,.0f})"
    )


if __name__ == "__main__":
    main()
