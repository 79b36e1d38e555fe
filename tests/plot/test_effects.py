"""Effect curves begin with the intact network and hold the dataset's levels and intervals."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from dni_jax import plot


def test_levels_and_intervals(effects, ax):
    assert plot.effects(effects, "depth=0", ax=ax) is ax
    one = effects.sel(feature="depth=0", measure="loss_on")
    lines = {line.get_label(): line for line in ax.get_lines()}
    for name, values in {"top": one["top"], "bottom": one["bottom"], "random": one["random"].mean("draw")}.items():
        assert lines[f"{name} k"].get_xdata().tolist() == [0, 1, 3]
        np.testing.assert_allclose(lines[f"{name} k"].get_ydata(), [one["intact"], *values.values], atol=1e-12)
    top, random = (band.get_paths()[0].vertices for band in ax.collections)  # the worst have no interval
    for band, prefix in ((top, "top"), (random, "random")):
        ends = [float(one["intact"] + one[f"{prefix}_effect_{end}"].sel(k=3)) for end in ("low", "high")]
        np.testing.assert_allclose(sorted(set(band[band[:, 0] == 3, 1].round(9))), np.round(ends, 9))
    assert (ax.get_title(), ax.get_ylabel()) == ("depth=0", "nats per character where it holds")


def test_one_feature_needs_no_name_and_sets_can_be_chosen(effects, ax):
    plot.effects(effects.isel(feature=0), measure="distance", ax=ax, sets=["top"], color="#123456", label="silenced")
    (line,) = ax.get_lines()
    assert (line.get_color(), line.get_label(), ax.get_title()) == ("#123456", "silenced", "digit")


def test_bad_input(effects):
    ax = Figure().subplots()
    with pytest.raises(ValueError, match=r"expected feature= one of \['digit', 'depth=0'\], got none"):
        plot.effects(effects, ax=ax)
    with pytest.raises(ValueError, match="got 'depth'"):
        plot.effects(effects, "depth", ax=ax)
    with pytest.raises(ValueError, match=r"expected a measure of these effects, .*got 'losses'"):
        plot.effects(effects, "digit", "losses", ax)
    with pytest.raises(ValueError, match=r"expected sets of top, random, bottom, got \('best',\)"):
        plot.effects(effects, "digit", ax=ax, sets=["best"])
