"""Layers with every weight set."""

from dni_jax.models import LayerWeights, LinearWeights
from dni_jax.models.cells import CELLS, LinearCell


def random_layer(cell, n_inputs, hidden, draw, recurrence=0.4):
    """Draw a layer of any cell; `draw` takes a shape, and recurrent weights are multiplied by a number."""
    kind = CELLS[cell]
    width = len(kind.gates) * hidden
    if isinstance(kind, LinearCell):
        decay = None if kind.initial_decay is None else draw(hidden)
        return LinearWeights(draw(n_inputs, width), draw(width), decay, len(kind.gates))
    wx, wh, b = draw(n_inputs, width), draw(hidden, width) * recurrence, draw(width)
    return LayerWeights(wx, wh, b, draw(width) if kind.has_state_bias else None)
