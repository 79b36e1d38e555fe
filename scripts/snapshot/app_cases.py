"""The command line: a whole run, its stages and questions, a sweep, queries; read from the files it leaves."""

from __future__ import annotations

import contextlib
import io
import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import names
import pandas as pd
from registry import case

SMALL = ("--strings", "1500", "--hidden", "12", "--steps", "40", "--batch", "8", "--window", "32",
         "--evaluate-every", "20", "--inspect-characters", "2000", "--verify-characters", "1000",
         "--random-sets", "4", "--folds", "4")  # fmt: skip
TIMED = ("seconds", "second", "took", "rate")  # columns with such words hold times or speeds
SWEEP = """
name = "tiny"
[settings]
strings = 1500
[settings.inspect]
inspect_characters = 1000
folds = 3
[settings.verify]
verify_characters = 500
random_sets = 2
[settings.train]
hidden = 8
steps = 20
batch = 8
window = 32
evaluate_every = 10
[grid]
seed = [0, 1]
"""


def dni(*arguments: str) -> str:
    """Run a command, and return what it prints to standard output."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
        try:
            names.main(list(arguments))
        except SystemExit as stop:
            if stop.code:
                raise RuntimeError(f"dni {' '.join(arguments)} ended with {stop.code}: {output.getvalue()}") from stop
    return output.getvalue()


@cache
def run() -> Path:
    dni("run", "parentheses", "--out", "runs/first", "--inspect-every", "20", "--quiet", *SMALL)
    return Path("runs/first")


def table(path: Path) -> pd.DataFrame:
    """A table, without the columns that hold times."""
    found = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    return found[[name for name in found if not any(word in str(name) for word in TIMED)]]


def without_times(held: Any) -> Any:
    """A summary without the entries that hold times or versions."""
    if not isinstance(held, dict):
        return held
    dropped = (*TIMED, "version", "device", "machine", "format")
    return {name: without_times(part) for name, part in held.items() if not any(word in name for word in dropped)}


@case("app/run", "findings.csv", "relevance.parquet", "effects.parquet", "training.csv", "dynamics.parquet")
def run_table(name: str) -> Any:
    return table(run() / name)


@case("app/run", "samples.json", "summary.json")
def run_object(name: str) -> Any:
    return without_times(json.loads((run() / name).read_text(encoding="utf-8")))


class _Text(HTMLParser):
    """The text that a page shows."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.said = 0, []  # type: ignore[var-annotated]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.hidden and data.strip():
            self.said.append(" ".join(data.split()))


def report_text() -> list[str]:
    reader = _Text()
    reader.feed((run() / "report.html").read_text(encoding="utf-8"))
    return reader.said


@case("app/report, words")
def report_words() -> Any:
    return report_text()


@case("app/report, numbers")
def report_numbers() -> Any:
    """The numbers in the report, in their order: what remains where only its words change."""
    return re.findall(r"\d+(?:[.,]\d+)*", " ".join(report_text()))


@case("slow/analyse", "posterior", "repair")
@case("app/analyse", "attribution", "dimension")
def analyse(what: str) -> Any:
    dni("analyse", str(run()), "--what", what, "--draws", "3", "--quiet")
    return table(run() / f"{what}.parquet")


@case("app/generate")
def generate() -> Any:
    asked = ("--n", "2", "--length", "60", "--seed", "3", "--json")
    best = json.loads(dni("generate", str(run()), "--feature", "digit", "--k", "3", *asked))
    held = json.loads(dni("generate", str(run()), "--neurons", "1", "4", "--value", "-1", *asked))
    return [without_times(best), without_times(held)]


@case("app/label")
def label() -> Any:
    return {
        "parentheses": dni("label", "parentheses", "0(1((3(44))2))", "--json"),
        "c": dni("label", "c", "int f(int x) { return x + 1; }", "--json"),
        "states": dni("label", "c_expressions", "a = b*c", "--parser-states", "--json"),
        "shown": dni("label", "parentheses", "0(1((3(44))2))", "--features", "range:*", "depth"),
        "languages": dni("languages", "--json"),
    }


QUERIES = ("SELECT run, feature, max(auc) AS best FROM scores GROUP BY ALL ORDER BY ALL",
           "SELECT * FROM effects ORDER BY ALL LIMIT 50",
           "SELECT feature, count(*) AS n, avg(score) AS score FROM relevance GROUP BY feature ORDER BY feature",
           "SELECT run, hidden, loss, ideal FROM runs")  # fmt: skip


@case("app/query", *range(len(QUERIES)))
def query(number: int) -> Any:
    printed = dni("query", str(run()), QUERIES[number], "--format", "csv")
    return pd.read_csv(io.StringIO(printed))


@case("app/sweep")
def sweep() -> Any:
    Path("tiny.toml").write_text(SWEEP, encoding="utf-8")
    dni("sweep", "tiny.toml", "--out", "sweep", "--jobs", "1", "--quiet")
    runs = sorted(path.parent for path in Path("sweep").glob("*/relevance.parquet"))
    tables = ("relevance.parquet", "effects.parquet", "training.csv", "findings.csv")
    printed = dni("query", "sweep/*", "SELECT run, seed, loss FROM runs ORDER BY run", "--format", "csv")
    return {
        "runs": {path.name: {name: table(path / name) for name in tables} for path in runs},
        "comparison": {path.name: table(path) for path in sorted(Path("sweep").glob("*.csv"))},
        "query": pd.read_csv(io.StringIO(printed)),
    }
