"""minGRU, RG-LRU and sLSTM against their papers' equations, written out step by step in NumPy."""

import typing
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax

import dni_jax as dni
from dni_jax.models import TrainConfig, TrainedModel, Weights
from dni_jax.models._layers import Dense, Lookup, ScanSettings, layer_step, reset_carry, zero_carry
from dni_jax.models._linear import linear_recurrence, linear_scan
from dni_jax.models._network import scan_layer
from dni_jax.models.cells import CELLS, Carry
from tests.support.layers import random_layer
from tests.support.slow import slow_after

V, N, B, L = 4, 3, 2, 7
NEW = ("mingru", "rglru", "slstm")
LINEAR = ("mingru", "rglru")
TELLING = ("mingru", "slstm", "rglru")  # a minGRU and an RG-LRU share all but their equations


@pytest.fixture
def doubles():
    with jax.enable_x64(True):
        yield


def mingru_step(p, u, state):
    z, n = expit(u[:N]), u[N:]
    h = (1 - z) * state["h"] + z * n
    return {"h": h}, (z, n)


def rglru_step(p, u, state):
    r, i, x = expit(u[:N]), expit(u[N : 2 * N]), u[2 * N :]
    a = expit(p["decay"]) ** (8 * r)
    return {"h": a * state["h"] + np.sqrt(1 - a**2) * (i * x)}, (r, i, x)


def slstm_step(p, u, state):
    """Without a stabiliser: in float64, exponentials of moderate numbers need none."""
    before = u + state["h"] @ p["wh"]
    i, f, z, o = np.exp(before[:N]), expit(before[N : 2 * N]), np.tanh(before[2 * N : 3 * N]), expit(before[3 * N :])
    c, n = f * state["c"] + i * z, f * state["n"] + i
    return {"c": c, "n": n, "h": o * c / n}, (i, f, z, o)


STEPS = {"mingru": mingru_step, "rglru": rglru_step, "slstm": slstm_step}


def by_hand(cell, p, inputs, resets, start=None):
    """Return hidden states ``(L, B, N)`` and gates ``(L, B, g, N)`` of inputs ``(L, B, I)``, one lane after another."""
    gates_of = len(CELLS[cell].gates)
    hidden, gates = np.zeros((*inputs.shape[:2], N)), np.zeros((*inputs.shape[:2], gates_of, N))
    for lane in range(inputs.shape[1]):
        zero = {"h": np.zeros(N), "c": np.zeros(N), "n": np.zeros(N)}
        state = zero if start is None else zero | {"h": start[lane]}
        for t in range(len(inputs)):
            state, gates[t, lane] = STEPS[cell](
                p, inputs[t, lane] @ p["wx"] + p["b"], zero if resets[t, lane] else state
            )
            hidden[t, lane] = state["h"]
    return hidden, gates


def draw_problem(cell, seed=0):
    rng = np.random.default_rng(seed)
    layer = random_layer(cell, V, N, lambda *shape: rng.normal(size=shape))
    resets = np.zeros((L, B), bool)
    resets[0, 0] = resets[3, 1] = True
    return layer, rng.normal(size=(L, B, V)), resets, rng.normal(size=(L, B, N))


def parameters(layer):
    return {name: getattr(layer, name) for name in layer.names if getattr(layer, name) is not None}


@partial(jax.jit, static_argnames="cell")
def scanned(cell, layer, inputs, resets, carry=None):
    source = Dense(inputs @ layer.wx + layer.b)
    carry = zero_carry(inputs.shape[1], N, cell) if carry is None else carry
    return scan_layer(ScanSettings(cell, "float32"), source, layer, resets, carry)


