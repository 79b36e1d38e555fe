"""Which neurons a later prediction rests on: do those that encode a feature also carry it forward.

Cases     closing  On the way up through the brackets ")" may come, and "(" may not; behind six digits only the state
                   tells. Explained: log P(")") there. Encoders: neurons that tell whether a ")" has been read.
          depth    Behind ")))" one bracket is open, and only the state three characters before told that it was four.
                   Explained: log P("1") there. Encoders: neurons that tell the number of open brackets.
Measures  share    of the sum of mean absolute attributions (integrated gradients of memory and hidden state at t - lag,
                   from the mean state) that the 10 best encoders hold; p against 999 sets alike in variance.
          effect   mean absolute change of the explained log-probability, in nats, where the 10 take the values of
                   another position (memory and hidden state) at t - lag only; p against 199 such sets.
          rank     Spearman's correlation over neurons: of mean absolute attribution with relevance, of the measured
                   effect (each neuron set to its mean at that step) with relevance, and of the two with each other.
Command   python -m experiments.backpropagation.carried_forward
Run time  about 1 minute on 2 CPU cores (networks that are there already are not trained again)
Result    closing  In two of three networks yes: four characters before, resampling the encoders changes the prediction
                   by 1.1 nats, random sets by .3 (p = .005, .045, .26); their share of attribution is .13 against .08.
          depth    No: encoders matter to the prediction that is read from them (lag 0: 1.5 nats against .4, p <= .02
                   in all three), but one to three characters before no more than random sets, but for one network
                   (p = .005 and .02 at lags 2 and 3; mean p of the three .22 to .29).
          rank     Relevance hardly tells which neurons matter (mean .07 to .28); attribution does (.63 to .99).
          For all lags, and the image carried_forward.png, see README.md in this folder.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import dni_jax as dni
from dni_jax.lab.attribution import ablation_effects, attribute, rank_agreement, share_by_lag
from dni_jax.plot import PALETTE
from dni_jax.verification import draw_variance_matched, variance_strata
from experiments._shared.subjects import arguments, spread, subject, table

K, DRAWS, MEASURED, POSITIONS = 10, 999, 199, 300
CASES = {
    "closing": ("a ) was read", ")", range(7), "six digits"),
    "depth": ("open brackets", "1", range(4), "three closing brackets"),
}


def closed(text):
    """Whether a closing bracket has been read."""
    return np.cumsum([character == ")" for character in text]) > 0


def open_brackets(text):
    """How many brackets are open after each character."""
    return np.cumsum([{"(": 1, ")": -1}.get(character, 0) for character in text])


def places(text, case):
    """Where the last characters do not tell what is asked: behind six digits past a ")", or ")))" from depth 4."""
    characters = np.asarray([*"".join(text.strings)])
    string, length = text.string_ids, max(CASES[case][2])
    fits = np.isin(characters, list("1234")) if case == "closing" else characters == ")"
    run = np.logical_and.reduce([np.roll(fits, back) for back in range(length)])
    inside = np.roll(string, length) == string
    depth, past = (np.concatenate([count(one) for one in text.strings]) for count in (open_brackets, closed))
    return run & inside & (past & (depth > 0) if case == "closing" else depth == 1)


FEATURES = {
    "closing": dni.feature("a ) was read", closed),
    "depth": dni.feature("open brackets", lambda text: open_brackets(text) / 4),
}


def masks_of(sets, n_neurons):
    masks = np.zeros((len(sets), n_neurons), bool)
    for mask, chosen in zip(masks, sets, strict=True):
        mask[chosen] = True
    return masks


def p_values(values):
    """For each lag, the share of sets, the first counted in, that reach at least the first one's value."""
    return (values[1:] >= values[0] - 1e-12).sum(axis=0) / len(values) + 1 / len(values)


