"""The main job from the command line: refusals, resumption, one's own grammar and files."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import sklearn

import dni_jax as dni
from dni_jax.app.cli import main
from tests.support.cli_runs import SMALL, refused

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
def test_a_network_is_watched_while_it_learns(tmp_path):
    kind = ["--cell", "gru", "--layers", "2", "--schedule", "linear"]
    main(["run", "parentheses", "--out", str(tmp_path / "run"), "--inspect-every", "10", *kind, *SMALL])
    dynamics = pd.read_parquet(tmp_path / "run/dynamics.parquet")
    assert sorted(dynamics["step"].unique()) == [10, 20, 30, 40]
    assert len(dynamics) == 4 * 24 * 51
    best = dynamics[dynamics["feature"] == "digit"].groupby("step")["auc"].max()
    assert best.iloc[-1] > 0.6
    assert (tmp_path / "run/dynamics.png").read_bytes()[:4] == b"\x89PNG"
    assert dni.load(tmp_path / "run/checkpoint").module.sizes == (12, 12)


def test_a_folder_that_is_no_run_is_never_touched(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("all my work")
    message = refused(["run", "parentheses", "--out", str(tmp_path), "--force", *SMALL], capsys)
    assert "holds files but no run" in message
    assert (tmp_path / "thesis.txt").read_text() == "all my work"


def test_default_folders_do_not_collide(tmp_path, monkeypatch):
    from dni_jax.app.config import RunConfig
    from dni_jax.app.run_folder import RunFolder, resume_config

    monkeypatch.chdir(tmp_path)
    config = RunConfig()
    assert str(RunFolder.claim(config).path) == "runs/parentheses"
    (tmp_path / "runs" / "parentheses" / "training").mkdir()
    assert str(RunFolder.claim(config).path) == "runs/parentheses-2"
    assert resume_config(RunConfig(resume=True)).out == "runs/parentheses"
    with pytest.raises(ValueError, match="to resume"):
        resume_config(RunConfig(language="arithmetic", resume=True))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["latin"], ["parentheses, arithmetic, python", "'latin'"]),
        (["parentheses", "--folds", "5000"], ["fold"]),
        (["parentheses", "--folds", "1"], ["at least 2"]),
        (["parentheses", "--strings", "0"], ["strings"]),
        (["parentheses", "--strings", "2"], ["validation"]),
        (["parentheses", "--probe", "magic"], ["probe", "svm"]),
        (["parentheses", "--text", "somewhere"], ["--grammar"]),
        (["python", "--text", "/nowhere"], ["/nowhere"]),
        (["--grammar", "/nowhere.lark"], ["/nowhere.lark"]),
        (["parentheses", "--hidden", "many"], ["many"]),
    ],
)
def test_bad_input_ends_with_a_message_and_code_2(arguments, words, tmp_path, capsys):
    message = refused(["run", "--out", str(tmp_path / "run"), *SMALL, *arguments], capsys)
    for word in words:
        assert word in message


def test_a_grammar_that_lark_refuses(tmp_path, capsys):
    (tmp_path / "bad.lark").write_text("start: missing")
    message = refused(["run", "--grammar", str(tmp_path / "bad.lark"), "--out", str(tmp_path / "run"), *SMALL], capsys)
    assert "missing" in message


@pytest.mark.slow
def test_a_full_disk_is_said(tmp_path, capsys, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", str(tmp_path / "run" / "relevance.parquet"))

    monkeypatch.setattr(pq, "write_table", full)
    message = refused(["run", "parentheses", "--out", str(tmp_path / "run"), *SMALL], capsys)
    assert "disk is full" in message
    assert "--resume" in message
    assert not (tmp_path / "run" / "relevance.parquet").exists()
    monkeypatch.undo()
    main(["run", "parentheses", "--out", str(tmp_path / "run"), "--resume", *SMALL])
    assert (tmp_path / "run" / "summary.json").exists()


@pytest.mark.slow
def test_own_grammar_on_own_files(tmp_path, capsys):
    texts = tmp_path / "texts"
    texts.mkdir()
    rng = np.random.default_rng(0)
    for number in range(30):
        rows = [
            {"id": int(rng.integers(1000)), "tags": ["a", "bc"][: rng.integers(3)], "ok": bool(rng.integers(2))}
            for _ in range(12)
        ]
        (texts / f"{number}.json").write_text(json.dumps(rows))
    (texts / "broken.json").write_text('{"id": [1, 2')
    (texts / "notes.md").write_text("no JSON at all")
    arguments = ["run", "--grammar", str(EXAMPLES / "json.lark"), "--start", "value", "--text", str(texts),
                 "--glob", "*.json", "--out", str(tmp_path / "run"), *SMALL[2:-2]]  # fmt: skip
    message = refused(arguments, capsys)
    for words in ("broken.json", "line 1, column 13", "expected", "--skip-unparsable"):
        assert words in message
    main([*arguments, "--skip-unparsable", "--parser-states"])
    printed = capsys.readouterr().out
    assert "30 of 31 parsed" in printed
    assert "broken.json" in printed
    relevance = pd.read_parquet(tmp_path / "run" / "relevance.parquet")
    assert {"range:key", "range:pair", "impulse:array", "depth", "digit", "stack size"} <= set(relevance["feature"])
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["ideal"] is None
    assert list(summary["coverage"]["failed"]) == [str(texts / "broken.json")]


def test_real_json_files_parse():
    """Those that installed packages bring along: the README's example reads the same."""
    files = sorted(Path(sklearn.__file__).parents[1].rglob("*.json"))
    language = dni.Language.from_lark((EXAMPLES / "json.lark").read_text(), start="value", name="json")
    chosen = [file for file in files if 0 < file.stat().st_size < 50_000][:20]
    if not chosen:
        pytest.skip("the installed packages bring no JSON files along")
    corpus = dni.languages.load_text(language, chosen)
    assert corpus.coverage["files_parsed"] == len(chosen)
    labels = language.features().label(corpus)
    keys = sum(text.count('":') for text in corpus.strings)
    starts = labels["impulse:key"] & (corpus.text == ord('"')) & ~np.roll(labels["range:key"], 1).astype(bool)
    assert abs(int(starts.sum()) - keys) <= 0.02 * keys


