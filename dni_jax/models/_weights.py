"""A network's parameters as one pytree, which also says what kind of cell they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import jax
import numpy as np

from dni_jax.models.cells import CELLS, Cell

MatmulDtype = Literal["float32", "bfloat16"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LayerWeights:
    """One recurrent layer. Leading axes are batches (the models of a population).

    Attributes
    ----------
    wx
        float32 ``(I, G)``: what the input adds to each block; of the lowest layer, I is the vocabulary.
    wh
        float32 ``(N, G)``: what the state adds.
    b
        float32 ``(G,)``.
    bh
        float32 ``(G,)``: the state's own bias, for cells that use input and state separately; else None.
    """

    wx: Any
    wh: Any
    b: Any
    bh: Any = None

    names: ClassVar[tuple[str, ...]] = ("wx", "wh", "b", "bh")

    @property
    def hidden(self) -> int:
        """The number of neurons N."""
        return int(self.wh.shape[-2])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LinearWeights:
    """One layer of a cell that is linear in its state. Leading axes are batches (the models of a population).

    Attributes
    ----------
    wx
        float32 ``(I, G)``: what the input adds to each block; of the lowest layer, I is the vocabulary.
    b
        float32 ``(G,)``.
    decay
        float32 ``(N,)``: how fast each neuron forgets, for cells that have such a parameter (RG-LRU's Lambda); else
        None.
    n_blocks
        The number of blocks, G / N.
    """

    wx: Any
    b: Any
    decay: Any
    n_blocks: int = field(metadata={"static": True})

    names: ClassVar[tuple[str, ...]] = ("wx", "b", "decay")

    @property
    def hidden(self) -> int:
        """The number of neurons N."""
        return int(self.b.shape[-1]) // self.n_blocks


AnyLayerWeights = LayerWeights | LinearWeights


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Weights:
    """All parameters of a character network.

    Attributes
    ----------
    layers
        The recurrent layers, the lowest first.
    head
        float32 ``(N, V)``: the readout of the top layer.
    head_b
        float32 ``(V,)``.
    cell
        The cell's name.
    matmul_dtype
        ``"bfloat16"`` rounds the operands of matrix products (sums stay float32); for accelerators.
    """

    layers: tuple[AnyLayerWeights, ...]
    head: Any
    head_b: Any
    cell: str = field(default="lstm", metadata={"static": True})
    matmul_dtype: MatmulDtype = field(default="float32", metadata={"static": True})

    @property
    def cell_type(self) -> Cell:
        """The cell."""
        return CELLS[self.cell]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of neurons of each layer."""
        return tuple(layer.hidden for layer in self.layers)

    @property
    def n_neurons(self) -> int:
        """The number of neurons of all layers."""
        return sum(self.sizes)

    @property
    def layer_slices(self) -> tuple[slice, ...]:
        """The neurons of each layer; they are numbered from the lowest layer up."""
        ends = np.cumsum(self.sizes).tolist()
        return tuple(slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True))


def named_arrays(weights: Weights) -> dict[str, Any]:
    """Return all parameters by name: ``"layers.0.wx"``, ..., ``"head"``, ``"head_b"``."""
    arrays = {
        f"layers.{number}.{name}": getattr(layer, name)
        for number, layer in enumerate(weights.layers)
        for name in layer.names
        if getattr(layer, name) is not None
    }
    return {**arrays, "head": weights.head, "head_b": weights.head_b}


def check_finite_weights(weights: Weights, source: str) -> None:
    """Raise a ValueError for weights with NaN or infinity.

    Raises
    ------
    ValueError
        Names the parameter and how many of its numbers are not finite.
    """
    for name, array in named_arrays(weights).items():
        bad = int((~np.isfinite(np.asarray(array))).sum())
        if bad:
            raise ValueError(
                f"expected finite weights in {source}, got {bad} of {np.size(array)} numbers NaN or infinite in "
                f"{name!r}: use a checkpoint from before the training diverged"
            )


def with_arrays(like: Weights, arrays: Mapping[str, Any]) -> Weights:
    """Return weights of the same shapes, with arrays named as by `named_arrays`.

    Raises
    ------
    ValueError
        Where an array is missing or has another shape.
    """
    if "wx" in arrays:  # format 1 of a saved model
        arrays = {(name if name.startswith("head") else f"layers.0.{name}"): arrays[name] for name in arrays}
    wanted = named_arrays(like)
    if set(wanted) != set(arrays):
        raise ValueError(f"weights named {', '.join(sorted(arrays))} instead of {', '.join(sorted(wanted))}")
    for name, array in wanted.items():
        if np.shape(arrays[name]) != array.shape:
            raise ValueError(f"shape {np.shape(arrays[name])} of {name!r} instead of {array.shape}")
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in wanted])
