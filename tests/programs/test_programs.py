"""Programs that run online: pure steps, procedures, and errors that name the place."""

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.programs import Interpreter, Program, ReadError, Readers, depth, from_trace, run
from dni_jax.text import Corpus, segment_corpus

TEXT = Corpus.from_strings(["0(1(2)", "(3)"])


def brackets(symbols):
    stack = 0
    for symbol in symbols:
        stack += symbol == "("
        yield stack
        stack -= symbol == ")"


def test_a_procedure_and_a_step_say_the_same_as_the_feature(parentheses, corpus):
    of_step, of_trace = run(depth(), corpus).values, run(from_trace(brackets), corpus).values
    np.testing.assert_array_equal(of_step, of_trace)
    feature = parentheses.features()["depth"].label(corpus)["depth"]
    np.testing.assert_allclose(of_step[:, 0] / of_step.max(), feature)


def test_a_program_is_a_procedure_for_trace(corpus):
    labels = dni.trace(depth().read, "depth").label(corpus)
    np.testing.assert_array_equal(labels["depth"], run(depth(), corpus).values[:, 0])


def test_texts_that_branch_off_read_the_procedure_again():
    program = from_trace(brackets)
    state, said = program.start(), []
    for symbol in "((":
        state, _ = program.step(state, symbol)
    for _ in range(3):
        said.append([value for _, value in [program.step(state, ")"), program.step(state, "(")]])
    assert said == [[2, 3]] * 3


def test_the_interpreter_looks_up_what_it_knows():
    calls = []

    def step(state, symbol):
        calls.append(symbol)
        return (state + 1) % 2, state

    interpreter = Interpreter(Program("parity", lambda: 0, step))
    node = interpreter.start
    for symbol in "aaaaaa":
        node = interpreter.step(node, symbol)
    assert len(calls) == 3  # the start is a node of its own
    assert node.row == (1.0,)


def test_values_and_fields_become_columns():
    kind = Program("kind", lambda: None, lambda state, symbol: (None, symbol.isdigit()), values=(False, True))
    assert kind.columns == ("kind=False", "kind=True")
    np.testing.assert_array_equal(run(kind, TEXT).values[:2], [[0, 1], [1, 0]])
    pair = Program("pair", lambda: 0, lambda n, symbol: (n + 1, (n, 2.5)), ("place", "half"))
    assert pair.columns == ("pair:place", "pair:half")
    np.testing.assert_array_equal(run(pair, TEXT).values[5:7], [[5, 2.5], [0, 2.5]])


def test_segments_that_follow_are_one_string_and_others_are_unknown(held_out):
    pieces = segment_corpus(held_out, 5)
    np.testing.assert_array_equal(run(depth(), pieces).values, run(depth(), held_out).values)
    later = pieces.take(np.asarray([0, 2]))
    assert run(depth(), later).known.tolist() == [True] * 5 + [False] * (later.n_positions - 5)


def test_the_language_says_what_may_come(parentheses, monkeypatch):
    whole = Corpus.from_strings(["(((())))"])
    labels = run(parentheses.program(), whole).values
    by_name = dict(zip(parentheses.program().fields, labels.T.tolist(), strict=True))
    assert by_name["("] == [1, 1, 1, 0, 0, 0, 0, 0]
    assert by_name[")"] == [0, 0, 0, 1, 1, 1, 1, 0]
    assert by_name["4"] == [0, 0, 0, 1, 0, 0, 0, 0]
    assert by_name["end"] == [0, 0, 0, 0, 0, 0, 0, 1]
    states = parentheses.program("state")
    assert (run(states, whole).values.sum(axis=1) == 1).all()
    monkeypatch.setattr("dni_jax.languages._prefixes._STATES", 8)  # they are soon many, and found slowly
    with pytest.raises(ValueError, match="at most 8 states"):
        dni.languages.get("arithmetic").program("state")
    with pytest.raises(ValueError, match="'expected' or 'state'"):
        parentheses.program("stack")


def ahead(symbols):
    for _ in symbols:
        next(symbols)
        yield 1


def short(symbols):
    yield len(next(symbols))


def early(symbols):
    yield 0
    yield from brackets(symbols)


def failing(symbols):
    for symbol in symbols:
        yield 1 / (symbol != "2")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (ahead, "must not depend on later symbols, at character 0 of string 0 \\('0\\(1\\(2\\)'\\)"),
        (short, "1 values for 2 symbols: the procedure must not end before its symbols do, at character 1 of string 0"),
        (early, "a value before the symbol was taken"),
        (failing, "fails with ZeroDivisionError: division by zero, at character 4 of string 0"),
    ],
)
def test_procedures_that_go_wrong_name_the_place(function, message):
    with pytest.raises(ValueError, match=f"program '{function.__name__}': .*{message}"):
        run(from_trace(function), TEXT)


def test_bad_values_are_named():
    for program, message in [
        (
            Program("x", lambda: 0, lambda s, c: (s, np.nan)),
            "a finite number, got nan: .* character 0 of string 0",
        ),
        (Program("x", lambda: 0, lambda s, c: (s, c), values=("0", "(")), r"one of the values \['0', '\('\], got '1'"),
        (Program("x", lambda: 0, lambda s, c: (s, (1,)), ("a", "b")), "2 finite numbers, got"),
        (Program("x", lambda: 0, lambda s, c: (s, "a")), "a finite number, got 'a'"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(program, TEXT)
    with pytest.raises(ValueError, match="fields or values, got both"):
        Program("x", int, int, ("a",), (1,))
    with pytest.raises(ValueError, match="tuple of different ones"):
        Program("x", int, int, ("a", "a"))
    with pytest.raises(ValueError, match=r"without one .*: pass name="):
        from_trace(lambda symbols: symbols)
    with pytest.raises(ValueError, match="from their beginning"):
        run(depth(), segment_corpus(TEXT, 3).take(np.asarray([1])))


@pytest.mark.parametrize("program", [depth(), from_trace(brackets)])
def test_many_texts_are_read_side_by_side(program, held_out):
    symbols = ("\n", *held_out.vocabulary.characters)
    codes = held_out.flat_codes[: 7 * 90].reshape(90, 7) * (np.arange(90) % 40 > 0)[:, None]  # a boundary now and then
    readers = Readers(program, 7, symbols)
    said = np.stack([readers.read(row) for row in codes])
    for text in range(7):
        strings = "".join(symbols[code] for code in codes[:, text]).split("\n")[1:]
        wanted = [row for string in strings for row in ([0, 0], *([value, 1] for value in program.read(string)))]
        np.testing.assert_array_equal(said[:, text], wanted)


def test_readers_name_the_text_that_a_program_fails_in():
    readers = Readers(from_trace(failing), 3, ("\n", "1", "2"))
    readers.read(np.asarray([1, 1, 1]))
    with pytest.raises(ReadError, match="ZeroDivisionError") as caught:
        readers.read(np.asarray([1, 2, 1]))
    assert caught.value.text == 1
