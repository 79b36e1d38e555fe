"""Run folders with known answers, written as a run writes them, without training anything."""

import shutil
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from dni_jax.app.config import RunConfig, TrainConfig
from dni_jax.app.run_folder import RunFolder
from dni_jax.inspection import relevance_table
from dni_jax.inspection._store import continue_table, dynamics_table, write_table

FEATURES = ("digit", "depth", "depth=1", "space", "rare")
FOLDS = 4
VIEWS = ("runs", "relevance", "scores", "effects", "dynamics", "findings", "training")


@dataclass(frozen=True)
class Made:
    """One run: what is known of it, and where it is."""

    folder: RunFolder
    relevance: xr.Dataset
    effects: pd.DataFrame


def relevance_of(auc, seed=0):
    """A relevance with these AUCs (N, F) as means over folds; `depth` is continuous, nobody knows `rare`."""
    rng = np.random.default_rng(seed)
    auc = np.asarray(auc, float)
    shape = (*auc.shape, FOLDS)
    spread = np.tile([0.01, -0.01, 0.02, -0.02], (*auc.shape, 1))
    folded = (auc[:, :, None] + spread).astype(np.float32)
    kind = np.array(["continuous" if name == "depth" else "binary" for name in FEATURES])
    continuous = np.broadcast_to((kind == "continuous")[None, :, None], shape)
    every, one = ("neuron", "feature", "fold"), ("neuron", "feature")
    given = np.where(kind == "binary", np.clip(auc - 0.1, 0.5, 1), auc)
    given[:, FEATURES.index("space")] = 0.5  # an echo of the input
    return xr.Dataset(
        {
            "score": (every, folded),
            "accuracy": (every, np.where(continuous, np.nan, folded).astype(np.float32)),
            "auc": (every, np.where(continuous, np.nan, folded).astype(np.float32)),
            "r2": (every, np.where(continuous, folded, np.nan).astype(np.float32)),
            "baseline": (("feature", "fold"), rng.uniform(0.5, 0.9, shape[1:]).astype(np.float32)),
            "p_family": (one, np.where(auc > 0.7, 0.005, 0.4)),
            "auc_within_symbol": (one, given),
        },
        coords={
            "neuron": np.arange(len(auc)),
            "feature": list(FEATURES),
            "fold": np.arange(FOLDS),
            "kind": ("feature", kind),
            "share": ("feature", np.array([0.4, 2.1, 0.3, 0.2, 0.001])),
        },
    )


def effects_of(relevance):
    """Silencing and driving the best neurons: the network uses all it knows but `depth=1`."""
    rows = []
    for intervention, size in (("ablate", 0.5), ("clamp", 2.0)):
        for feature in FEATURES:
            order = np.argsort(-relevance["score"].sel(feature=feature).mean("fold").values, kind="stable")
            for k in (1, 2):
                used = feature != "depth=1"
                rows.append(
                    {
                        "intervention": intervention,
                        "feature": feature,
                        "measure": "loss_on",
                        "k": k,
                        "intact": 0.6,
                        "top": 0.6 + k * size * used,
                        "bottom": 0.6,
                        "top_effect": k * size * used,
                        "random_effect": 0.1,
                        "random_effect_high": 0.2,
                        "p": 0.02 if used else 0.4,
                        "neurons": order[:k].tolist(),
                    }
                )
    return pd.DataFrame(rows)


def write_run(path, auc, *, hidden=None, seed=0, layers=1, loss=0.63, finished=True, language="parentheses"):
    """Write a whole run folder, or one that was cut off after the training."""
    train = TrainConfig(hidden=hidden or len(auc), seed=seed, layers=layers)
    folder = RunFolder.claim(RunConfig(language=language, out=str(path), inspect_every=100, train=train))
    relevance = relevance_of(auc, seed)
    for step, known in ((100, 0.5), (200, 1.0)):
        part = relevance.assign(auc=0.5 + known * (relevance["auc"] - 0.5))
        continue_table(folder.dynamics, dynamics_table(part, step))
        look = {"step": step, "characters": 1_000 * step, "train_loss": 2 - known, "validation_loss": 2.1 - known}
        continue_table(folder.metrics, pd.DataFrame([look]))
    effects = effects_of(relevance)
    if finished:
        write_table(relevance_table(relevance), folder.path / "relevance.parquet")
        write_table(effects, folder.path / "effects.parquet")
        best = {name: [int(relevance["score"].sel(feature=name).mean("fold").values.argmax())] for name in FEATURES}
        findings = pd.DataFrame({"feature": FEATURES, "neurons": list(best.values()), "folds": FOLDS, "same_as": ""})
        findings.assign(auc=np.nan).to_csv(folder.path / "findings.csv", index=False)
        folder.update_summary(loss=loss, ideal=0.6, positions=20_000, finished=True)
    (folder.path / "manifest.json").unlink()  # tests change the files, and an earlier version wrote none
    return Made(folder, relevance, effects)


# digit, depth, depth=1, space, rare
SMALL = [[0.95, 0.2, 0.92, 0.98, 0.5], [0.6, 0.5, 0.6, 0.7, 0.55]]
LARGE = [
    [0.7, 0.3, 0.6, 0.6, 0.5],
    [0.91, 0.8, 0.97, 0.99, 0.5],
    [0.99, 0.1, 0.55, 0.6, 0.52],
    [0.5, 0.1, 0.5, 0.5, 0.5],
]


def write_three(root):
    """A small run, a large one of two layers, and one that was cut off."""
    return {
        "small": write_run(root / "small", SMALL, seed=0, loss=0.66),
        "large": write_run(root / "large", LARGE, hidden=2, layers=2, seed=1, loss=0.61),
        "cut": write_run(root / "cut", SMALL, seed=2, finished=False),
    }


def copy_run(made, folder, name="small"):
    """Copy one of the three runs, to change it."""
    return shutil.copytree(made[0] / name, folder / name)


def snapshot(root):
    """All that lies under a folder, to the byte."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))}
