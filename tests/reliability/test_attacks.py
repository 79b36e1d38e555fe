"""Attacks on files, processes, places and inputs: each ends in the right result or in an error that says what to do.

All of them are slow. Each test prints what happened how often (pytest -s); docs/reliability.md has the numbers.
``DNI_JAX_KILLS`` is the number of kills, 200 unless it is set.
"""

import inspect
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest

import dni_jax as dni
from dni_jax.app.query import open_runs
from dni_jax.app.report import write_report
from dni_jax.app.report._run_files import RunFiles
from dni_jax.inspection import read_relevance
from dni_jax.languages import Language, load_c, load_text
from tests.support.cli_runs import SMALL
from tests.support.killing import Killer, call_command

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("DNI_JAX_KILLS", "200"))
COMMAND = [sys.executable, "-m", "dni_jax.app.cli"]


def tally(name, outcomes):
    counts = Counter(outcomes)
    print(f"\n{name}: {len(outcomes)} trials; " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    return counts


# --- files ------------------------------------------------------------------------------------------------------------


def damage(path, how, rng):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "flipped":
        place = rng.randrange(len(content) // 4, max(3 * len(content) // 4, len(content) // 4 + 1))
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :])
    elif how == "random":
        path.write_bytes(rng.randbytes(len(content)))
    elif how == "code":
        path.write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")  # a pickle that would run a command
    elif how == "pipe":
        path.unlink()
        os.mkfifo(path)


def contents(folder):
    """All that can be read from a run."""
    files = RunFiles.read(folder)
    runs = open_runs(folder)
    model = runs.model(folder.name)
    values = {name: runs.query(f"SELECT * FROM {name} ORDER BY ALL").to_csv() for name in runs.tables if name != "runs"}
    values |= {"config": dict(files.config), "summary": files.summary, "samples": files.samples}
    values["findings"] = json.dumps(files.findings)
    values["excerpt"] = (
        None if files.excerpt is None else files.excerpt.hidden.tobytes() + files.excerpt.labels.tobytes()
    )
    values["head"] = np.asarray(model.weights.head).tobytes()
    values["relevance"] = read_relevance(folder / "relevance.parquet").to_dataframe().to_csv()
    return {name: repr(value) for name, value in values.items()}