@pytest.mark.slow
def test_c_source(tmp_path, capsys):
    source = Path(np.__file__).parent / "f2py" / "src" / "fortranobject.c"
    settings = [*SMALL[2:-2], "--inspect-characters", "6000"]
    main(["run", "c", "--text", str(source), "--out", str(tmp_path / "run"), *settings])
    assert "functions: 39 of 39 parsed" in capsys.readouterr().out
    features = set(pd.read_parquet(tmp_path / "run" / "relevance.parquet")["feature"])
    assert {"range:if", "impulse:call", "range:comment", "depth", "symbol:;"} <= features
    assert "--text PATH" in refused(["run", "c", "--out", str(tmp_path / "other"), *SMALL], capsys)
    typed = ["run", "parentheses", "--typedefs", "x", "--out", str(tmp_path / "other"), *SMALL]
    assert "language c only" in refused(typed, capsys)
    unwatched = ["run", "c", "--text", str(source), "--parser-states", "--out", str(tmp_path / "other"), *SMALL]
    assert "c_expressions" in refused(unwatched, capsys)


def test_flags_that_do_not_go_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.lark").write_text('start: "a" start | "b"')
    assert "got both: arithmetic" in refused(["run", "arithmetic", "--grammar", "a.lark"], capsys)
    assert "sampled text always parses" in refused(["run", "--skip-unparsable"], capsys)
    (tmp_path / "runs" / "arithmetic").mkdir(parents=True)
    (tmp_path / "runs" / "arithmetic" / "config.toml").touch()
    assert "name one of runs/arithmetic with --out" in refused(["run", "--resume"], capsys)


@pytest.mark.slow
def test_own_grammar_sampled(tmp_path):
    grammar = tmp_path / "palindromes.lark"
    grammar.write_text('start: "a" start "a" | "b" start "b" | "(" start ")" | "c"')
    main(["run", "--grammar", str(grammar), "--out", str(tmp_path / "run"), *SMALL])
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["loss"] > summary["ideal"] > 0


