"""The tables of further analyses, from known results."""

import numpy as np
import pandas as pd
import pytest

from dni_jax.app.report._analyses import (
    attribution_view,
    dimension_view,
    lags_view,
    monitor_view,
    posterior_view,
    programs_view,
    repair_view,
)


def attribution(error=(0.0, 0.05)):
    rows = [(neuron, lag, size) for neuron, sizes in enumerate([(3.0, 1.0), (1.0, 1.0), (0.0, 6.0)])
            for lag, size in enumerate(sizes)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["neuron", "lag", "magnitude"])
    table["completeness_error"] = np.asarray(error)[table["lag"]]
    table["change"] = 1.0
    table["rank_with_ablation"] = np.asarray([0.99, np.nan])[table["lag"]]
    table["rank_with:a <b>"] = 0.5
    return table


def test_shares_are_of_each_lags_sum():
    view = attribution_view(attribution())
    assert view["lags"] == [0, 1]
    assert [row["neuron"] for row in view["rows"]] == [0, 2, 1]
    assert [cell for row in view["rows"] for cell, _ in row["cells"]] == ["75.0", "12.5", "0.0", "75.0", "25.0", "12.5"]
    assert view["rows"][0]["cells"][0][1] == 1.0
    assert view["ranks"][0] == ("the measured effect of setting each neuron to its mean", ["0.99", "–"])  # noqa: RUF001
    assert view["ranks"][1][0] == "relevance for a <b>"


@pytest.mark.parametrize(("error", "lags"), [((0.0, 0.05), []), ((0.0, 0.2), [1]), ((np.nan, 0.0), [0])])
def test_incomplete_lags_are_named(error, lags):
    assert attribution_view(attribution(error))["incomplete"] == lags


