"""Programs that run online: they read a text symbol by symbol, next to a network, and say a value after each."""

from dni_jax.programs._interpreter import Interpreter, Node, Said, run
from dni_jax.programs._program import Program
from dni_jax.programs._readers import ReadError, Readers
from dni_jax.programs._stepwise import depth, from_trace

__all__ = ["Interpreter", "Node", "Program", "ReadError", "Readers", "Said", "depth", "from_trace", "run"]
