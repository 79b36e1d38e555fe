"""Captured outputs against calling the submodules by hand; the module is left as it was."""

import re
import threading

import jax
import numpy as np
import pytest
from flax import linen, nnx

import dni_jax as dni
from tests.support.slow import slow_after


class Cells(nnx.Module):
    """A cell stepped by hand beside one in an RNN, a list of modules, one held twice, statistics and dropout."""

    def __init__(self, rngs):
        self.rnn = nnx.RNN(nnx.LSTMCell(3, 4, rngs=rngs))
        self.cell = nnx.LSTMCell(3, 4, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(12)])
        self.same = self.blocks[0]
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.never = nnx.Linear(4, 4, rngs=rngs)

    def __call__(self, x, flip=False):
        carry = self.cell.initialize_carry(x[:, 0].shape, nnx.Rngs(0))
        for t in range(2):
            carry, _ = self.cell(carry, x[:, t])
        y = self.rnn(x)
        for block in self.blocks:
            y = block(y)
        y = self.same(-y if flip else y)
        return self.dropout(self.norm(y))


class Double(nnx.Linear):
    """Calls its base's __call__, which is intercepted too."""

    def __call__(self, x):
        return 2 * super().__call__(x)


class Inherits(nnx.Linear):
    """Has no __call__ of its own."""


@pytest.fixture(scope="module")
def cells():
    """To be called by no one but `record_module`, which leaves its statistics and dropout as they were."""
    return Cells(nnx.Rngs(0))


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(1), (5, 6, 3))


def state_of(module):
    return jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.RngState))))


def close(got, expected):
    np.testing.assert_allclose(got, np.asarray(expected), atol=1e-6)


def test_outputs_are_those_of_calls_by_hand(cells, x):
    values = dni.models.record_module(cells, x, ["rnn", "blocks/*"])
    hidden = cells.rnn(x)
    close(values["rnn"], hidden)
    first = linear(cells.blocks[0], hidden)
    close(values["blocks/0#0"], first)
    second = linear(cells.blocks[1], first)
    close(values["blocks/1"], second)
    y = first
    for block in list(cells.blocks)[1:]:
        y = linear(block, y)
    close(values["blocks/11"], y)
    close(values["blocks/0#1"], linear(cells.same, y))
    assert list(values) == ["rnn", "blocks/0#0", "blocks/0#1"] + [f"blocks/{i}" for i in range(1, 12)]
    assert all(type(value) is np.ndarray for value in values.values())


def linear(layer, values):
    return np.asarray(values) @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])


def test_an_rnn_is_the_cell_step_by_step(cells, x):
    carry = cells.rnn.cell.initialize_carry(x[:, 0].shape, nnx.Rngs(0))
    rows = []
    for t in range(x.shape[1]):
        carry, y = cells.rnn.cell(carry, x[:, t])
        rows.append(y)
    close(dni.models.record_module(cells, x, "rnn")["rnn"], np.stack(rows, 1))


def test_outputs_of_several_arrays_and_calls(cells, x):
    values = dni.models.record_module(cells, x, "cell")
    carry = cells.cell.initialize_carry(x[:, 0].shape, nnx.Rngs(0))
    for t in range(2):
        carry, y = cells.cell(carry, x[:, t])
        close(values[f"cell#{t}[0][0]"], carry[0])
        close(values[f"cell#{t}[0][1]"], carry[1])
        close(values[f"cell#{t}[1]"], y)
    assert len(values) == 6


def test_the_module_and_its_classes_are_unchanged(x):
    cells = Cells(nnx.Rngs(0))
    classes = {type(part) for _, part in nnx.iter_modules(cells)}
    before, calls = state_of(cells), {cls: vars(cls).get("__call__") for cls in classes}
    first = dni.models.record_module(cells, x)
    second = dni.models.record_module(cells, x)
    with pytest.raises(TypeError):
        dni.models.record_module(cells, x, wrong=1)
    assert calls == {cls: vars(cls).get("__call__") for cls in classes}
    jax.tree.map(np.testing.assert_array_equal, before, state_of(cells))
    assert not any(hasattr(part, "__captures__") for _, part in nnx.iter_modules(cells))
    jax.tree.map(np.testing.assert_array_equal, first, second)  # dropout: the same stream again
    close(cells(x), first["."])


def test_every_path_by_default_but_those_without_values(cells, x):
    paths = {re.sub(r"[#\[].*", "", name) for name in dni.models.record_module(cells, x)}
    never = {path for path in paths if path.startswith(("rnn/", "never"))}
    assert not never
    assert {"rnn", "cell", "cell/ii", "blocks/11", "norm", "dropout", "."} <= paths