# TensorStore's threads report a damaged array to the event loop of Orbax, which may have ended by then.
@pytest.mark.filterwarnings(r"ignore:(?s).*Event loop is closed:pytest.PytestUnraisableExceptionWarning")
def test_damaged_files_are_named_or_harmless(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = random.Random(0)
    copied = tmp_path / "run"
    shutil.copytree(finished, copied)
    reference = contents(copied)  # tables hold the folder's name
    shutil.rmtree(copied)
    files = [path.relative_to(finished) for path in sorted(finished.rglob("*")) if path.is_file()]
    files = [path for path in files if path.suffix not in (".png", ".html") and path.name != ".lock"]
    outcomes = []
    for path in files:
        for how in ("truncated", "emptied", "flipped", "random", "code", "pipe"):
            shutil.copytree(finished, copied)
            damage(copied / path, how, rng)
            signal.alarm(120)  # whoever waits for a pipe
            try:
                same = contents(copied) == reference
                outcomes.append("read the same" if same else f"read otherwise ({path.suffix or path.name})")
            except ValueError as error:
                outcomes.append("refused" if str(error).strip() else "refused without a word")
            signal.alarm(0)
            shutil.rmtree(copied)
            assert not (tmp_path / "hacked").exists()
    counts = tally("damaged files", outcomes)
    assert len(outcomes) >= 60
    assert set(counts) <= {"read the same", "refused"}


def test_files_swapped_between_runs_are_refused(finished, tmp_path):
    other = tmp_path / "other"
    subprocess.run([*COMMAND, "run", "parentheses", "--out", other, *SMALL, "--seed", "1", "--quiet"], check=True)
    outcomes = []
    for name in sorted(path.name for path in other.iterdir() if path.suffix not in (".png", ".html")):
        mixed = tmp_path / "mixed"
        shutil.copytree(finished, mixed)
        target = mixed / name
        (shutil.rmtree if target.is_dir() else os.unlink)(target)
        (shutil.copytree if target.is_dir() or name == "checkpoint" else shutil.copyfile)(other / name, target)
        try:
            contents(mixed)
            from dni_jax.app.pipeline import Job

            _ = Job.open(mixed).model
            outcomes.append(f"mixed {name}")
        except ValueError as error:
            outcomes.append("refused" if str(error).strip() else "refused without a word")
        shutil.rmtree(mixed)
    assert len(outcomes) >= 10
    assert set(tally("files swapped between runs", outcomes)) == {"refused"}


# --- kills ------------------------------------------------------------------------------------------------------------


def results(folder):
    """All that a run has written, except for times: every file must be equal to the bit."""
    values = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    losses = pd.read_csv(io.BytesIO(values["training.csv"])).drop(columns=["seconds", "characters_per_second"])
    manifest = json.loads(values["manifest.json"])
    del manifest["files"]["training.csv"]
    about = json.loads((folder / "checkpoint" / "model.json").read_text())
    for row in about["history"]:
        del row["seconds"]
    model = dni.load(folder / "checkpoint")
    weights = dni.models.fingerprint_network(model)
    return values | {"training.csv": losses.to_csv(), "manifest.json": manifest, "model": about, "weights": weights}


def comparison(folder):
    """All that a sweep has written about its runs, except for times."""
    values = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    runs = pd.read_csv(io.BytesIO(values["sweep.csv"])).drop(columns=["seconds", "path"])
    return values | {"sweep.csv": runs.to_csv()}


def assert_equal(found, wanted):
    assert found.keys() == wanted.keys()
    assert not [name for name in wanted if found[name] != wanted[name]]


PARTS = 10
GRAMMAR = 'start: "(" start ")" | "a"'
TINY = ["--strings", "300", "--hidden", "4", "--steps", "20", "--batch", "4", "--window", "16", "--evaluate-every",
        "10", "--inspect-characters", "500", "--verify-characters", "300", "--random-sets", "2", "--folds", "2",
        "--inspect-every", "10", "--quiet"]  # fmt: skip
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
RECORDING = """
import dni_jax as dni
model = dni.load({model!r})
corpus = dni.languages.get("parentheses").sample(4000, seed=5)
dni.record(model, corpus, store={store!r}, chunk=2_000)
"""
SWEEP = """
name = "two"
[settings]
grammar = {grammar!r}
strings = 300
[settings.train]
hidden = 4
steps = 20
batch = 4
window = 16
evaluate_every = 10
[settings.inspect]
inspect_characters = 500
folds = 2
[settings.verify]
verify_characters = 300
random_sets = 2
[grid]
seed = [0, 1]
"""


@pytest.fixture(scope="module")
def killer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    (folder / "g.lark").write_text(GRAMMAR)
    killer = Killer(folder)
    yield killer
    killer.close()


def timed(killer, code):
    """The seconds that code takes when nobody stops it, once its programs are compiled."""
    started = time.monotonic()
    killer.run(code)
    return time.monotonic() - started


@pytest.fixture(scope="module")
def never_killed(killer, tmp_path_factory):
    """The results of a run that nobody stopped, and the duration in seconds of one whose programs are compiled."""
    folder = tmp_path_factory.mktemp("never_killed")
    grammar = killer.log.parent / "g.lark"
    subprocess.run(
        [*COMMAND, "run", "--grammar", grammar, *TINY, "--out", folder / "command" / "run"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    killer.run(call_command("run", "--grammar", grammar, *TINY, "--out", folder / "forked" / "run"))
    duration = timed(killer, call_command("run", "--grammar", grammar, *TINY, "--out", folder / "again" / "run"))
    wanted = results(folder / "command" / "run")
    for other in ("forked", "again"):
        assert_equal(results(folder / other / "run"), wanted)
    return wanted, duration


def stage(folder):
    """What a run was doing when it was killed."""
    done = {"report.html": "ending", "effects.parquet": "writing the report", "relevance.parquet": "verifying",
            "checkpoint": "inspecting", "training": "training", "config.toml": "before training"}  # fmt: skip
    return next((what for name, what in done.items() if (folder / name).exists()), "before its config")


def assert_nothing_left(folder):
    assert not [path.name for path in folder.rglob(".*") if path.name.endswith((".part", ".old"))]


@pytest.mark.parametrize("part", [f"part{one}" for one in range(PARTS)])
def test_killed_runs_resume_to_the_bit(part, killer, never_killed, tmp_path):
    reference, duration = never_killed
    rng, outcomes = random.Random(part), []
    kills = KILLS - KILLS // 10 - KILLS // 20  # the others are those of the next two tests
    number = int(part.removeprefix("part"))
    wanted = kills * (number + 1) // PARTS - kills * number // PARTS
    while len(outcomes) < wanted:
        folder = tmp_path / f"{len(outcomes)}" / "run"  # the report names it
        start = ("run", "--grammar", killer.log.parent / "g.lark", *TINY)
        while len(outcomes) < wanted:
            command = ("run", "--resume", "--quiet") if (folder / "config.toml").exists() else start
            how = rng.choice(SIGNALS)
            if killer.run(call_command(*command, "--out", folder), rng.uniform(0, 0.4 * duration), how):
                break
            outcomes.append(f"{how.name} {stage(folder)}")
        else:
            command = ("run", "--resume", "--quiet") if (folder / "config.toml").exists() else start
            killer.run(call_command(*command, "--out", folder))
        assert_equal(results(folder), reference)
        assert_nothing_left(folder)
        shutil.rmtree(folder)
    tally("kills of dni run, resumed to the bit", outcomes)


def test_killed_sweeps_resume_to_the_bit(killer, tmp_path):
    config = tmp_path / "two.toml"
    config.write_text(SWEEP.format(grammar=str(killer.log.parent / "g.lark")))

    def sweep(out):
        return call_command("sweep", config, "--jobs", 1, "--out", out, "--quiet")

    whole = tmp_path / "whole" / "sweep"
    killer.run(sweep(whole))
    duration = timed(killer, sweep(tmp_path / "again" / "sweep"))
    names = sorted(path.parent.name for path in whole.glob("*/config.toml"))
    assert len(names) == 2
    reference = {name: results(whole / name) for name in names}
    rng, outcomes = random.Random(2), []
    while len(outcomes) < max(KILLS // 20, 1):
        folder = tmp_path / "sweep"
        while not killer.run(sweep(folder), rng.uniform(0, duration), how := rng.choice(SIGNALS)):
            outcomes.append(how.name)
        for name in names:
            assert_equal(results(folder / name), reference[name])
        assert_equal(comparison(folder), comparison(whole))
        assert_nothing_left(folder)
        shutil.rmtree(folder)
    tally("kills of dni sweep, resumed to the bit", outcomes)


def test_killed_recordings_continue(killer, model, held_out, tmp_path):
    model.save(tmp_path / "model")

    def record(store):
        return RECORDING.format(model=str(tmp_path / "model"), store=str(store))

    killer.run(record(tmp_path / "whole"))
    duration = timed(killer, record(tmp_path / "again"))
    whole = np.asarray(dni.models.open_states(tmp_path / "whole").load().hidden)
    rng, outcomes = random.Random(1), []
    while len(outcomes) < max(KILLS // 10, 1):
        store = tmp_path / "store"
        while not killer.run(record(store), rng.uniform(0.2, 1) * duration, how := rng.choice(SIGNALS)):
            outcomes.append(f"{how.name} {'while writing' if store.exists() else 'before the store'}")
        np.testing.assert_array_equal(np.asarray(dni.models.open_states(store).load().hidden), whole)
        assert_nothing_left(tmp_path)
        shutil.rmtree(store)
    tally("kills of record(store=), continued to the bit", outcomes)


# --- places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kilobytes", [20, 100, 200, 600])
def test_a_full_disk_ends_in_a_sentence(tmp_path, kilobytes):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        command = [*COMMAND, "run", "parentheses", "--out", disk / "run", *SMALL, "--quiet"]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.returncode == 2
        assert "disk is full" in ended.stderr
        assert "Traceback" not in ended.stderr
    finally:
        subprocess.run(["umount", disk], check=True)


def test_no_home_and_an_unwritable_cache(tmp_path):
    outcomes = []
    (tmp_path / "file").write_text("a file")
    for change in (
        {"HOME": "/nonexistent"},
        {"DNI_JAX_CACHE": str(tmp_path / "file" / "x")},
        {"XDG_CACHE_HOME": "/proc"},
    ):
        environment = {name: value for name, value in os.environ.items() if name not in ("DNI_JAX_CACHE", "HOME")}
        environment |= {"HOME": "/nonexistent", **change}
        script = (
            "import dni_jax as dni, sys\nprint(len(dni.languages.load_text(dni.languages.get('python'), sys.argv[1:])))"
        )
        (tmp_path / "a.py").write_text("x = 1\n" * 2_000)
        ended = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "a.py"], env=environment, capture_output=True, text=True
        )
        outcomes.append("worked" if ended.returncode == 0 else "failed")
        assert ended.returncode == 0, ended.stderr
    tally("no home, no cache", outcomes)


def test_a_full_disk_for_the_cache(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        (disk / "full").write_bytes(bytes(8_000))
        command = [*COMMAND, "run", "parentheses", "--out", tmp_path / "run", *SMALL, "--quiet"]
        ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"DNI_JAX_CACHE": str(disk)})
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr
    finally:
        subprocess.run(["umount", disk], check=True)


HOSTILE = (
    "<script>alert('x')<!--script>&\"'`${7*7}{{7*7}}",
    "a\nb\tc",
    "\u202eevil",
    "%s%n{0}",
    "' OR '1'='1",
    '"; DROP VIEW runs; --',
    "[a-z]*?",
    "-rf",
    "日本 é\u0301",
    "$(touch hacked)`touch hacked`",
)


def test_hostile_names_stay_text(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcomes = []
    for name in HOSTILE:
        copied = tmp_path / "runs" / name
        shutil.copytree(finished, copied)
        page = write_report(copied).read_text(encoding="utf-8")
        assert name not in page or not set(name) & set("<&")
        assert open_runs(copied).query("SELECT run FROM runs JOIN scores USING (run)")["run"].unique().tolist() == [
            name
        ]
        outcomes.append("text in the report and in queries")
    assert len(open_runs(tmp_path / "runs" / "*").query("SELECT run FROM runs")) == len(HOSTILE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
    tally("hostile names", outcomes)


# --- archives and queries ---------------------------------------------------------------------------------------------


def archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_archives_write_nothing_and_end(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.parent.rglob("*"))
    code = b"int f(int x) { return x + 1; }\n" * 300
    cases = {
        "dots": [(member("../../escaped.c"), code), (member("a.c"), code)],
        "absolute": [(member("/tmp/escaped_absolute.c"), code), (member("a.c"), code)],
        "link": [(member("a.c", tarfile.SYMTYPE, "/etc/passwd"), b""), (member("b.c"), code)],
        "hard link": [(member("a.c", tarfile.LNKTYPE, "../../x"), b""), (member("b.c"), code)],
        "device": [(member("a.c", tarfile.CHRTYPE), b""), (member("b.c"), code)],
        "fifo": [(member("a.c", tarfile.FIFOTYPE), b""), (member("b.c"), code)],
        "bomb": [(member("bomb.c"), b" " * 300_000_000), (member("b.c"), code)],
        "broken": None,
    }
    outcomes = []
    for name, members in cases.items():
        path = tmp_path / f"{name}.tar.gz"
        archive(path, members or [(member("a.c"), code)])
        if members is None:
            path.write_bytes(path.read_bytes()[:-200])
        begun = time.monotonic()
        try:
            corpus = load_c(path, max_chars=20_000)
            assert corpus.n_positions <= 20_000
            outcomes.append("read")
        except ValueError:
            outcomes.append("refused")
        assert time.monotonic() - begun < 120
        path.unlink()
    tally("archives", outcomes)
    assert not os.path.exists("/tmp/escaped_absolute.c")
    assert set(tmp_path.parent.rglob("*")) == before


def test_queries_read_the_runs_only(finished, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    target = tmp_path / "written.csv"
    statements = [
        f"SELECT * FROM '{secret}'",
        f"SELECT * FROM read_csv('{secret}')",
        f"SELECT * FROM read_text('{secret}')",
        f"SELECT * FROM read_blob('{secret}')",
        f"SELECT * FROM glob('{tmp_path}/*')",
        f"SELECT * FROM parquet_metadata('{secret}')",
        f"SELECT * FROM sniff_csv('{secret}')",
        f"COPY (SELECT 1) TO '{target}'",
        f"COPY runs FROM '{secret}'",
        f"EXPORT DATABASE '{target}'",
        f"ATTACH '{target}'",
        f"WITH x AS (COPY (SELECT 1) TO '{target}') SELECT 1",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "SET enable_external_access = true",
        "RESET enable_external_access",
        "CREATE TABLE t AS SELECT 1",
        "DROP VIEW runs",
        "SELECT 1; SELECT 2",
        "SELECT getenv('HOME')",
        "CALL pragma_version()",
        f"DESCRIBE SELECT * FROM '{secret}'",
        f"SUMMARIZE '{secret}'",
        f"SELECT (SELECT content FROM read_text('{secret}'))",
        f"SELECT * FROM query('FROM read_text(''{secret}'')')",
        f"SELECT * FROM query('COPY (SELECT 1) TO ''{target}''')",
        f"SELECT * FROM query_table('{secret}')",
        f"SELECT * FROM read_text('{finished}/config.toml')",
        f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{target}'",
        f"SELECT 1) ; COPY (SELECT 1) TO '{target}'; SELECT (1",
        f"SELECT 1\n) AS q; COPY (SELECT 1) TO '{target}' --",
        f"IMPORT DATABASE '{tmp_path}'",
        "SELECT * FROM 'http://localhost/x.csv'",
        "SELECT * FROM '/dev/stdin'",
        "SELECT * FROM duckdb_secrets()",
        "CREATE MACRO x() AS 1",
        "PREPARE x AS SELECT 1",
        "SET allowed_directories = ['/']",
        "DETACH memory",
        "CHECKPOINT",
        "BEGIN",
        "INSERT INTO runs SELECT * FROM runs",
        "UPDATE runs SET loss = 0",
        "DELETE FROM runs",
        "SELECT * FROM runs /* unclosed",
        "",
        "--",
    ]
    runs, outcomes = open_runs(finished), []
    for sql in statements:
        try:
            runs.query(sql)
            outcomes.append(f"answered {sql}")
        except ValueError as error:
            outcomes.append("refused" if str(error).strip() else "refused without a word")
        assert not target.exists()
    assert set(tally("statements that would read or write elsewhere", outcomes)) == {"refused"}


# --- inputs -----------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(400, 5)).astype(np.float32)
LABELS = (RNG.random((400, 2)) > 0.5).astype(np.int8)
FOLDS = (np.arange(400) // 20 % 4).astype(np.int32)
GROUPS = (np.arange(400) // 20).astype(np.int32)
VALID = {
    dni.score_neurons: {"hidden": HIDDEN, "labels": LABELS, "folds": FOLDS, "probe": "ridge"},
    dni.make_folds: {"n_positions": 400, "k": 4, "groups": GROUPS, "scheme": "grouped", "seed": 0},
    dni.permutation_test: {"hidden": HIDDEN, "labels": LABELS, "groups": GROUPS, "n_null": 9, "seed": 0},
    dni.ablate: {"neurons": [0, 1], "mode": "mean", "reference": HIDDEN},
    dni.clamp: {"neurons": [0, 1], "value": 1.0},
    dni.clamp_to_labels: {"neurons": [0], "signal": LABELS[:, 0], "low": -1.0, "high": 1.0},
    dni.patch: {"neurons": [0], "states": HIDDEN},
    dni.plausibility: {"states": HIDDEN, "kind": "gaussian", "shrink": 1e-3, "seed": 0},
    dni.repair_head: {
        "weights": np.ones((2, 5)),
        "bias": np.zeros(2),
        "states": HIDDEN[:9],
        "targets": np.ones((9, 2)),
    },
}
BAD = [None, -1, 0, float("nan"), float("inf"), "no such thing", "", [], [[]], np.zeros(0), np.zeros((0, 5)),
       np.full((400, 5), np.nan), np.full(400, -1), np.zeros((3, 3, 3)), np.array(["a"]), {}, object()]  # fmt: skip
CLEAR = (ValueError, TypeError)


def test_bad_inputs_are_refused_or_harmless():
    outcomes, wrong = [], []
    for call, valid in VALID.items():
        call(**valid)
        for name in inspect.signature(call).parameters:
            if name not in valid:
                continue
            for bad in BAD:
                try:
                    result = call(**{**valid, name: bad})
                    arrays = [np.asarray(one) for one in result.values()] if isinstance(result, dict) else []
                    outcomes.append("accepted" if all(np.isfinite(one).any() for one in arrays) else "accepted, NaN")
                except CLEAR:
                    outcomes.append("refused")
                except Exception as error:
                    outcomes.append(f"{type(error).__name__}")
                    wrong.append((call.__name__, name, repr(bad)[:40], type(error).__name__, str(error)[:80]))
    tally("bad inputs", outcomes)
    assert len(outcomes) >= 100
    assert not wrong, "\n".join(map(str, wrong))


def test_bad_texts_and_grammars_are_refused(tmp_path):
    outcomes = []
    for content in (b"", b"\xff\xfe\x00", b"\x00" * 10, b"(" * 100_000, "\u202e\u0000".encode(), b"\n" * 1000):
        (tmp_path / "a.txt").write_bytes(content)
        for language in (Language.from_lark('start: "(" start? ")"'), dni.languages.get("python")):
            try:
                load_text(language, [tmp_path / "a.txt"])
                outcomes.append("read")
            except ValueError as error:
                outcomes.append("refused" if str(error).strip() else "refused without a word")
    grammars = [
        "",
        "start:",
        "start: start",
        'start: "a" %',
        "%import x.Y\nstart: Y",
        "start: /(/",
        "start: /a*/",
        "\x00",
    ]
    for grammar in grammars:
        try:
            Language.from_lark(grammar).sample(2, seed=0, max_length=20)
            outcomes.append("read")
        except ValueError as error:
            outcomes.append("refused" if str(error).strip() else "refused without a word")
    assert "refused without a word" not in tally("texts and grammars", outcomes)