def of_one_network(case, seed, networks):
    feature, target, lags, _ = CASES[case]
    its = subject("parentheses", seed, networks)
    scored = its.held_out
    states = dni.record(its.model, scored, ("hidden", "cell"))
    relevance = dni.inspect(states, FEATURES[case].label(scored), seed=seed)
    by = "auc" if case == "closing" else "score"
    encoders = dni.top(relevance, feature, k=K, by=by)["neuron"].to_numpy()
    text = its.corpus.test
    found = np.flatnonzero(places(text, case))
    chosen = np.random.default_rng(seed).choice(found, min(POSITIONS, len(found)), replace=False)
    # Only strings that are asked about go through the network.
    strings = np.unique(text.string_ids[chosen])
    moved = np.searchsorted(strings, text.string_ids[chosen])
    part = text.take(strings)
    positions = part.offsets[moved] + chosen - text.offsets[text.string_ids[chosen]]
    ask = {"target": target, "lags": lags, "part": "state", "positions": positions}
    paths = attribute(its.model, part, method="integrated_gradients", baseline="mean", batch=512, **ask)
    alone = ablation_effects(its.model, part, baseline="mean", batch=512, **ask)
    strata = variance_strata(states.hidden.var(axis=0) + states.cell.var(axis=0))
    drawn = draw_variance_matched(encoders, strata, DRAWS, np.random.default_rng(seed))
    sets = np.concatenate([encoders[None], drawn])
    masks = masks_of(sets[: 1 + MEASURED], its.model.n_neurons)
    resampled = ablation_effects(its.model, part, baseline="resample", sets=masks, batch=512, seed=seed, **ask)
    return {
        "share": share_by_lag(paths, sets),
        "effect": resampled["magnitude"].values,
        "ranks": rank_agreement(paths, alone, relevance, feature, by=by),
        "score": float(relevance[by].mean("fold").sel(feature=feature).max()),
        "error": paths["completeness_error"].values / paths["change"].values,
        "positions": len(positions),
        "value": float(paths["value"][0]),
    }


def rows_of(found, lags):
    """One row a lag: means over networks, least and greatest."""
    rows = []
    for place, lag in enumerate(lags):
        row = [lag]
        for name in ("share", "effect"):
            values = [one[name][:, place] for one in found]
            row += [spread([each[0] for each in values]), spread([each[1:].mean() for each in values])]
            row.append(spread([p_values(one[name])[place] for one in found]))
        ranks = [one["ranks"].isel(lag=place) for one in found]
        row += [spread([float(one["relevance"][0]) for one in ranks], 2)]
        row += [spread([float(one["effect_relevance"][0]) for one in ranks], 2)]
        row += [spread([float(one["magnitude"]) for one in ranks], 2)]
        rows.append([*row, f"{np.max([one['error'][place] for one in found]):.0e}"])
    return rows


def draw(results, path):
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    axes = figure.subplots(2, len(results), squeeze=False)
    for column, (case, found) in enumerate(results.items()):
        lags = list(CASES[case][2])
        for axis, name in zip(axes[:, column], ("share", "effect"), strict=True):
            for one, color in zip(found, PALETTE, strict=False):
                low, high = np.quantile(one[name][1:], [0.025, 0.975], axis=0)
                axis.fill_between(lags, low, high, color=color, alpha=0.15, linewidth=0, label="random 10, 95 %")
                axis.plot(lags, one[name][0], "o-", color=color, markersize=3, label="10 best encoders")
            axis.set_xticks(lags)
            axis.set_xlabel("characters before the prediction")
            axis.set_ylim(bottom=0)
        axes[0, column].set_title(f'{CASES[case][0]}: log P("{CASES[case][1]}") behind {CASES[case][3]}', fontsize=9)
        axes[0, column].set_ylabel("share of attribution")
        axes[1, column].set_ylabel("change when resampled, nats")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    axes[0, 0].legend(handles[:2], labels[:2], frameon=False, fontsize=8, title="one color a network", title_fontsize=8)
    figure.savefig(path, dpi=120)


def main():
    asked = arguments(__doc__)
    results = {}
    for case, (feature, target, lags, where) in CASES.items():
        found = results[case] = [of_one_network(case, seed, asked.networks) for seed in asked.seeds]
        counts, values, scores = ([one[name] for one in found] for name in ("positions", "value", "score"))
        print(f'Encoders of "{feature}" (best: {spread(scores)}), log P("{target}") behind {where}: mean')
        print(f"{spread(values)} over {counts} positions\n")
        head = ["lag", "share of top 10", "random 10", "p", "effect of top 10", "random 10", "p"]
        head += ["rank: attribution, relevance", "effect, relevance", "attribution, effect", "completeness error"]
        table(head, rows_of(found, lags))
    draw(results, Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
