"""The same character LSTM three times, for bench_lstm.py: ours, Flax's own `nnx.RNN`, and PyTorch's.

All start from the same weights and read the same codes, time first. Each trains with Adam behind a clipped gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from dni_jax.devices import count_cores, make_grid
from dni_jax.models import (
    Batch,
    TrainConfig,
    TrainedModel,
    Weights,
    compute_losses,
    init_state,
    make_optimizer,
    take_steps,
)
from dni_jax.text import Vocabulary

try:
    import torch
except ImportError:
    torch = None

RATE, CLIP = 1e-3, 1.0


def models(vocabulary: Vocabulary, hidden: int, n: int = 1, matmul_dtype: str = "float32") -> list[TrainedModel]:
    """Untrained networks with seeds 0, 1, ..."""
    return [
        TrainedModel.init(vocabulary, TrainConfig(hidden=hidden, matmul_dtype=matmul_dtype, seed=seed))
        for seed in range(n)
    ]


class Ours:
    """Models that train as one program, several steps a call."""

    def __init__(self, each: Sequence[Weights], batch: int) -> None:
        config = TrainConfig(learning_rate=RATE, clip=CLIP, schedule="constant", warmup=0, batch=batch)
        self.optimizer = make_optimizer(config.plan(each[0].head.shape[1]))
        self.state = init_state(each, self.optimizer, batch)
        self.rates = jnp.full(len(each), RATE)
        self.devices = make_grid(len(each), batch)

    def train(self, codes: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """K steps on codes ``(K, R, B)``, the same for all models; gives the losses ``(M, K)``."""
        every = (len(self.rates), *codes.shape)
        read, wanted = (jnp.asarray(np.broadcast_to(array, every)) for array in (codes, targets))
        batch = Batch(read, wanted, jnp.ones(every), jnp.zeros(every, bool))
        self.state, (losses, _) = take_steps(self.state, self.rates, batch, self.optimizer, self.devices)
        return np.asarray(losses)

    @property
    def weights(self) -> Weights:
        """The first model's weights."""
        return jax.tree.map(lambda part: np.asarray(part[0]), self.state.weights)


class Flax(nnx.Module):
    """Flax's own parts: `nnx.RNN` of `OptimizedLSTMCell`, and a linear readout."""

    def __init__(self, weights: Weights) -> None:
        (layer,) = weights.layers
        n_symbols, hidden = weights.head.shape[1], layer.hidden
        cell = nnx.OptimizedLSTMCell(n_symbols, hidden, rngs=nnx.Rngs(0))
        cell.dense_i.kernel[...], cell.dense_h.kernel[...] = layer.wx, layer.wh
        cell.dense_h.bias[...] = layer.b
        self.rnn = nnx.RNN(cell, time_major=True, return_carry=True, rngs=False)
        self.head = nnx.Linear(hidden, n_symbols, rngs=nnx.Rngs(0))
        self.head.kernel[...], self.head.bias[...] = weights.head, weights.head_b

    def __call__(self, codes: jax.Array, carry: tuple) -> tuple:
        """States of codes ``(R, B)``, and the carry behind them."""
        return self.rnn(jax.nn.one_hot(codes, self.head.out_features), initial_carry=carry)


