"""The recurrent cells by name: LSTM, GRU, plain; one interface."""

from dni_jax.models.cells.cell import Carry, Cell, Edit, unedited
from dni_jax.models.cells.gru import GRU
from dni_jax.models.cells.lstm import LSTM
from dni_jax.models.cells.rnn import RNN

CELLS = {cell.name: cell for cell in (LSTM, GRU, RNN)}

__all__ = ["CELLS", "GRU", "LSTM", "RNN", "Carry", "Cell", "Edit", "unedited"]
