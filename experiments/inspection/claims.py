"""Figures 2 to 5 of Lin & Wu 2017, claims a to j: each on the best trained networks of the sweep.

Claims    (a) Many neurons predict the first and the deepest nesting level, fewer the levels between.
          (b) The top neurons of different levels are different ones.
          (c) Most neurons are marginal, few are highly predictive.
          (d) Scores of a rule's range (inside it) lie above those of its impulse (at its ends).
          (e) Some neurons reach near 90 % for digits and for matching parentheses.
          (f) Binary expressions, above all * and /, score low.
          (g) The share of digits in generated text grows with k, the number of digit neurons held at 1.
          (h) For "+" there is no growth beyond k = 1.
          (i) Removing the top 1 changes accuracy little, the top 5 and 10 much, random neurons little.
          (j) Oracle (driving the top neurons by the feature's labels) gives no measurable improvement.
Command   python -m experiments.inspection.claims g         (one claim, or several; all without a letter)
          python -m experiments.inspection.claims i --all   (also read-out overrides and further measures)
          python -m experiments.inspection.claims g --hidden 128 --steps 4000 --seeds 0 1 2 3 4
Run time  see README.md in this folder; networks and measurements that are there already are not made again
Result    its tables
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments._shared.networks import FOLDER, SETTINGS, Plan, train
from experiments._shared.subjects import spread, table
from experiments.inspection._claims import Effort, measure

LANGUAGES_OF = {
    **dict.fromkeys("abc", ("parentheses",)),
    **dict.fromkeys("def", ("arithmetic_long",)),
    "g": ("parentheses", "arithmetic_long"),
    "h": ("arithmetic_long",),
    **dict.fromkeys("ij", ("parentheses", "arithmetic_long")),
}
# What a claim's short table shows of what is measured: a regular expression.
SHOWN = {
    "g": "recurrent",
    "h": "recurrent",
    "i": "^class accuracy where .* recurrent"
    "|^accuracy of the character, given its class, where .* top 10 of digit, recurrent"
    "|^accuracy of the most probable character's class (?:everywhere|where a digit comes),"
    " .* top 10 of digit, recurrent",
    "j": "^class accuracy",
}


def tables(results: pd.DataFrame, claims: Sequence[str], everything: bool = False) -> None:
    """Print the numbers of each claim: mean and range over seeds, the two training settings next to each other."""
    for claim in claims:
        rows = results[results["claim"] == claim]
        if claim in SHOWN and not everything:
            rows = rows[rows["what"].str.contains(SHOWN[claim])]
        settings = list(rows["setting"].unique())
        columns = [name for name in ("intact", "value", "reference", "p") if not rows[name].isna().all()]
        words = {"intact": "intact", "value": "these neurons", "reference": "compared with", "p": "p"}
        body = []
        for (language, what), some in rows.groupby(["language", "what"], sort=False):
            each = [some[some["setting"] == setting] for setting in settings]
            body.append([language, what, *(cell(one[name]) for one in each for name in columns)])
        print(f"Claim {claim}\n")
        head = [f"{words[name]} ({setting})" for setting in settings for name in columns]
        table(["language", "measure", *head], body)


def cell(values: pd.Series) -> str:
    """Return the mean and the range over networks; nothing where nothing is compared."""
    return "" if values.isna().all() else spread(values, 2 if values.name == "p" else 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", default=list(LANGUAGES_OF), metavar="a to j", help="default: all")
    parser.add_argument("--all", action="store_true", help="print everything that is measured")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one network each")
    parser.add_argument("--networks", type=Path, default=FOLDER, help="where networks and measurements are kept")
    asked = parser.parse_args()
    unknown = [claim for claim in asked.claims if claim not in LANGUAGES_OF]
    if unknown:
        parser.error(f"expected claims a to j, got {' '.join(unknown)}: claim k has its own command, linux_c")
    frames = []
    for language in dict.fromkeys(language for claim in asked.claims for language in LANGUAGES_OF[claim]):
        for setting in asked.settings:
            plan = Plan(language, setting, asked.hidden, asked.steps)
            train(plan, asked.seeds, asked.networks)
            frames += [measure(plan, seed, asked.networks, Effort()) for seed in asked.seeds]
    tables(pd.concat(frames, ignore_index=True), asked.claims, asked.all)


if __name__ == "__main__":
    main()
