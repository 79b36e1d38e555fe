"""A trained network with its vocabulary, its settings, and how its training went."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from dni_jax import processes
from dni_jax.devices import use_all_cores
from dni_jax.files import atomic_write, check_array_path, check_regular_files
from dni_jax.html import Markup, card, facts, sparkline, symbols
from dni_jax.interventions import Bound, Intervention
from dni_jax.models._checkpoints import first_process_only, import_orbax
from dni_jax.models._network import CharNetwork
from dni_jax.models._weights import Weights, check_finite_weights, named_arrays, with_arrays
from dni_jax.settings import TrainConfig, TrainPlan, with_new_names
from dni_jax.text import Corpus, Vocabulary

FORMAT = 2  # of a saved model; raised when an older version could not read it
_FILES = ("model.json", "weights")


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A character network with its vocabulary.

    Attributes
    ----------
    module
        The Flax module.
    vocabulary
        The symbols it reads.
    config
        How it was trained; None for a network that was imported.
    history
        One row per evaluation: ``step``, ``characters``, ``train_loss``, ``validation_loss`` (nats per symbol),
        ``seconds``, ``learning_rate``, ``gradient_norm``.
    boundary
        Whether the network reads a boundary before a string and predicts one after it. An imported network may
        have none: it then reads a string's first symbol in the zero state.
    """

    module: CharNetwork
    vocabulary: Vocabulary
    config: TrainPlan | None = None
    history: Sequence[Mapping[str, float]] = ()
    boundary: bool = True
    reference_difference: float | None = None

    @classmethod
    def init(cls, vocabulary: Vocabulary, config: TrainConfig | TrainPlan) -> TrainedModel:
        """Return an untrained network; the same config gives the same initial weights."""
        use_all_cores()
        plan = config.plan(len(vocabulary)) if isinstance(config, TrainConfig) else config
        sizes = (plan.hidden,) * plan.layers
        return cls(CharNetwork.init(len(vocabulary), sizes, plan.cell, plan.matmul_dtype, plan.seed), vocabulary, plan)

    @classmethod
    def from_weights(
        cls,
        weights: Weights,
        vocabulary: Vocabulary,
        config: TrainPlan | None = None,
        history: Sequence[Mapping[str, float]] = (),
        boundary: bool = True,
    ) -> TrainedModel:
        """Return a network with these weights."""
        use_all_cores()
        module = CharNetwork.from_weights(jax.device_put(weights, may_alias=False))
        return cls(module, vocabulary, config, tuple(history), boundary)

    @property
    def weights(self) -> Weights:
        """The parameters as arrays."""
        return self.module.weights

    @property
    def n_neurons(self) -> int:
        """The number of neurons N of all layers."""
        return self.weights.n_neurons

    @property
    def parts(self) -> tuple[str, ...]:
        """What an override can change: the cell's gates, its memory ``"c"`` if it has one, and ``"h"``."""
        return self.weights.cell_type.parts

    @property
    def validation_loss(self) -> float:
        """The best validation loss, in nats per symbol."""
        return min((row["validation_loss"] for row in self.history), default=float("nan"))

    def __repr__(self) -> str:
        loss = f", validation loss {self.validation_loss:.4f} nats" if self.history else ""
        origin = ", untrained" if self.config is not None and not self.history else ""
        sizes = " + ".join(map(str, self.module.sizes))
        known = self.reference_difference
        origin += "" if known is None else f", states within {known:.1e} of the original"
        return f"TrainedModel({self.module.cell}, {sizes} neurons, {len(self.vocabulary)} symbols{loss}{origin})"

    def _repr_html_(self) -> str:
        sizes = " + ".join(map(str, self.module.sizes))
        about: dict[str, Any] = {
            "cell": f"{self.module.cell}, {sizes} neurons",
            "parts": ", ".join(self.parts),
            "symbols": symbols(self.vocabulary.characters),
            "boundary": self.boundary,
        }
        if self.history:
            losses = [row["validation_loss"] for row in self.history]
            line = sparkline(losses)
            about["validation loss"] = Markup(f"{self.validation_loss:.4f} nats per symbol {line}")
            about["evaluated"] = f"{len(losses):,} times, last at step {int(self.history[-1]['step']):,}"
        if self.config is not None:
            plan = self.config
            about["training"] = (
                f"{plan.steps:,} steps planned, {plan.batch} texts x {plan.window} characters, "
                f"learning rate {plan.learning_rate:g}, seed {plan.seed}"
            )
        origin = "imported" if self.config is None else "trained" if self.history else "untrained"
        return card(f"TrainedModel ({origin})", facts(about))

    def encode(self, corpus: Corpus) -> Corpus:
        """Return a corpus as this network reads it: in its own codes, with boundaries only if it has them.

        Raises
        ------
        ValueError
            For a symbol that is not in the vocabulary; the message names the string and the position.
        """
        if not self.boundary:
            none = np.zeros(len(corpus), bool)
            corpus = replace(corpus, begins=none, ends=none)
        if corpus.vocabulary == self.vocabulary:
            return corpus
        unknown = np.flatnonzero(self.vocabulary.unknown(corpus.text))
        if len(unknown):
            first = int(unknown[0])
            string = int(corpus.string_ids[first])
            raise ValueError(
                f"expected symbols of the network's vocabulary, {''.join(self.vocabulary.characters)!r}, got "
                f"{chr(corpus.text[first])!r} at position {first - corpus.offsets[string]} of string {string} "
                f"({len(unknown)} such characters): train on a corpus that holds it, or remove it from the text"
            )
        return replace(corpus, vocabulary=self.vocabulary)

    def bind(self, intervention: Intervention | None, n_positions: int) -> Bound:
        """Bind an intervention to this network and a text of so many positions; None overrides nothing."""
        return Bound() if intervention is None else intervention.bind(self.n_neurons, n_positions, self.parts)

    def save(self, path: str | Path) -> None:
        """Write the model to a folder; it appears whole or not at all, and replaces one that was there.

        With several processes, only the first writes.

        Raises
        ------
        ValueError
            Where a weight is not finite, or the folder holds anything but a model.
        """
        check_finite_weights(self.weights, "a model to be saved")
        if not processes.is_first():
            return
        shape = {"sizes": self.module.sizes, "cell": self.module.cell, "matmul_dtype": self.module.matmul_dtype}
        about = {
            "format": FORMAT,
            "network": shape,
            "characters": list(self.vocabulary.characters),
            "boundary": self.boundary,
            "config": None if self.config is None else asdict(self.config),
            "history": [dict(row) for row in self.history],
        }
        check_array_path(path)
        with atomic_write(path, replaces=_FILES) as folder:
            folder.mkdir()
            (folder / "model.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
            with import_orbax().StandardCheckpointer(multiprocessing_options=first_process_only()) as checkpointer:
                arrays = {name: np.asarray(array) for name, array in named_arrays(self.weights).items()}
                checkpointer.save((folder / "weights").resolve(), arrays)


def load(path: str | Path) -> TrainedModel:
    """Read a model that `TrainedModel.save` has written; of several processes the first reads it for all.

    Raises
    ------
    ValueError
        Where the folder holds no model, a broken one, one of a newer version, or weights that are not finite or
        have another shape than the folder says.
    """
    use_all_cores()
    return processes.broadcast(lambda: _load(Path(path)))


def _load(path: Path) -> TrainedModel:
    check_array_path(path)
    try:
        if not (path / "model.json").is_file():
            raise ValueError("no file model.json")
        check_regular_files(path)
        about = _upgraded(json.loads((path / "model.json").read_text(encoding="utf-8")))
        vocabulary = Vocabulary(tuple(about["characters"]))
        config = None if about["config"] is None else TrainPlan(**about["config"])
        wanted = nnx.eval_shape(lambda: CharNetwork(len(vocabulary), **about["network"], rngs=nnx.Rngs(0)).weights)
        with import_orbax().StandardCheckpointer(multiprocessing_options=first_process_only()) as checkpointer:
            arrays = checkpointer.restore((path / "weights").resolve())
        weights = with_arrays(wanted, arrays)
        check_finite_weights(weights, repr(str(path)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"expected a saved model in {str(path)!r}, got: {error}") from error
    return TrainedModel.from_weights(weights, vocabulary, config, about["history"], about["boundary"])


def _upgraded(about: dict[str, Any]) -> dict[str, Any]:
    """Translate what a model's file says into this version's names."""
    version = about["format"]
    if version > FORMAT:
        raise ValueError(f"format {version}, which is newer than this version's {FORMAT}: install a newer dni_jax")
    if version == 1:  # one LSTM layer, always
        network = {"sizes": [about["config"]["hidden"]], "cell": "lstm", "matmul_dtype": "float32"}
        return {**about, "network": network, "boundary": True}
    config = about["config"]
    return about | {
        "network": with_new_names(about["network"]),
        "config": None if config is None else with_new_names(config),
    }