@pytest.mark.parametrize("cell", NEW)
def test_states_and_gates_follow_the_papers_equations(cell, doubles):
    layer, inputs, resets, _ = draw_problem(cell)
    expected, gates = by_hand(cell, parameters(layer), inputs, resets)
    hidden, last = scanned(cell, layer, inputs, resets)
    np.testing.assert_allclose(hidden, expected, atol=1e-12)
    np.testing.assert_allclose(last.h, expected[-1], atol=1e-12)

    # One step at a time, as recording and generation take them.
    @jax.jit
    def step(layer, values, carry, reset):
        taken = layer_step(ScanSettings(cell, "float32"), values @ layer.wx + layer.b, layer, carry, reset)
        return reset_carry(carry, reset), *taken

    carry = zero_carry(B, N, cell)
    for t in range(L):
        old, carry, kept = step(layer, inputs[t], carry, resets[t])
        np.testing.assert_allclose(carry.h, expected[t], atol=1e-12)
        found = np.stack(kept[: gates.shape[2]], axis=1)
        if cell == "slstm":
            found[:, 0] *= np.exp(carry.c.m)  # the gates are in units of exp(m)
            found[:, 1] *= np.exp(carry.c.m - old.c.m)
            gates[t, :, 1] *= np.asarray(old.c.n > 0)  # an empty memory keeps nothing
        np.testing.assert_allclose(found, gates[t], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", NEW)
def test_gradients_are_finite_differences_of_the_papers_equations(cell, doubles):
    layer, inputs, resets, pull = draw_problem(cell)

    def loss(layer):
        return (scanned(cell, layer, inputs, resets)[0] * pull).sum()

    gradient, step = parameters(jax.jit(jax.grad(loss))(layer)), 1e-6
    for name, array in parameters(layer).items():
        slopes = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                moved = array.copy()
                moved[place] += sign * step
                ends.append((by_hand(cell, parameters(layer) | {name: moved}, inputs, resets)[0] * pull).sum())
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(gradient[name], slopes, atol=2e-8)


@pytest.mark.parametrize("cell", LINEAR)
def test_the_incoming_state_is_continued(cell, doubles):
    layer, inputs, resets, _ = draw_problem(cell)
    start = np.random.default_rng(5).normal(size=(B, N))
    hidden, _ = scanned(cell, layer, inputs, resets, Carry(None, start))
    np.testing.assert_allclose(hidden, by_hand(cell, parameters(layer), inputs, resets, start)[0], atol=1e-12)


@pytest.mark.parametrize("plan", ["auto", "sequential", "parallel"])
def test_every_plan_of_a_linear_recurrence_gives_the_same(plan, doubles):
    rng = np.random.default_rng(0)
    a, b, start, pull = (rng.uniform(-1, 1, shape) for shape in ((37, B, N), (37, B, N), (B, N), (37, B, N)))
    a[9, 0] = 0.0
    state, expected = start, []
    for t in range(37):
        state = a[t] * state + b[t]
        expected.append(state)
    flow, d_a, d_b = np.zeros((B, N)), np.zeros(a.shape), np.zeros(a.shape)
    for t in reversed(range(37)):
        flow = flow + pull[t]
        d_a[t], d_b[t] = flow * (start if t == 0 else expected[t - 1]), flow
        flow = a[t] * flow

    @jax.jit
    def both(a, b, start):
        hidden, gradient = jax.vjp(partial(linear_recurrence, plan), a, b, start)
        return hidden, gradient(jnp.asarray(pull))

    hidden, gradient = both(a, b, start)
    np.testing.assert_allclose(hidden, expected, atol=1e-12)
    for mine, wanted in zip(gradient, (d_a, d_b, np.zeros(start.shape)), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=1e-12)


@pytest.mark.parametrize(("platform", "loops"), [("cpu", True), ("cuda", False), ("tpu", False)])
def test_accelerators_recur_in_parallel(platform, loops):
    array, start = jax.ShapeDtypeStruct((16, B, N), jnp.float32), jax.ShapeDtypeStruct((B, N), jnp.float32)

    def loss(a, b, start):
        return linear_recurrence("auto", a, b, start).sum()

    program = jax.export.export(jax.jit(jax.grad(loss, argnums=(0, 1))), platforms=[platform])(array, array, start)
    assert ("stablehlo.while" in program.mlir_module()) == loops


@pytest.mark.parametrize("cell", LINEAR)
def test_a_symbol_is_its_row_of_the_table(cell):
    rng = np.random.default_rng(0)
    layer = random_layer(cell, V, N, lambda *shape: rng.normal(size=shape).astype(np.float32))
    codes = rng.integers(0, V, (L, B)).astype(np.int32)
    table = layer.wx + layer.b

    @partial(jax.jit, static_argnames="plan")
    def scan(source, layer, plan):
        rest = layer, jnp.zeros((L, B), bool), zero_carry(B, N, cell)
        return linear_scan(ScanSettings(cell, "float32"), source, *rest, plan=plan)[0]

    looked_up = scan(Lookup(table, codes), layer, "parallel")
    plain = scan(Dense(table[codes]), layer, "sequential")
    np.testing.assert_allclose(looked_up, plain, atol=1e-6)


@pytest.mark.parametrize("cell", NEW)
def test_gates_that_saturate_leave_states_and_gradients_finite(cell):
    rng = np.random.default_rng(0)
    layer = random_layer(cell, V, N, lambda *shape: rng.normal(size=shape).astype(np.float32))
    inputs = rng.choice([-300.0, 0.0, 300.0], (20, B, V)).astype(np.float32)
    resets = np.zeros((20, B), bool)

    def loss(layer):
        hidden, _ = scanned(cell, layer, inputs, resets)
        return (hidden**2).sum(), hidden

    gradient, hidden = jax.jit(jax.grad(loss, has_aux=True))(layer)
    for array in (hidden, *jax.tree.leaves(gradient)):
        assert np.isfinite(array).all()
    assert cell != "slstm" or np.abs(hidden).max() <= 1  # an average of numbers below 1, times a gate


def test_a_recurrence_of_thousands_of_steps_keeps_float32s_precision():
    """The decays of an RG-LRU, from 0.9 to 0.999, in parallel and one after the other."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.9, 0.999, (4_000, 1, 8)), rng.normal(size=(4_000, 1, 8))
    state, exact = np.zeros((1, 8)), []
    for decay, new in zip(a, b, strict=True):
        state = decay * state + new
        exact.append(state)
    for plan in ("sequential", "parallel"):
        run = jax.jit(partial(linear_recurrence, plan))
        found = run(a.astype(np.float32), b.astype(np.float32), np.zeros((1, 8), np.float32))
        np.testing.assert_allclose(found, exact, atol=2e-5)


def test_an_rglru_begins_with_the_papers_decays():
    layer = dni.models.CharNetwork.init(V, (2_000,), "rglru", seed=3).weights.layers[0]
    decays = expit(np.asarray(layer.decay, np.float64)) ** 8
    assert 0.9 <= decays.min() < 0.901
    assert 0.998 < decays.max() <= 0.999
    assert decays.mean() == pytest.approx(0.9495, abs=0.002)
    assert not np.asarray(layer.b).any()


def test_an_slstm_begins_without_recurrence_and_with_spread_forget_gates():
    layer = dni.models.CharNetwork.init(V, (50,), "slstm", seed=3).weights.layers[0]
    assert not np.asarray(layer.wh).any()
    i, f, z, o = np.asarray(layer.b).reshape(4, 50)
    np.testing.assert_allclose([f[0], f[-1]], [5, -7], atol=1e-6)
    assert (np.diff(f) < 0).all()
    assert not np.stack([i, z, o]).any()


def test_the_settings_offer_every_cell():
    assert typing.get_args(typing.get_type_hints(TrainConfig)["cell"]) == tuple(CELLS)


@pytest.fixture(scope="module")
def text(corpus):
    return corpus.test.head(600)


@pytest.fixture(scope="module")
def networks(corpus):
    """Return networks of two layers with 4 neurons each, every weight drawn, by cell."""
    rng, size = np.random.default_rng(1), len(corpus.vocabulary)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    def network(cell):
        layers = tuple(random_layer(cell, below, 4, draw) for below in (size, 4))
        return TrainedModel.from_weights(Weights(layers, draw(4, size), draw(size), cell), corpus.vocabulary)

    return {cell: network(cell) for cell in NEW}


def steps_of(states, text, part):
    """Return a recorded part before and after each character that is not its string's first."""
    later = np.flatnonzero(text.position_in_string > 0)
    return part[later - 1], part[later], later


def test_a_mingru_under_overrides_of_its_gates(networks, text):
    model = networks["mingru"]
    assert model.parts == ("z", "n", "h")
    kept = dni.record(model, text, what=("gates",), intervention=dni.clamp([1], 0.0, part="z"))
    before, after, _ = steps_of(kept, text, kept.hidden)
    np.testing.assert_allclose(after[:, 1], before[:, 1], atol=1e-6)  # a closed gate keeps the state
    taken = dni.record(model, text, what=("gates",), intervention=dni.clamp([1], 1.0, part="z"))
    np.testing.assert_allclose(taken.hidden[:, 1], taken.gates[:, 1, 1], atol=1e-6)  # an open one takes the candidate
    held = dni.record(model, text, what=("gates",), intervention=dni.clamp([1], 0.5, part="n"))
    before, after, later = steps_of(held, text, held.hidden)
    z = held.gates[later, 0, 1]
    np.testing.assert_allclose(after[:, 1], (1 - z) * before[:, 1] + z * 0.5, atol=1e-6)


def test_an_rglru_under_overrides_of_its_gates(networks, text):
    model = networks["rglru"]
    assert model.parts == ("r", "i", "x", "h")
    kept = dni.record(model, text, intervention=dni.clamp([1], 0.0, part="r"))
    before, after, _ = steps_of(kept, text, kept.hidden)
    np.testing.assert_allclose(after[:, 1], before[:, 1], atol=1e-6)  # a^0 = 1: all is kept, and nothing comes in
    open_ = dni.record(model, text, what=("gates",), intervention=dni.clamp([1], 1.0, part="r"))
    before, after, later = steps_of(open_, text, open_.hidden)
    a = expit(np.asarray(model.weights.layers[0].decay[1], np.float64)) ** 8
    new = np.sqrt(1 - a**2) * open_.gates[later, 1, 1] * open_.gates[later, 2, 1]
    np.testing.assert_allclose(after[:, 1], a * before[:, 1] + new, atol=1e-5)
    empty = dni.record(model, text, intervention=dni.ablate([1], part="i"))
    before, after, _ = steps_of(empty, text, empty.hidden)
    assert (np.abs(after[:, 1]) <= np.abs(before[:, 1]) + 1e-6).all()  # without input, states decay
    with pytest.raises(ValueError, match="expected finite states"):
        dni.record(model, text, intervention=dni.clamp([1], -1.0, part="r"))


@pytest.mark.slow
def test_an_slstm_under_overrides_of_its_gates(networks, text):
    model = networks["slstm"]
    assert model.parts == ("i", "f", "z", "o", "c", "h")
    what = ("cell", "gates")
    closed = dni.record(model, text, what=what, intervention=dni.ablate([1], part="o"))
    assert (closed.hidden[:, 1] == 0).all()
    forgetful = dni.record(model, text, what=what, intervention=dni.ablate([1], part="f"))
    i, _, z, o = forgetful.gates[:, :, 1].T
    np.testing.assert_allclose(forgetful.cell[:, 1], i * z, atol=1e-6)
    np.testing.assert_allclose(forgetful.hidden[:, 1], o * z, atol=1e-6)  # the average of one number
    unwritten = dni.record(model, text, what=what, intervention=dni.ablate([1], part="i"))
    assert (unwritten.hidden[:, 1] == 0).all()  # nothing is ever stored
    emptied = dni.record(model, text, what=what, intervention=dni.ablate([1], part="c"))
    assert (emptied.hidden[:, 1] == 0).all()
    for part in ("n", "m"):
        with pytest.raises(ValueError, match=f"i, f, z, o, c, h, got '{part}'"):
            dni.record(model, text, intervention=dni.clamp([1], 1.0, part=part))


@pytest.mark.parametrize("cell", slow_after(2, TELLING))
def test_overrides_of_the_state_flow_on_or_are_only_read_out(networks, text, cell):
    model = networks[cell]
    plain = dni.record(model, text).hidden
    held = dni.record(model, text, intervention=dni.clamp([1], 0.5)).hidden
    shown = dni.record(model, text, intervention=dni.clamp([1], 0.5, where="readout")).hidden
    assert (held[:, 1] == 0.5).all()
    assert (shown[:, 1] == 0.5).all()
    np.testing.assert_allclose(shown[:, [0, 2, 3]], plain[:, [0, 2, 3]], atol=1e-6)
    # Within a layer, only an sLSTM's neurons read each other; every layer above reads them.
    assert np.allclose(held[:, [0, 2, 3]], plain[:, [0, 2, 3]], atol=1e-6) == (cell in LINEAR)
    assert not np.allclose(held[:, 4:], plain[:, 4:], atol=1e-3)
    same = dni.record(model, text, intervention=dni.patch(range(8), plain)).hidden
    np.testing.assert_allclose(same, plain, atol=1e-5)


@pytest.mark.parametrize("cell", slow_after(2, TELLING))
def test_only_an_slstm_has_a_memory_to_record(networks, text, cell):
    model = networks[cell]
    gates = CELLS[cell].gates
    recorded = dni.record(model, text, what=("gates",))
    assert recorded.gates.shape == (text.n_positions, len(gates), 8)
    assert recorded.gate_names == gates
    if cell == "slstm":
        assert dni.record(model, text, what=("cell",)).cell.shape == (text.n_positions, 8)
    else:
        with pytest.raises(ValueError, match=f"got a network of '{cell}' cells"):
            dni.record(model, text, what=("cell",))


@pytest.mark.parametrize("cell", slow_after(2, TELLING))
def test_predictions_under_overrides_of_single_steps_meet_the_scan(networks, text, cell):
    model = networks[cell]
    sets = np.asarray([[False] * 8, [False] * 4 + [True] * 4])  # no neuron; all that are read out
    bound = dni.ablate(range(8)).bind(8, text.n_positions, sets=sets)
    intact, silenced = dni.models.predict(model.weights, text, bound).total_loss
    assert intact == pytest.approx(dni.models.cross_entropy(model.weights, text), abs=1e-5)
    bias = log_softmax(np.asarray(model.weights.head_b, np.float64))
    strings = [[*text.vocabulary.encode(string), 0] for string in text.strings]
    assert silenced == pytest.approx(-float(np.mean(bias[np.concatenate(strings)])), abs=1e-5)


@pytest.mark.parametrize("cell", slow_after(2, TELLING))
def test_generation_reads_what_it_writes(networks, cell):
    model = networks[cell]
    assert dni.generate(model, n=2, length=12, seed=1) == dni.generate(model, n=2, length=12, seed=1)
    fixed = dni.clamp(range(4, 8), 0.0)  # nothing but the readout's bias is left: every symbol the same
    likeliest = model.vocabulary.characters[int(np.argmax(model.weights.head_b[1:]))]
    if int(np.argmax(model.weights.head_b)) > 0:
        assert dni.generate(model, n=1, length=6, temperature=0.0, intervention=fixed) == [likeliest * 6]


@pytest.mark.slow
@pytest.mark.parametrize("cell", NEW)
def test_a_whole_inspection(corpus, parentheses, cell):
    """Training as a population, recording, scoring and verification."""
    settings = {"hidden": 8, "batch": 4, "window": 16, "evaluate_every": 20, "steps": 40, "progress": False}
    population = dni.train_population(corpus, seeds=(0, 1), cell=cell, **settings)
    alone = dni.train(corpus, seed=1, cell=cell, **settings)
    for ours, single in zip(jax.tree.leaves(population[1].weights), jax.tree.leaves(alone.weights), strict=True):
        np.testing.assert_allclose(ours, single, atol=1e-5)
    text = corpus.test.head(2_000)
    labels = parentheses.features().label(text)
    relevance = dni.inspect(dni.record(alone, text), labels, folds=3)
    effect = dni.verify(alone, text, relevance, "digit", ks=(1,), n_random=4)
    assert np.isfinite(effect["top_effect"].sel(measure="loss")).all()


@pytest.mark.slow
@pytest.mark.parametrize("cell", NEW)
def test_training_resumes_to_the_bit(corpus, tmp_path, cell):
    settings = {"hidden": 8, "batch": 4, "window": 16, "evaluate_every": 10, "progress": False, "cell": cell}

    def kill(evaluation):
        if evaluation.step == 10:
            raise KeyboardInterrupt

    whole = dni.train(corpus, steps=20, **settings)
    with pytest.raises(KeyboardInterrupt):
        dni.train(corpus, steps=20, checkpoints=tmp_path / "states", on_evaluation=kill, **settings)
    resumed = dni.train(corpus, steps=20, checkpoints=tmp_path / "states", **settings)
    for one, other in zip(jax.tree.leaves(whole.weights), jax.tree.leaves(resumed.weights), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_flax_lacks_is_not_converted(networks):
    with pytest.raises(ValueError, match="one of the cells lstm, gru, rnn, got 'slstm' cells"):
        dni.models.to_flax(networks["slstm"])
