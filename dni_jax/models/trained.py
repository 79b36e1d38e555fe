"""A trained network with its vocabulary, its settings, and how training went."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

from dni_jax.config import TrainConfig, TrainPlan
from dni_jax.corpora import Vocabulary
from dni_jax.files import written_aside
from dni_jax.models.lstm import CharLSTM, Weights

FORMAT = 1  # of a saved model; raised when an older version could not read it


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A character LSTM that knows its symbols.

    Attributes
    ----------
    module
        The Flax module.
    vocabulary
        The symbols it reads.
    config
        How it was trained.
    history
        One row a look at the validation text: ``step``, ``characters``, ``train_loss``, ``validation_loss`` (nats a
        symbol), ``seconds``.
    """

    module: CharLSTM
    vocabulary: Vocabulary
    config: TrainPlan
    history: Sequence[Mapping[str, float]] = ()

    @property
    def weights(self) -> Weights:
        """The parameters as arrays."""
        return self.module.weights

    @property
    def n_neurons(self) -> int:
        """The number of LSTM neurons N."""
        return int(self.weights.wh.shape[0])

    @property
    def validation_loss(self) -> float:
        """The best validation loss, in nats a symbol."""
        return min((row["validation_loss"] for row in self.history), default=float("nan"))

    def __repr__(self) -> str:
        loss = f", validation loss {self.validation_loss:.4f} nats" if self.history else ", untrained"
        return f"TrainedModel({self.n_neurons} neurons, {len(self.vocabulary)} symbols{loss})"

    def save(self, path: str | Path) -> None:
        """Write the model to a folder; it appears whole or not at all, and replaces one that was there."""
        about = {
            "format": FORMAT,
            "characters": list(self.vocabulary.characters),
            "config": asdict(self.config),
            "history": [dict(row) for row in self.history],
        }
        with written_aside(path) as aside:
            aside.mkdir()
            (aside / "model.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
            with ocp.StandardCheckpointer() as checkpointer:
                arrays = {name: np.asarray(array) for name, array in self.weights._asdict().items()}
                checkpointer.save((aside / "weights").resolve(), arrays)


def untrained(vocabulary: Vocabulary, config: TrainConfig | TrainPlan) -> TrainedModel:
    """Give a network with initial weights; the same config gives the same weights."""
    plan = config.plan(len(vocabulary)) if isinstance(config, TrainConfig) else config
    return TrainedModel(CharLSTM(len(vocabulary), plan.hidden, rngs=nnx.Rngs(plan.seed)), vocabulary, plan)


def load(path: str | Path) -> TrainedModel:
    """Read a model that `TrainedModel.save` has written.

    Raises
    ------
    ValueError
        Where the folder holds no model, a broken one, or one of a newer version.
    """
    path = Path(path)
    try:
        about: dict[str, Any] = json.loads((path / "model.json").read_text(encoding="utf-8"))
        if about["format"] > FORMAT:
            raise ValueError(f"format {about['format']}, which is newer than this version's {FORMAT}")
        model = untrained(Vocabulary(tuple(about["characters"])), TrainPlan(**about["config"]))
        wanted = {name: np.asarray(array) for name, array in model.weights._asdict().items()}
        with ocp.StandardCheckpointer() as checkpointer:
            arrays = checkpointer.restore((path / "weights").resolve(), wanted)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"expected a saved model in {str(path)!r}, got: {error}") from error
    model.module.set_weights(Weights(**{name: jnp.asarray(array) for name, array in arrays.items()}))
    return TrainedModel(model.module, model.vocabulary, model.config, tuple(about["history"]))
