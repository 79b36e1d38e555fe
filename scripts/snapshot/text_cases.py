"""Languages, corpora, parse trees, features and their labels."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import names
import numpy as np
from registry import case
from shared import corpus, corpus_parts, label_parts, labels, language, library, text

import dni_jax as dni

SAMPLED = ("parentheses", "arithmetic", "c_expressions")
OWN = 'start: "[" (item ("," item)*)? "]"\n?item: LETTER | start\nLETTER: /[a-c]/\n'
PYTHON = [
    "def f(a, *, b=1):\n    if a:\n        return [a, 'x(', (1)]  # (\n    while b:\n        b -= 1\n\n\nx = f(2)\n",
    "import a\n\nfor b in a:\n    with b as c, d() as (e, g):\n        b.c()\nelse:\n    x = '''a\nb'''\n",
]
C = [
    "/* one */\n#define TWO 2\nstatic int f(struct s *x)\n{\n\tif (x->y && TWO)\n\t\treturn g(x, 3) ? 1 : -1;\n"
    "\tfor (int i = 0; i < 4; i++) { x->y += i; }\n\treturn 0;\n}\n",
    "typedef unsigned long size;\n#ifdef A\nsize n = 1;\n#else\nsize n = 0x2f;\n#endif\nenum e { P, Q };\n"
    "char *h(size k)\n{\n\tdo { k--; } while (k);\n"
    '\tswitch (k) { case 1: break; default: return "a(\\n"; }\n}\n',
]


@cache
def sampled(name: str) -> Any:
    return dni.languages.get(name).sample(60, seed=2, max_length=60)


@case("languages/sample", *SAMPLED)
def sample(name: str) -> Any:
    deep = dni.languages.get(name).sample(30, seed=0, max_depth=12)
    return {"long": corpus_parts(sampled(name)), "deep": corpus_parts(deep)}


@case("languages/own grammar")
def own_grammar() -> Any:
    own = dni.Language.from_lark(OWN, weights={"item": [3, 1]})
    some = own.sample(40, seed=1)
    ambiguous = dni.Language.from_lark('start: "a" start "b" | "ab" | start start', weights={"start": [1, 4, 1]})
    return {
        **corpus_parts(some),
        "labels": label_parts(own.features().label(some)),
        "parsed": corpus_parts(own.corpus(["[a,[b],[]]", "[]", "[[c,c]]"])),
        "log probability": own.log_probability([*some.strings[:10], "[", "[a,b,c,a]"]),
        "ambiguous": ambiguous.log_probability(["ab", "abab", "ababab", "aabbab", "ba"]),
        "violations": label_parts(own.violations().label(dni.Corpus.from_strings(["[a,", "[,a]", "[a]]", "[[b]"]))),
    }


@case("languages/labels", *SAMPLED)
def language_labels(name: str) -> Any:
    spoken = dni.languages.get(name)
    found = spoken.features().label(sampled(name))
    again = spoken.features().label(spoken.corpus(list(sampled(name).strings[:20])))
    return {"sampled": label_parts(found), "parsed": label_parts(again), "coverage": found.coverage(sampled(name))}


@case("languages/probabilities", *SAMPLED)
def probabilities(name: str) -> Any:
    spoken, some = dni.languages.get(name), sampled(name)
    if name == "c_expressions":  # sums over its trees take a second for every ten characters
        some = some.take(np.argsort(np.diff(some.offsets), kind="stable")[:8])
    found = {"log probability": spoken.log_probability(list(some.strings)), "ideal": spoken.ideal_cross_entropy(some)}
    if name == "c_expressions":
        return found
    broken = dni.Corpus.from_strings([string[len(string) // 3 :] for string in some.strings[:20]])
    wrong = spoken.violations()
    return found | {"violations": label_parts(wrong.label(broken)), "unfinished": wrong.unfinished(broken)}


@case("languages/code", "python", "c")
def code(name: str) -> Any:
    spoken = dni.languages.get(name)
    some = spoken.corpus(PYTHON if name == "python" else C)
    found = spoken.features().label(some)
    return {**corpus_parts(some), "labels": label_parts(found), "drawn": some.trees.show(0, some.strings[0])}


@case("languages/parser states", "c_expressions", "arithmetic", "python")
def parser_states(name: str) -> Any:
    spoken = dni.languages.get(name)
    some = spoken.corpus(PYTHON) if name == "python" else sampled(name)
    if name == "arithmetic":
        spoken = dni.Language.from_lark('?start: start "+" atom | atom\n?atom: /[0-9]+/ | "(" start ")"')
        some = spoken.corpus(["(12+3)", "1+2+(3)", "((4))+5"])
    observed = spoken.add_parser_states(some)
    return {
        "states": names.parser_state_arrays(spoken.parser_states(some)),
        "labels": label_parts(spoken.state_features().label(some)),
        "records": {name: np.asarray(values) for name, values in observed.records.items()},
    }


@case("languages/files")
def files() -> Any:
    folder = Path("files")
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.py").write_text(PYTHON[number % 2] * (1 + number % 3), encoding="utf-8")
        (folder / f"{number}.c").write_text(C[number % 2] * (1 + number % 3), encoding="utf-8")
    (folder / "bad.py").write_text("def f(:\n", encoding="utf-8")
    found = names.find_files(folder, "**/*.py")
    python = names.load_text(dni.languages.get("python"), found, seed=1, skip_unparsable=True)
    c = names.load_c(folder, seed=1)
    covered = {name: value for name, value in c.coverage.items() if isinstance(value, int)}
    return {
        "python": corpus_parts(python),
        "parsed": np.asarray(python.parsed),
        "c": corpus_parts(c),
        "coverage": [{name: value for name, value in python.coverage.items() if isinstance(value, int)}, covered],
        "c labels": label_parts(dni.languages.get("c").features().label(c.head(500))),
    }


@case("corpora")
def corpora() -> Any:
    some = corpus()
    parts = {
        "train": some.train, "validation": some.validation, "test": some.test, "head": some.head(200),
        "taken": some.take(np.array([5, 3, 100])), "shuffled": some.shuffle(3).head(300), "cut": names.cut(text(), 7),
        "plain": dni.Corpus.from_strings(["aä", "c", "b\n"], groups=[0, 0, 1]),
    }  # fmt: skip
    return {
        "parts": {name: corpus_parts(part) for name, part in parts.items()},
        "rows": text().codes,
        "mask": text().mask,
        "position groups": text().position_groups,
        "symbols": list(some.vocabulary.characters),
        "types": list(some.vocabulary.types),
    }


def parity(symbols: Any) -> Any:
    odd = False
    for symbol in symbols:
        odd ^= symbol == "1"
        yield odd


def brackets(symbols: Any) -> Any:
    stack: list[str] = []
    for symbol in symbols:
        if symbol == "(":
            stack.append(symbol)
        yield {"depth": len(stack), "open": "yes" if stack else "no"}
        if symbol == ")" and stack:
            stack.pop()


@case("features/made by functions")
def made_features() -> Any:
    fields: Any = {"depth": None, "open": ["yes", "no"]}
    made = dni.FeatureLibrary((
        dni.feature("place", lambda string: list(range(len(string))), kind="continuous"),
        dni.feature("after (", lambda string: [n > 0 and string[n - 1] == "(" for n in range(len(string))]),
        dni.char_feature("even", lambda character: character in "024"),
        dni.char_feature("code", ord, kind="continuous"),
        dni.regex_feature("digits", r"\d+"),
        dni.regex_feature("digits end", r"\d+", "end"),
        dni.regex_feature("second", r"\d(\d)", "start", group=1),
        dni.trace(parity),
        names.range_feature("some e", ["e2", "e3"]),
        names.impulse_feature("ends of e", ["e2", "e3"]),
        names.nesting_feature("nested", ["e2", "e3", "e4"]),
        names.nesting_feature("nested twice", ["e2", "e3", "e4"], level=2),
    ))  # fmt: skip
    everything = made + dni.trace(brackets, fields=fields)
    return {"whole": label_parts(everything.label(text())), "pieces": label_parts(made.label(names.cut(text(), 9)))}


@case("features/combined")
def combined_features() -> Any:
    digit, deep = language().features()["digit"], language().features()["depth=3"]
    some = [digit & deep, digit | deep, ~deep, digit.lag(1), deep.lag(-2), digit.within(3),
            deep.within(2, "next"), (digit & ~deep.lag(2)).rename("both")]  # fmt: skip
    return label_parts(dni.FeatureLibrary(tuple(some)).label(text()))


@case("features/predictors")
def predictors() -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge

    window = names.CharacterWindow(corpus().vocabulary, 3)
    inputs, digit = window(text()), labels()["digit"]
    classes, line = LogisticRegression().fit(inputs, digit), Ridge().fit(inputs, labels()["depth"])
    some = (
        names.predictor_feature("class", classes, window),
        names.predictor_feature("probability", classes, window, method="predict_proba", column=1),
        names.predictor_feature("depth", line, "one_hot", window=3),
    )
    return {"inputs": inputs, **label_parts(dni.FeatureLibrary(some).label(text()))}


@case("features/confounders and controls")
def confounders() -> Any:
    code = dni.languages.get("python").corpus(PYTHON)
    controls = names.control_task(library(), text(), seed=2)
    return {
        "confounders": label_parts(names.confounders(text()).label(text())),
        "of code": label_parts(names.confounders(code).label(code)),
        "controls": label_parts(controls.label(text())),
        "controls elsewhere": label_parts(controls.label(corpus().validation)),
    }


@case("features/libraries")
def libraries() -> Any:
    every = language().features()
    chosen = {
        "patterns": every.select("depth*", "digit"), "drop": every.drop("range:*", "impulse:*"),
        "kind": every.select(kind="continuous"), "union": library().union(every["parenthesis"]),
        "default": names.default_library(text().trees.kinds),
    }  # fmt: skip
    found = every.label(text())
    distinct, _ = found.drop_redundant()
    lazy = every.label_lazily(text())
    return {
        "names": {name: list(one.names) for name, one in chosen.items()},
        "table": every.to_dataframe(),
        "labels": found.to_dataframe(),
        "coverage": found.coverage(text()),
        "duplicates": found.duplicates,
        "constant": list(found.constant),
        "distinct": [list(distinct.names), found.duplicates],
        "lazily": label_parts(lazy.label([(3, 5), (9, 10)])),
        "selected": label_parts(found.select("depth", "digit").drop("digit")),
        "shown": names.labeling_text(labels(), text(), 0),
    }