def test_super_and_inherited_calls_count_once(x):
    rngs = nnx.Rngs(0)
    module = nnx.Sequential(Double(3, 4, rngs=rngs), Inherits(4, 2, rngs=rngs), nnx.Linear(2, 2, rngs=rngs))
    values = dni.models.record_module(module, x, "layers/?")
    assert list(values) == ["layers/0", "layers/1", "layers/2"]
    first = 2 * linear(module.layers[0], x)
    close(values["layers/0"], first)
    close(values["layers/1"], linear(module.layers[1], first))


def test_patterns(cells, x):
    def paths(select):
        return list(dni.models.record_module(cells, x, select))

    assert paths("norm") == ["norm"]
    assert paths(".") == ["."]
    assert paths(re.compile(r"^blocks/1\d$")) == ["blocks/10", "blocks/11"]
    assert paths(["norm", re.compile("drop")]) == ["norm", "dropout"]
    assert paths("cell/h[io]") == ["cell/hi#0", "cell/hi#1", "cell/ho#0", "cell/ho#1"]


@pytest.mark.parametrize("batch", slow_after(2, [2, 99, 1, 5]))
def test_parts_are_laid_end_to_end(x, batch):
    module = nnx.Sequential(nnx.RNN(nnx.LSTMCell(3, 4, rngs=nnx.Rngs(0)), return_carry=True))
    whole, parts = dni.models.record_module(module, x), dni.models.record_module(module, x, batch=batch)
    assert (
        list(whole)
        == list(parts)
        == [f"{path}{leaf}" for path in ("layers/0", ".") for leaf in ("[0][0]", "[0][1]", "[1]")]
    )
    for name, value in whole.items():
        assert value.shape == parts[name].shape
        assert value.dtype == parts[name].dtype
        close(parts[name], value)


def test_several_arguments_and_options(x):
    class Sum(nnx.Module):
        def __init__(self):
            self.part = Part()

        def __call__(self, left, right, *, scale):
            return self.part(left["a"] + right, scale)

    class Part(nnx.Module):
        def __call__(self, total, scale):
            return {"sum": total, "scaled": scale * total}

    for batch in (None, 2):
        values = dni.models.record_module(Sum(), ({"a": x}, x), "part", batch=batch, scale=3.0)
        close(values["part['sum']"], 2 * x)
        close(values["part['scaled']"], 6 * x)


def test_what_cannot_be_captured_is_refused(cells, x):
    with pytest.raises(ValueError, match=r"'rnn/cell/ii'.*inside scan.*select the module around it \('rnn'\)"):
        dni.models.record_module(cells, x, "rnn/*")
    with pytest.raises(ValueError, match="'never', which did not run"):
        dni.models.record_module(cells, x, ["norm", "never"])
    with pytest.raises(ValueError, match="outside of them"):
        jax.jit(lambda x: dni.models.record_module(cells, x))(x)
    with pytest.raises(
        ValueError, match=r"among '\.', 'blocks/0', 'blocks/1'.*got 'block/1', which fits none; did you"
    ):
        dni.models.record_module(cells, x, "block/1")

    class Inner(nnx.Module):
        def __init__(self):
            self.part = nnx.Linear(3, 3, rngs=nnx.Rngs(0))

        def __call__(self, x):
            return jax.lax.scan(lambda carry, row: (carry, self.part(row)), None, x)[1]

    values = dni.models.record_module(Inner(), x)  # the part is called with a scan's tracers: they must not leak
    assert list(values) == ["."]
    with pytest.raises(ValueError, match=r"'part'.*inside scan"):
        dni.models.record_module(Inner(), x, "part")


def test_other_bad_input_is_named(cells, x):
    with pytest.raises(ValueError, match=r"Flax NNX or Linen module, got function.*from_arrays"):
        dni.models.record_module(lambda x: x, x)
    with pytest.raises(ValueError, match="variables=None with an NNX module"):
        dni.models.record_module(cells, x, variables={})
    with pytest.raises(ValueError, match="select to be a path"):
        dni.models.record_module(cells, x, [])
    for batch in (0, True):
        with pytest.raises(ValueError, match="batch to be None or a whole number"):
            dni.models.record_module(cells, x, batch=batch)
    for inputs in ((x, 1.0), (x, x[1:]), (), x[:0]):
        with pytest.raises(ValueError, match="share a leading axis"):
            dni.models.record_module(cells, inputs, batch=2)

    class Silent(nnx.Module):
        def encode(self, x):
            return x

    with pytest.raises(ValueError, match="with __call__, got Silent without"):
        dni.models.record_module(Silent(), x)

    class Total(nnx.Module):
        def __call__(self, x):
            return x.sum(0)

    with pytest.raises(ValueError, match=r"output of '\.'.*shape \(2, 3\), got \(6, 3\)"):
        dni.models.record_module(Total(), x, batch=2)

    class Text(nnx.Module):
        def __call__(self, x):
            return x, "text"

    with pytest.raises(ValueError, match=r"got str from '\.\[1\]'"):
        dni.models.record_module(Text(), x)


