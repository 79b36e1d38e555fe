"""Claims a to j of Lin & Wu 2017: when do they hold? One sweep over training steps, sizes, two settings and seeds.

Command   python -m experiments.inspection.conditions       (resumes where it stopped)
          python -m experiments.inspection.conditions --hidden 128 --steps 30 200 1000 --seeds 0 1 2 3 4
Run time  see README.md in this folder
Result    its tables, and conditions.png: the effect against random sets, by the distance from the best possible loss
"""

import argparse
import itertools
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from experiments._shared.networks import FOLDER, SETTINGS, STRINGS, Plan, train
from experiments._shared.subjects import spread, table
from experiments.inspection._claims import Effort, measure

# One number a claim for the figure: the language, what is measured, and the title.
HEADLINES = {
    "a": (
        "parentheses",
        "neurons half way from the majority to 1: levels 0 and 4, against 1 to 3",
        "neurons, levels 0, 4 - 1 to 3",
    ),
    "b": ("parentheses", "shared by the top 5 of two levels, by AUC", "neurons shared by top 5 - chance"),
    "c": ("parentheses", "share of neuron-feature pairs with AUC > .9", "share AUC > .9 - untrained"),
    "d": ("arithmetic_long", "best AUC, range against impulse: ( e )", "AUC, range - impulse of ( e )"),
    "e": ("arithmetic_long", "best accuracy for digit, against the majority", "accuracy for digits - majority"),
    "f": ("arithmetic_long", "best AUC of ranges: * / against + -", "AUC of * / - of + -"),
    "g": ("arithmetic_long", "share of digit, top 10 at 1, recurrent", "digits, top 10 at 1 - random"),
    "h": ("arithmetic_long", "share of symbol:+, top 10 at 1, recurrent", "+, top 10 at 1 - random"),
    "i": (
        "parentheses",
        "class accuracy where a digit comes, without top 10 of depth=3, recurrent",
        "class accuracy at digits, without 10 - random",
    ),
    "j": (
        "parentheses",
        "class accuracy everywhere, top 10 of digit driven from -1 to 1",
        "class accuracy, Oracle 10 - random",
    ),
}


def draw(results: pd.DataFrame, path: Path) -> None:
    """Draw the effect of each claim's neurons less that of random ones, by the gap to the best possible loss."""
    figure = Figure((16, 6.4), layout="constrained")
    axes = figure.subplots(2, 5).ravel()
    for axis, (claim, (language, what, title)) in zip(axes, HEADLINES.items(), strict=True):
        rows = results[(results["language"] == language) & (results["what"] == what)]
        for (setting, hidden), some in rows.groupby(["setting", "hidden"]):
            sizes = sorted(rows["hidden"].unique())
            color, size = ("C0", "C1")[list(SETTINGS).index(setting)], 14 + 30 * sizes.index(hidden)
            effect = some["value"] - some["reference"]
            axis.scatter(
                some["gap"], effect, s=size, color=color, alpha=0.7, linewidths=0, label=f"{setting}, {hidden}"
            )
        random = rows[["low", "high"]].sub(rows["reference"], axis=0).dropna()
        if len(random):
            places = rows.loc[random.index, "gap"]
            axis.vlines(places, random["low"], random["high"], color="0.8", linewidth=2, zorder=0)
        axis.axhline(0, color="0.5", linewidth=0.8)
        axis.set(xscale="log", title=f"({claim}) {title}")
        axis.title.set_fontsize(9)
        axis.invert_xaxis()
    figure.supxlabel("loss above the best possible, nats per character (better networks to the right)")
    axes[0].legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=110)


def trends(results: pd.DataFrame) -> None:
    """Print each claim's headline for every kind of network."""
    body = []
    for claim, (language, what, title) in HEADLINES.items():
        rows = results[(results["language"] == language) & (results["what"] == what)]
        for (setting, hidden, steps), some in rows.groupby(["setting", "hidden", "steps"]):
            beyond = "" if some["p"].isna().all() else f"{(some['p'] <= 0.05).sum()} of {len(some)}"
            effect = some["value"] - some["reference"]
            body.append([claim, title, setting, hidden, steps, spread(some["gap"]), spread(effect), beyond])
    table(["claim", "effect", "setting", "neurons", "steps", "gap, nats", "effect", "p <= .05"], body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 16])
    parser.add_argument("--steps", type=int, nargs="+", default=[1_000, 200, 30])
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one network each")
    parser.add_argument("--networks", type=Path, default=FOLDER, help="where networks and measurements are kept")
    asked = parser.parse_args()
    frames = []
    for hidden, steps, language, setting in itertools.product(asked.hidden, asked.steps, STRINGS, asked.settings):
        plan = Plan(language, setting, hidden, steps)
        train(plan, asked.seeds, asked.networks)
        frames += [measure(plan, seed, asked.networks, Effort()) for seed in asked.seeds]
    results = pd.concat(frames, ignore_index=True)
    trends(results)
    draw(results, Path(__file__).with_name("conditions.png"))


if __name__ == "__main__":
    main()
