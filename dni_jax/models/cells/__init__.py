"""The recurrent cells by name: LSTM, GRU, plain; one interface."""

from dni_jax.models.cells._cell import Carry, Cell, Edit, no_edit
from dni_jax.models.cells._gru import GRU
from dni_jax.models.cells._lstm import LSTM
from dni_jax.models.cells._rnn import RNN

CELLS = {cell.name: cell for cell in (LSTM, GRU, RNN)}

__all__ = ["CELLS", "GRU", "LSTM", "RNN", "Carry", "Cell", "Edit", "no_edit"]