def test_two_threads_capture_the_same_classes(x):
    modules = [
        nnx.Sequential(nnx.Linear(3, 4, rngs=nnx.Rngs(seed)), nnx.Linear(4, 4, rngs=nnx.Rngs(seed)))
        for seed in range(4)
    ]
    got = {}

    def work(number):
        got[number] = dni.models.record_module(modules[number], x)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    original = nnx.Linear.__call__
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert nnx.Linear.__call__ is original
    for number, module in enumerate(modules):
        close(got[number]["layers/0"], module.layers[0](x))
        close(got[number]["."], module(x))


class Stack(linen.Module):
    @linen.compact
    def __call__(self, x, train=False):
        x = linen.Dense(4)(x)
        self.sow("intermediates", "noise", x)
        shared = linen.Dense(4, name="shared")
        x = shared(shared(x))
        x = linen.BatchNorm(use_running_average=not train)(x)
        return linen.RNN(linen.LSTMCell(5, name="cell"), return_carry=True)(x)


@pytest.fixture(scope="module")
def stack(x):
    return Stack(), jax.jit(Stack().init)(jax.random.key(0), x)


def linen_dense(params, values):
    return np.asarray(values) @ np.asarray(params["kernel"]) + np.asarray(params["bias"])


@pytest.mark.slow
def test_linen_outputs_are_those_of_calls_by_hand(stack, x):
    module, variables = stack
    values = dni.models.record_module(module, x, variables=variables)
    params = variables["params"]
    first = linen_dense(params["Dense_0"], x)
    second = linen_dense(params["shared"], first)
    close(values["Dense_0"], first)
    close(values["shared#0"], second)
    close(values["shared#1"], linen_dense(params["shared"], second))
    (c, h), y = jax.jit(module.apply)(variables, x)
    for name, expected in (("[0][0]", c), ("[0][1]", h), ("[1]", y)):
        close(values["RNN_0" + name], expected)
        close(values["." + name], expected)
    assert not [name for name in values if "noise" in name or "cell" in name]
    parts = dni.models.record_module(module, x, ["shared", "RNN*"], variables=variables, batch=2, train=False)
    for name, value in parts.items():
        close(value, values[name])


def test_linen_scanned_layers_that_carry_intermediates(x):
    class Layers(linen.Module):
        @linen.compact
        def __call__(self, x):
            def body(layer, carry, _):
                return layer(carry), None

            axes = {"params": 0, "intermediates": 0}
            over = linen.scan(body, variable_axes=axes, split_rngs={"params": True}, length=3)
            return over(linen.Dense(3, name="layer"), x, None)[0]

    module = Layers()
    variables = jax.jit(module.init)(jax.random.key(0), x)
    layers = dni.models.record_module(module, x, "layer", variables=variables)["layer"]
    y = x
    for number in range(3):
        params = {name: np.asarray(leaf)[number] for name, leaf in variables["params"]["layer"].items()}
        y = linen_dense(params, y)
        close(layers[number], y)


def test_linen_bad_input_is_named(stack, x):
    module, variables = stack
    with pytest.raises(ValueError, match=r"variables= with a Linen module.*module\.init"):
        dni.models.record_module(module, x)
    with pytest.raises(
        ValueError, match=r"among 'Dense_0', 'shared'.*got 'Dense_1', which fits none; did you mean 'Dense_0'"
    ):
        dni.models.record_module(module, x, "Dense_1", variables=variables)
    with pytest.raises(ValueError, match=r"'cell'.*inside scan.*around"):
        dni.models.record_module(module, x, "cell", variables=variables)


@pytest.mark.slow
def test_the_states_of_an_rnn_are_inspected(held_out, labels):
    module = nnx.Sequential(
        nnx.Embed(len(held_out.vocabulary), 3, rngs=nnx.Rngs(0)), nnx.RNN(nnx.LSTMCell(3, 4, rngs=nnx.Rngs(0)))
    )
    hidden = dni.models.record_module(module, held_out.codes, "layers/1", batch=64)["layers/1"]
    relevance = dni.inspect(dni.from_arrays(hidden, held_out), labels.select(["digit"]), "ols", folds=4)
    assert dict(relevance.sizes) == {"neuron": 4, "feature": 1, "fold": 4}