def test_what_is_sampled_does_not_hang_on_a_grammars_file_name():
    from dni_jax.app.config import RunConfig

    assert RunConfig().is_sampled
    assert RunConfig(grammar="python.lark").is_sampled
    assert not RunConfig(language="python").is_sampled
    assert not RunConfig(language="c", text="main.c").is_sampled
    assert RunConfig(language="c", grammar="c.lark").is_sampled
    assert not RunConfig(grammar="json.lark", text="data").is_sampled


def test_help_names_every_setting(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for flag in ("--seed", "--hidden", "--out", "--force", "--resume", "--grammar", "--text", "--steps", "--folds"):
        assert flag in printed


def start(out, *more):
    """A run in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "dni_jax.app.cli",
        "run",
        "parentheses",
        "--out",
        str(out),
        *SMALL,
        "--steps",
        "400",
    ]
    return subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_stopped_run_resumes_to_the_same_results(how, code, tmp_path):
    assert start(tmp_path / "whole").wait() == 0
    process = start(tmp_path / "cut")
    deadline = time.monotonic() + 120
    training = tmp_path / "cut" / "training"
    while not (training.is_dir() and any(path.name.isdigit() for path in training.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, how)
    assert process.wait() == code
    assert not (tmp_path / "cut" / "summary.json").exists()
    assert start(tmp_path / "cut", "--resume").wait() == 0
    whole, resumed = (dni.load(tmp_path / name / "checkpoint").weights for name in ("whole", "cut"))
    for one, other in zip(*map(jax.tree.leaves, (whole, resumed)), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("relevance.parquet", "effects.parquet"):
        first, second = (pd.read_parquet(tmp_path / folder / name) for folder in ("whole", "cut"))
        pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.slow
def test_python_source(tmp_path, capsys):
    settings = [*SMALL[2:-2], "--characters", "200000", "--inspect-characters", "20000"]
    main(["run", "python", "--out", str(tmp_path / "run"), *settings])
    assert "range:string" in set(pd.read_parquet(tmp_path / "run" / "relevance.parquet")["feature"])


def test_a_grammar_in_several_files(tmp_path, monkeypatch):
    from dni_jax.app.config import RunConfig
    from dni_jax.app.texts import get_language

    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a.lark").write_text('%import .b.X\n%import c.Y\nstart: X Y "!"')
    (tmp_path / "dir" / "b.lark").write_text("X: /[xyz]/")
    (tmp_path / "dir" / "c.lark").write_text("Y: /[0-9]/")
    language = get_language(RunConfig(grammar=str(tmp_path / "dir" / "a.lark")))
    assert len(language.parse("x1!").rule) > 0
    monkeypatch.chdir(tmp_path / "dir")
    assert get_language(RunConfig(grammar="a.lark")).fingerprint == language.fingerprint
    (tmp_path / "dir" / "b.lark").unlink()
    with pytest.raises(ValueError, match=r"%import statements lead to files, got: .*b\.lark"):
        get_language(RunConfig(grammar="a.lark"))


def test_a_stream_that_lacks_a_character_gets_its_escape(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    main(["--version"])
    print("─é")
    stream.flush()
    assert stream.buffer.getvalue().endswith(b"\\u2500\\xe9\n")


def test_symbols_are_for_text_from_files(tmp_path, capsys):
    assert "--symbols" in refused(["run", "parentheses", "--symbols", "300", "--out", str(tmp_path / "run")], capsys)
    (tmp_path / "a.txt").write_text("".join(map(chr, range(0x4E00, 0x4E00 + 400))) * 20)
    (tmp_path / "a.lark").write_text("start: /./+")
    from dni_jax.app.config import RunConfig
    from dni_jax.app.texts import describe_corpus, get_language, load_corpus

    for symbols, replaced in ((None, True), (500, False)):
        config = RunConfig(grammar=str(tmp_path / "a.lark"), text=str(tmp_path / "a.txt"), symbols=symbols)
        corpus = load_corpus(config, get_language(config))
        assert bool(corpus.coverage["replaced"]) == replaced
        assert any("--symbols keeps more" in line for line in describe_corpus(corpus)) == replaced