def sample_posterior():
    rows = []
    for feature, aucs in (("digit", (0.9, 0.99, 0.6)), ("depth", (np.nan, np.nan, np.nan)), ("never", (np.nan,) * 3)):
        for neuron, auc in enumerate(aucs):
            score = {"digit": 0.5, "depth": 0.1 * neuron, "never": np.nan}[feature]
            strength = score if np.isnan(auc) else 2 * auc - 1
            rows.append((neuron, feature, score, auc, strength, (0.4, 1.0, 0.6)[neuron]))
    table = pd.DataFrame(rows, columns=["neuron", "feature", "score", "auc", "strength", "p_top"])
    for name in ("score", "auc"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.01, table[name] + 0.01
    return table.assign(draws=20, step_size=1e-5, unseen_start=0.65, unseen_average=0.64, top=2)


def test_draws_tell_intervals_and_who_is_always_among_the_best():
    sizes = pd.DataFrame({"step_size": [1e-6, 1e-5], "unseen_average": [0.65, np.nan], "spread": [0.1, 0.2],
                          "width": [0.01, 0.02], "sure": [0.9, 0.5]})  # fmt: skip
    view = posterior_view(sample_posterior(), sizes, ["depth", "digit", "never", "unknown"])
    depth, digit = view["rows"]
    assert (depth["neuron"], depth["measure"], depth["value"]) == (2, "R²", "0.200")
    assert (digit["neuron"], digit["between"]) == (1, "0.980 to 1.000")
    assert digit["top"] == [(1, "1.00"), (2, "0.60"), (0, "0.40")]
    assert digit["always"] == 1
    assert [row["step"] for row in view["sizes"]] == ["1e-06", "1e-05 (above)"]
    assert view["sizes"][1]["unseen"] == "–"  # noqa: RUF001


def test_nothing_asked_nothing_said():
    assert attribution_view(None) is None
    assert posterior_view(None, None, []) is None
    assert dimension_view(None, [], 8) is None
    assert repair_view(None) is None
    assert programs_view(None) is None
    assert monitor_view(None) is None
    assert lags_view(None) is None


def dimension(dimensions=(2.0, 8.0, np.nan, 16.0), alone=(9, 4, 0, 0)):
    names = ["depth", "digit", "noise", "rule"]
    table = pd.DataFrame({"feature": names, "kind": ["continuous", "binary", "binary", "binary"]})
    table["full"], table["threshold"] = (0.9, 0.99, 0.51, 0.9), (0.81, 0.941, 0.509, 0.86)
    table["dimension"], table["below"] = dimensions, (1.0, 4.0, np.nan, 12.0)
    return table.assign(alone=alone, target=0.9)


def test_dimensions_stand_beside_neurons_alone():
    view = dimension_view(dimension(), ["rule", "noise", "depth", "digit", "unknown"], 32)
    assert [row["feature"] for row in view["rows"]] == ["rule", "depth", "digit"]
    rule, depth, digit = view["rows"]
    assert (rule["between"], depth["between"], digit["between"]) == ("13 to 16", "2", "5 to 8")
    assert (depth["full"], digit["full"]) == ("R² 0.900", "AUC 0.990")
    assert (rule["strength"], digit["strength"], digit["alone"]) == (1.0, 0.5, 4)
    assert (view["unknown"], view["known"], view["target"], view["rank"]) == (["noise"], 3, 90, "-1.00")
    rare = dimension_view(dimension().assign(full=[0.9, 0.99, np.nan, 0.9]), ["rule"], 32)
    assert (rare["unknown"], rare["rare"], view["rare"]) == ([], ["noise"], [])


def test_the_hardest_features_are_shown_too():
    names = [f"f{n}" for n in range(30)]
    table = pd.DataFrame({"feature": names, "kind": "binary", "full": 0.9, "threshold": 0.86, "below": 1.0})
    table = table.assign(dimension=[2.0] * 20 + [2.0, 9.0] * 5, alone=1, target=0.9)
    shown = [row["feature"] for row in dimension_view(table, names, 32)["rows"]]
    assert shown == [*names[:12], "f21", "f23", "f25", "f27", "f29", "f12"]


@pytest.mark.parametrize("same", [{"dimensions": (4.0, 4.0, np.nan, 4.0)}, {"alone": (0, 0, 0, 0)}])
def test_no_rank_correlation_where_nothing_varies(same):
    assert dimension_view(dimension(**same), ["rule"], 32)["rank"] is None


def test_repairs_are_told_by_what_was_free_to_change():
    one = {"neurons": 128, "examples": 35, "changed": 352, "size": 94.58, "per_1000_before": 0.8, "per_1000": 0.06,
           "per_1000_low": 0.0, "per_1000_high": 0.14, "random_per_1000": np.nan, "loss_before": 0.6315,
           "loss": 0.6309, "random_loss": np.nan, "p_per_1000": np.nan, "p_loss": np.nan}  # fmt: skip
    few = {**one, "neurons": 10, "changed": 46, "random_per_1000": 0.36, "random_loss": 0.634, "p_per_1000": 0.15}
    view = repair_view(pd.DataFrame([{"free": "all", **one}, {"free": "a <b>", **few}]))
    everything, chosen = view["rows"]
    assert (everything["free"], everything["feature"], everything["random"], everything["p"]) == ("all 128", "", "", "")
    assert (chosen["free"], chosen["feature"], chosen["random"], chosen["p"]) == (
        "10 best for",
        "a <b>",
        "0.36",
        "0.15",
    )
    assert everything["between"] == "0.00 to 0.14"
    assert (view["before"], view["loss_before"], view["examples"]) == ("0.80", "0.6315", 35)


def test_programs_are_told_by_what_they_restore():
    row = {"feature": "depth", "program": "parser", "neurons": 10, "r2": 0.876, "weights_removed": 0.081,
           "loss_intact": 0.63, "loss_program": 0.64, "loss_mean": 0.7, "recovered": 0.857, "random_recovered": np.nan,
           "p": 0.06, "p_used": 1.0}  # fmt: skip
    view = programs_view(pd.DataFrame([row]))
    assert (view["program"], view["loss"]) == ("parser", "0.6300")
    (shown,) = view["rows"]
    assert (shown["recovered"], shown["random"], shown["removed"]) == ("86 %", "–", "8 %")  # noqa: RUF001


def test_a_monitor_is_told_by_what_disagreement_predicts():
    row = {"outcome": "ungrammatical", "program": "parser", "r2": 0.9, "auc_disagreement": 0.8, "auc_entropy": 0.75,
           "auc_both": np.nan, "events": 3.0, "positions": 1_500.0, "flagged": 0.5, "precision": 0.1,
           "microseconds_program": 0.6, "microseconds_network": 2.5}  # fmt: skip
    view = monitor_view(pd.DataFrame([row, row | {"outcome": "wrong", "positions": 0.0}]))
    first, second = view["rows"]
    assert (first["outcome"], first["per_1000"]) == ("what the network writes becomes ungrammatical", "2.00")
    assert (first["disagreement"], first["entropy"], first["both"]) == ("0.800", "0.750", "–")  # noqa: RUF001
    assert second["per_1000"] == "–"  # noqa: RUF001


def test_the_largest_gains_of_earlier_states_are_told():
    rows = [{"neuron": neuron, "feature": feature, "kind": kind, "score": 0.9, "single": 0.9 - gain, "lag": 2,
             "gain": gain, "p": 0.01, "q": 0.02, "states": 6, "positions": 900}
            for feature, kind in (("digit", "binary"), ("depth", "continuous"))
            for neuron, gain in enumerate([0.1, np.nan, 0.3, 0.2, 0.0])]  # fmt: skip
    view = lags_view(pd.DataFrame(rows))
    assert view["states"] == 6
    assert [(row["feature"], row["neuron"]) for row in view["rows"][:4]] == [
        ("digit", 2),
        ("digit", 3),
        ("digit", 0),
        ("depth", 2),
    ]
    assert (view["rows"][3]["measure"], view["rows"][3]["gain"], view["rows"][3]["single"]) == ("R²", "+0.300", "0.600")