class FlaxRival:
    """Flax's network, one compiled step a call."""

    name = "nnx.RNN"

    def __init__(self, weights: Weights, batch: int) -> None:
        graph, self.params, rest = nnx.split(Flax(weights), nnx.Param, ...)
        zero = jnp.zeros((batch, weights.n_neurons))
        self.carry = (zero, zero.copy())
        optimizer = optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(RATE))
        self.memory = optimizer.init(self.params)

        def loss_of(params: nnx.State, codes: jax.Array, targets: jax.Array, carry: tuple) -> tuple:
            module = nnx.merge(graph, params, rest)
            carry, hidden = module(codes, carry)
            return compute_losses(module.head(hidden), targets).mean(), carry

        @partial(jax.jit, donate_argnums=(0, 1, 2))
        def step(params: nnx.State, memory: tuple, carry: tuple, codes: jax.Array, targets: jax.Array) -> tuple:
            (loss, carry), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, codes, targets, carry)
            update, memory = optimizer.update(gradient, memory, params)
            return optax.apply_updates(params, update), memory, carry, loss

        self.step = step
        self.read = jax.jit(lambda params, codes, carry: nnx.merge(graph, params, rest)(codes, carry)[1])

    def train(self, codes: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """K steps on codes ``(K, R, B)``; gives the losses ``(K,)``."""
        losses = []
        for read, wanted in zip(codes, targets, strict=True):
            self.params, self.memory, self.carry, loss = self.step(self.params, self.memory, self.carry, read, wanted)
            losses.append(loss)
        return np.asarray(jnp.stack(losses))

    def record(self, codes: np.ndarray) -> np.ndarray:
        """Hidden states ``(T, N)`` behind all codes ``(R, B)`` but the first row's, lane by lane."""
        hidden = np.asarray(self.read(self.params, codes, self.carry))[1:]
        return hidden.swapaxes(0, 1).reshape(-1, hidden.shape[-1])


class TorchRival:
    """PyTorch's LSTM (cuDNN's on a GPU), with fused Adam."""

    name = "torch"

    def __init__(self, weights: Weights, batch: int, device: str = "cpu") -> None:
        torch.set_num_threads(count_cores())
        (layer,), n_symbols = weights.layers, weights.head.shape[1]
        self.device, self.eye = device, torch.eye(n_symbols, device=device)
        self.lstm = torch.nn.LSTM(n_symbols, layer.hidden).to(device)
        self.cell = torch.nn.LSTMCell(n_symbols, layer.hidden).to(device)
        self.head = torch.nn.Linear(layer.hidden, n_symbols).to(device)
        given = (layer.wx.T, layer.wh.T, layer.b, jnp.zeros_like(layer.b), weights.head.T, weights.head_b)
        with torch.no_grad():
            for own in (self.lstm, self.cell):
                parts = (*own.parameters(), *self.head.parameters())
                for parameter, array in zip(parts, given, strict=True):
                    parameter.copy_(torch.tensor(np.asarray(array)))
        self.lstm.bias_hh_l0.requires_grad_(False)  # the others have one bias
        trained = [*self.lstm.parameters(), *self.head.parameters()]
        self.trained = [parameter for parameter in trained if parameter.requires_grad]
        self.adam = torch.optim.Adam(self.trained, RATE, fused=True)
        self.state = tuple(torch.zeros(1, batch, layer.hidden, device=device) for _ in range(2))

    def train(self, codes: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """K steps on codes ``(K, R, B)``; gives the losses ``(K,)``."""
        losses = []
        read, wanted = (torch.from_numpy(array.astype(np.int64)).to(self.device) for array in (codes, targets))
        for now, target in zip(read, wanted, strict=True):
            self.adam.zero_grad(set_to_none=True)
            hidden, state = self.lstm(self.eye[now], self.state)
            loss = torch.nn.functional.cross_entropy(self.head(hidden).flatten(0, 1), target.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.trained, CLIP)
            self.adam.step()
            self.state = tuple(part.detach() for part in state)
            losses.append(loss.detach())
        return torch.stack(losses).cpu().numpy()

    def record(self, codes: np.ndarray) -> np.ndarray:
        """Hidden states ``(T, N)`` behind all codes ``(R, B)`` but the first row's, lane by lane."""
        with torch.no_grad():
            hidden, _ = self.lstm(self.eye[torch.from_numpy(codes.astype(np.int64))])
            return hidden[1:].transpose(0, 1).flatten(0, 1).numpy()

    def write(self, n: int, length: int, neurons: Sequence[int], value: float, temperature: float) -> np.ndarray:
        """Codes ``(L, B)`` of texts written under an override at every step, each from a string's start."""
        h, c = (torch.zeros(n, self.lstm.hidden_size) for _ in range(2))
        codes, written = torch.zeros(n, dtype=torch.int64), torch.zeros(length, n, dtype=torch.int64)
        chosen = torch.tensor(neurons)
        with torch.no_grad():
            for step in range(length):
                goes_on = (codes != 0)[:, None]  # a boundary is read in the zero state
                h, c = self.cell(self.eye[codes], (h * goes_on, c * goes_on))
                h[:, chosen] = value
                logits = self.head(h)
                if temperature > 0:
                    codes = torch.multinomial(torch.softmax(logits / temperature, dim=-1), 1)[:, 0]
                else:
                    codes = logits.argmax(dim=-1)
                written[step] = codes
        return written.numpy()


def rivals(weights: Weights, batch: int) -> list[FlaxRival | TorchRival]:
    """The others that are installed."""
    return [FlaxRival(weights, batch), *([TorchRival(weights, batch)] if torch is not None else [])]
