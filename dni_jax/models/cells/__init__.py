"""The recurrent cells by name: LSTM, GRU, plain, minGRU, RG-LRU, sLSTM; one interface."""

from dni_jax.models.cells._cell import Carry, Cell, Edit, LinearCell, NormalizedMemory, SequentialCell, no_edit
from dni_jax.models.cells._gru import GRU
from dni_jax.models.cells._lstm import LSTM
from dni_jax.models.cells._mingru import MINGRU
from dni_jax.models.cells._rglru import RGLRU
from dni_jax.models.cells._rnn import RNN
from dni_jax.models.cells._slstm import SLSTM

CELLS: dict[str, SequentialCell | LinearCell] = {
    LSTM.name: LSTM,
    GRU.name: GRU,
    RNN.name: RNN,
    MINGRU.name: MINGRU,
    RGLRU.name: RGLRU,
    SLSTM.name: SLSTM,
}

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "MINGRU",
    "RGLRU",
    "RNN",
    "SLSTM",
    "Carry",
    "Cell",
    "Edit",
    "LinearCell",
    "NormalizedMemory",
    "SequentialCell",
    "no_edit",
]
