"""Every dataset that a public call returns can be written with xarray's own writers and read back."""

import json

import numpy as np
import pytest
import xarray as xr

import dni_jax as dni
from dni_jax.inspection import intervals, lags, peaks, rank_stability, redundancy, seed_stability, sparse_probe
from dni_jax.lab.attribution import ablation_effects, attribute, rank_agreement
from dni_jax.lab.intrinsic_dimension import measure_probe_dimension
from dni_jax.lab.posterior._intervals import credible_intervals


@pytest.fixture(scope="module")
def text(held_out):
    return held_out.head(800)


@pytest.fixture(scope="module")
def few(parentheses):
    return parentheses.features().select(["depth", "digit"])


@pytest.fixture(scope="module")
def seen(model, text):
    return dni.record(model, text)


@pytest.fixture(scope="module")
def found(seen, few, text):
    return dni.inspect(seen, few.label(text), "ridge", folds=4)


@pytest.fixture(scope="module")
def attributed(model, text):
    return attribute(model, text, "next", [0, 2], part="state", positions=np.arange(10, 30), batch=16)


CALLS = {
    "inspect": lambda get: get["found"],
    "inspect a library": lambda get: dni.inspect(get["seen"], get["few"], "ridge", folds=4, corpus=get["text"]),
    "significance": lambda get: dni.significance(
        get["found"], get["seen"], get["few"].label(get["text"]), get["text"], n_null=9
    ),
    "baselines": lambda get: dni.baselines(
        get["found"], get["seen"], get["few"].label(get["text"]), get["text"], n_controls=1
    ),
    "intervals": lambda get: intervals(get["found"], get["seen"], get["few"].label(get["text"]), n_draws=20),
    "lags": lambda get: lags(get["seen"], get["few"].label(get["text"]), lags=(0, 1)),
    "peaks": lambda get: peaks(lags(get["seen"], get["few"].label(get["text"]), lags=(0, 1))),
    "redundancy": lambda get: redundancy(get["seen"]),
    "rank_stability": lambda get: rank_stability(get["seen"], get["few"].label(get["text"]), k=3, n_splits=2),
    "seed_stability": lambda get: seed_stability([get["found"], get["found"]]),
    "sparse_probe": lambda get: sparse_probe(get["seen"], get["few"].label(get["text"]), k=2, folds=4),
    "verify": lambda get: dni.verify(get["model"], get["text"], get["found"], "digit", ks=(1,), n_random=2),
    "attribute": lambda get: get["attributed"],
    "ablation_effects": lambda get: ablation_effects(
        get["model"], get["text"], "next", [0, 2], part="state", positions=np.arange(10, 14)
    ),
    "rank_agreement": lambda get: rank_agreement(
        get["attributed"], get["attributed"].rename(attribution="effect"), get["found"], ["digit"]
    ),
    "verify several": lambda get: dni.verify(
        get["model"], get["text"], get["found"], ["digit", "depth"], ks=(1,), n_random=2, at=")", intervention="clamp"
    ),
    "inspect a population": lambda get: dni.inspect(
        dni.record(get["population"], get["text"]), get["few"].label(get["text"]), "ridge", folds=4
    ),
    "measure_probe_dimension": lambda get: measure_probe_dimension(
        get["seen"], get["few"].label(get["text"]), (1, 3), repeats=1, folds=3
    ),
    "credible_intervals": lambda get: credible_intervals(xr.concat([get["found"]] * 3, "model"), k=2),
}


@pytest.fixture(scope="module")
def population(corpus):
    settings = {"hidden": 6, "steps": 2, "batch": 4, "window": 8, "evaluate_every": 2}
    return dni.train_population(corpus.head(4_000), (0, 1), (0.1, 0.2), **settings, progress=False)


@pytest.fixture(scope="module")
def get(model, text, few, seen, found, attributed, population):
    held = {"model": model, "text": text, "few": few, "seen": seen, "found": found}
    return held | {"attributed": attributed, "population": population}


@pytest.fixture(scope="module", params=CALLS)
def dataset(request, get):
    return CALLS[request.param](get)


def test_a_dataset_is_written_and_read_back(dataset, tmp_path):
    dataset.to_netcdf(tmp_path / "dataset.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "dataset.nc", engine="scipy") as read:
        xr.testing.assert_equal(dataset, read)
    assert all(array.dtype != object for array in dataset.variables.values())
    json.dumps(dataset.attrs)  # which is what Zarr writes
    for name, value in dataset.attrs.items():
        assert isinstance(value, str | int | float | list | tuple), name
        assert not isinstance(value, bool), name
        assert not isinstance(value, list | tuple) or all(isinstance(one, str | int | float) for one in value), name


@pytest.mark.filterwarnings("ignore:.*Zarr (V3|format 3) specification")  # Zarr's own, about all strings in format 3
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_writes_a_dataset_and_reads_it_back(dataset, zarr_format, tmp_path):
    pytest.importorskip("zarr")
    dataset.to_zarr(tmp_path / "dataset.zarr", zarr_format=zarr_format)
    read = xr.open_zarr(tmp_path / "dataset.zarr").load()
    xr.testing.assert_equal(dataset, read)
    assert json.dumps(read.attrs) == json.dumps(dataset.attrs)
