"""What a network's output is computed from, and what it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dni_jax.models.exchange._stack import Pointwise, Trace

Output = Literal["logits", "probabilities", "values"]
Head = tuple[Pointwise, ...]


@dataclass(frozen=True, eq=False)
class Readout:
    """A network's output as a function of its states.

    Attributes
    ----------
    function
        Called with a `Trace` of B strings (or windows) of L symbols: ``trace.top`` is the uppermost layer's state
        ``(B, L, N)``, ``trace.layers`` those of all layers, ``trace.inputs`` the embedded symbols, ``trace.mask`` says
        what was read. It returns an array

        - ``(B, L, C)``: an output for each symbol;
        - ``(B, C)`` in windows: the output after each window;
        - ``(B, *x, C)`` with ``per="string"``: an output for each string (``*x``: for several places of it).

        A function of JAX arrays is compiled; any other function is called with NumPy arrays.
    per : {"symbol", "string"}
        Whether there is an output for each symbol, or one for each string.
    output : {"logits", "probabilities", "values"}
        What the C numbers are: logits or probabilities of classes, or the values of a regression.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> kernel = rng.normal(size=(4, 5)).astype("float32")  # from 4 neurons to 5 classes
    >>> Readout(lambda trace: trace.top[:, -1] @ kernel, per="string").output
    'logits'
    """

    function: Callable[[Trace], Any]
    per: Literal["symbol", "string"] = "symbol"
    output: Output = "logits"
    _compiled: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"expected a function of a network's states as readout, got {self.function!r}")
        if self.per not in ("symbol", "string"):
            raise ValueError(f"expected per='symbol' or 'string', got {self.per!r}")
        if self.output not in ("logits", "probabilities", "values"):
            raise ValueError(f"expected output='logits', 'probabilities' or 'values', got {self.output!r}")

    def __call__(self, trace: Trace) -> Float[np.ndarray, "B *x C"]:
        """Return the outputs.

        Raises
        ------
        ValueError
            For outputs of another shape, or that are not finite.
        """
        found = np.asarray(self._call(trace), np.float32)
        batch, length = np.shape(trace.codes)
        windowed = self.per == "symbol" and found.ndim == 2
        fits = found.ndim >= 2 and len(found) == batch
        if self.per == "symbol" and not windowed:
            fits = found.ndim == 3 and found.shape[:2] == (batch, length)
        if not fits:
            wanted = f"({batch}, {length}, C)" if self.per == "symbol" else f"({batch}, ..., C)"
            raise ValueError(f"expected a readout that returns an array {wanted}, got shape {found.shape}")
        return found

    def _call(self, trace: Trace) -> Any:
        if self._compiled is None:
            # A frozen dataclass: what is kept is only whether JAX can compile the function.
            object.__setattr__(self, "_compiled", _compile(self.function, trace))
        return self._compiled(trace)


def _compile(function: Callable[[Trace], Any], trace: Trace) -> Callable[[Trace], Any]:
    try:
        jax.eval_shape(function, trace)
    except Exception:  # NumPy's and PyTorch's functions need values, and fail in their own ways
        return lambda traced: function(jax.tree.map(np.asarray, traced))
    return jax.jit(function)


def apply_head(head: Head, trace: Trace, per: str) -> Any:
    """Return the output of layers on top of the uppermost layer's state: of each symbol, or after the last one."""
    values = trace.top
    if per == "string":
        length = trace.mask.shape[1]
        last = length - 1 - jnp.argmax(trace.mask[:, ::-1], axis=1)
        values = values[jnp.arange(len(values)), last]
    for layer in head:
        values = layer(values)
    return values
