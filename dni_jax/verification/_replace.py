"""A cluster of neurons replaced by a program: what the network loses, and how much of itself it can do without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from dni_jax.interventions import Intervention, ablate, follow
from dni_jax.languages import BaseLanguage
from dni_jax.models import (
    LayerWeights,
    TrainedModel,
    Weights,
    fine_tune,
    generate_each,
    named_arrays,
    predict,
    record,
    record_boundary,
)
from dni_jax.programs import Program, run
from dni_jax.text import Corpus
from dni_jax.verification._overrides import draw_variance_matched, variance_strata
from dni_jax.verification._writing import TextMeasures, measure_texts

_TEXTS = 8  # random clusters that also write

CONDITIONS = ("intact", "program", "mean")


@dataclass(frozen=True, eq=False, repr=False)
class Replacement(Intervention):
    """An intervention in which a program stands for a cluster of neurons; made by `replace`.

    It works on text that is read (`dni_jax.record`) and on text that is written (`dni_jax.generate`).

    Attributes
    ----------
    model
        The network.
    neurons
        The cluster.
    program
        What stands for it.
    r2
        float64 ``(k,)``: the share of each neuron's variance that lies on its line through what the program says.
    lines
        The same intervention for all N neurons.
    reference_means, variances
        float32 ``(N,)``: the neurons' means and variances on the text that lines were fitted to.
    """

    model: TrainedModel
    neurons: tuple[int, ...]
    program: Program
    r2: Float[np.ndarray, " k"]
    lines: Intervention
    reference_means: Float[np.ndarray, " N"]
    variances: Float[np.ndarray, " N"]

    def __repr__(self) -> str:
        kept = f"r2 {self.r2.min():.2f} to {self.r2.max():.2f}"
        return f"Replacement({self.program.name} for {list(self.neurons)}, {kept})"

    @property
    def n_weights_removed(self) -> int:
        """The number of weights that lead into the cluster, which the program makes unnecessary."""
        return sum(int(mask.sum()) for mask in named_arrays(_incoming(self.model.weights, self.neurons)).values())

    @property
    def n_weights(self) -> int:
        """How many weights the whole network has."""
        return sum(int(np.size(array)) for array in named_arrays(self.model.weights).values())

    def remove_weights(self) -> Replacement:
        """Return the same for a smaller network: all weights that lead into the cluster are 0.

        With the program in place, it predicts and writes exactly as before.
        """
        masks = _incoming(self.model.weights, self.neurons)
        weights = jax.tree.map(lambda array, mask: np.where(mask, 0, array), self.model.weights, masks)
        return with_changes(self, model=_changed(self.model, weights))

    def fine_tune(self, corpus: Corpus, steps: int = 200, **settings: Any) -> Replacement:
        """Return the same for a network that has trained on with the program in place, without the cluster's weights.

        Parameters
        ----------
        corpus
            Its ``train`` strings are read.
        steps, settings
            As in `dni_jax.models.fine_tune`.
        """
        smaller = self.remove_weights()
        tuned = fine_tune(smaller.model, corpus, self, steps=steps, **settings)
        return with_changes(smaller, model=tuned)

    def evaluate(
        self,
        corpus: Corpus,
        n_random: int = 32,
        *,
        language: BaseLanguage | None = None,
        n_texts: int = 32,
        length: int = 200,
        seed: int = 0,
    ) -> xr.Dataset:
        """Measure what the program restores, compared with random clusters that it stands for.

        Parameters
        ----------
        corpus
            What the network reads; text that lines were not fitted to.
        n_random
            Random clusters of the same size and of similar variance.
        language
            Decides which written strings parse.
        n_texts, length, seed
            Number, length and seed of the generated texts; 0 generates none. The seed also draws the random clusters.

        Returns
        -------
        Dataset with the dimension ``condition``: ``"intact"``, ``"program"`` (it drives the cluster), ``"mean"`` (the
        cluster is held at its means and says nothing). Variables:

        - ``loss`` ``(condition,)``: nats per symbol; ``random_loss`` ``(draw, condition)``: the same for random
          clusters;
        - ``recovered``: the share of the harm of holding the cluster at its means that the program undoes;
          ``random_recovered`` ``(draw,)``;
        - ``p``: how often the program restores as much of a random cluster, this one counted in; ``p_used``: how often
          holding a random cluster at its means harms as much;
        - with texts, ``parses``, ``matched``, ``length`` ``(condition,)``: the share of written strings that parse, of
          brackets with a partner, and the mean length of a string; ``random_parses`` and ``random_matched``
          ``(text_draw,)``: of up to 8 random clusters that the program drives.

        Raises
        ------
        ValueError
            Where the corpus does not fit the network, or sizes are below 0.
        """
        if n_random < 1 or n_texts < 0:
            raise ValueError(f"expected n_random of at least 1 and n_texts of at least 0, got {n_random}, {n_texts}")
        rng = np.random.default_rng(seed)
        draws = draw_variance_matched(np.asarray(self.neurons), variance_strata(self.variances), n_random, rng)
        masks = np.zeros((2 + n_random, self.model.n_neurons), bool)
        for row, members in enumerate([self.neurons, *draws], start=1):
            masks[row, list(members)] = True
        program, mean = (self._losses(change, corpus, masks) for change in (self.lines, self._means()))
        harm, left = mean[1:] - mean[0], program[1:] - program[0]
        recovered = np.where(harm > 0, 1 - left / np.where(harm > 0, harm, 1.0), np.nan)
        randomly = np.stack([np.full(n_random, mean[0]), program[2:], mean[2:]], axis=1)
        variables: dict[str, Any] = {
            "loss": ("condition", [mean[0], program[1], mean[1]]),
            "random_loss": (("draw", "condition"), randomly),
            "recovered": ((), recovered[0]),
            "random_recovered": ("draw", recovered[1:]),
            "p": ((), _share(recovered[1:] >= recovered[0], recovered[0])),
            "p_used": ((), _share(harm[1:] >= harm[0], harm[0])),
        }
        if n_texts:
            variables |= self._written(draws[:_TEXTS], language, n_texts, length, seed)
        about = {
            "program": self.program.name,
            "neurons": list(self.neurons),
            "weights": self.n_weights,
            "weights_removed": self.n_weights_removed,
            "characters": corpus.n_positions,
        }
        return xr.Dataset(variables, coords={"condition": list(CONDITIONS)}, attrs=about)

    def _means(self) -> Intervention:
        everything = range(self.model.n_neurons)
        return ablate(everything, "mean", reference=self.reference_means[None])

    def _losses(self, change: Intervention, corpus: Corpus, masks: Bool[np.ndarray, "M N"]) -> np.ndarray:
        read = self.model.encode(corpus)
        bound = change.on(corpus).bind(self.model.n_neurons, read.n_positions, self.model.parts, sets=masks)
        return predict(self.model.weights, read, bound).total_loss

    def _written(
        self, draws: np.ndarray, language: BaseLanguage | None, n: int, length: int, seed: int
    ) -> dict[str, Any]:
        randomly = [self.lines.select(members.tolist()) for members in draws]
        texts = generate_each(self.model, [None, self, self._means().select(self.neurons), *randomly], n, length, seed)
        boundary = self.model.vocabulary.boundary_text
        found = [measure_texts(text, boundary, language) for text in texts]
        several = {"parses": [one.parses for one in found], "matched": [one.matched for one in found]}
        several["length"] = [_length(one) for one in found]
        own = {name: ("condition", values[:3]) for name, values in several.items()}
        return own | {f"random_{name}": ("text_draw", several[name][3:]) for name in ("parses", "matched")}


def _share(at_least: Bool[np.ndarray, " R"], value: float) -> float:
    """Return the share of random clusters that do as much, this one counted in; NaN without a value."""
    return float("nan") if np.isnan(value) else float((1 + at_least.sum()) / (1 + len(at_least)))


def _length(measures: TextMeasures) -> float:
    return measures.characters / measures.strings if measures.strings else float("nan")


def replace(
    model: TrainedModel, neurons: Sequence[int], program: Program, corpus: Corpus, *, where: str = "recurrent"
) -> Replacement:
    """Replace a cluster of neurons by a program (future work in section 5 of Lin & Wu 2017).

    The program reads along, symbol by symbol. Each neuron takes the value on its own line through what the program
    says, the least squares fit to its states on a text; between strings it takes the network's own value.

    Parameters
    ----------
    model
        The network.
    neurons
        The cluster's numbers.
    program
        From `dni_jax.programs`, or ``language.program()``.
    corpus
        The text that lines are fitted to.
    where
        ``"recurrent"`` (the network goes on with these values) or ``"readout"`` (only the prediction sees them).

    Returns
    -------
    An intervention, whose ``evaluate``, ``remove_weights`` and ``fine_tune`` measure what it costs.

    Raises
    ------
    ValueError
        For an imported network, duplicate or out-of-range neurons, a program that fails or whose output is
        the same everywhere, or text whose beginning is missing.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> stand_in = dni.verification.replace(model, [2, 5], dni.programs.depth(), corpus)
    >>> len(dni.generate(model, 2, 30, intervention=stand_in)), stand_in.n_weights_removed
    (2, 136)
    """
    if not isinstance(model, TrainedModel):
        raise ValueError(f"expected a TrainedModel, got {type(model).__name__}: train one with dni.train")
    chosen = ablate(neurons).edits[0].neurons
    if max(chosen) >= model.n_neurons:
        raise ValueError(f"expected neurons 0 to {model.n_neurons - 1}, got {max(chosen)}")
    said = run(program, corpus)
    hidden = record(model, corpus).hidden[said.known]
    slopes, r2 = fit_lines(hidden, said.values[said.known], program)
    rest = record_boundary(model)
    lines = follow(range(model.n_neurons), program, slopes, rest, where=where)
    (edit,) = follow(chosen, program, slopes[list(chosen)], rest[list(chosen)], where=where).edits
    return Replacement(
        (edit,),
        model,
        chosen,
        program,
        r2[list(chosen)],
        lines,
        hidden.mean(axis=0).astype(np.float32),
        hidden.var(axis=0).astype(np.float32),
    )


def fit_lines(
    hidden: Float[np.ndarray, "T N"], said: Float[np.ndarray, "T d"], program: Program
) -> tuple[Float[np.ndarray, "N d1"], Float[np.ndarray, " N"]]:
    """Fit each neuron's least squares line through what a program says.

    Returns
    -------
    The slopes of the columns and the intercept, last; and R², 1 for a neuron that never varies.

    Raises
    ------
    ValueError
        Where the program says the same everywhere.
    """
    mean = said.mean(axis=0, dtype=np.float64)
    x = said - mean
    if not x.any():
        raise ValueError(
            f"expected a program that says different things on this text, got {said[0].tolist()} everywhere from "
            f"{program.name!r}: pass text in which they occur"
        )
    y = hidden.astype(np.float64)
    center = y.mean(axis=0)
    coefficients, *_ = np.linalg.lstsq(x, y - center, rcond=None)
    left, spread = ((y - center - x @ coefficients) ** 2).sum(axis=0), ((y - center) ** 2).sum(axis=0)
    varies = spread > 1e-12 * len(y)
    r2 = np.where(varies, 1 - left / np.where(varies, spread, 1.0), 1.0)
    intercept = center - mean @ coefficients
    return np.concatenate([coefficients, intercept[None]]).T, r2


def _incoming(weights: Weights, neurons: Sequence[int]) -> Weights:
    """Return masks of the weights that lead into some neurons, in the place of the weights."""
    layers = []
    for layer, span in zip(weights.layers, weights.layer_slices, strict=True):
        own = np.zeros(layer.hidden, bool)
        own[[neuron - span.start for neuron in neurons if span.start <= neuron < span.stop]] = True
        n_blocks = np.shape(layer.b)[-1] // layer.hidden
        columns = np.tile(own, n_blocks)
        masks: dict[str, Any] = {
            name: None if getattr(layer, name) is None else np.broadcast_to(columns, np.shape(getattr(layer, name)))
            for name in layer.names
            if name != "decay"
        }
        if not isinstance(layer, LayerWeights):
            masks["decay"] = None if layer.decay is None else np.zeros(np.shape(layer.decay), bool)
        layers.append(with_changes(layer, **masks))
    head, head_b = (np.zeros(np.shape(array), bool) for array in (weights.head, weights.head_b))
    return with_changes(weights, layers=tuple(layers), head=head, head_b=head_b)


def _changed(model: TrainedModel, weights: Weights) -> TrainedModel:
    return with_changes(
        TrainedModel.from_weights(weights, model.vocabulary, None, (), model.boundary), config=model.config
    )
