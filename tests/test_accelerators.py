"""Programs are lowered for accelerators that are not here; where XLA's plugins are, they are compiled and counted."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jaxtyping
import pytest
from jax import export

from scripts.accelerators.launches import Count, count_launches
from scripts.accelerators.programs import NARROW, PROGRAMS, SMALL, Site
from scripts.accelerators.targets import TARGETS, is_installed
from tests.support.slow import slow_after

ROOT = Path(__file__).resolve().parent.parent
HLO = """
%inner (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  ROOT %add.1 = f32[2]{0} fusion(%p), kind=kLoop
}

%body (p: (s32[], f32[2])) -> (s32[], f32[2]) {
  %p = (s32[], f32[2]{0}) parameter(0)
  %x = f32[2]{0} get-tuple-element(%p), index=1
  %y = f32[2]{0} fusion(%x), kind=kLoop
  %z = f32[2]{0} all-reduce(%y), to_apply=%inner
  ROOT %t = (s32[], f32[2]{0}) tuple(%i, %z)
}

%condition (p: (s32[], f32[2])) -> pred[] {
  ROOT %less = pred[] fusion(%p), kind=kLoop
}

ENTRY %main (a: f32[2]) -> f32[2] {
  %a = f32[2]{0} parameter(0)
  %b = f32[2]{0} custom-call(%a), custom_call_target="gemm"
  %known = (s32[], f32[2]{0}) while(%b), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %unknown = (s32[], f32[2]{0}) while(%b), condition=%condition, body=%body
  ROOT %c = f32[2]{0} call(%a), to_apply=%inner
}
"""
# Programs much like another one that is lowered in every run.
ALIKE = ["linear_svc", "logistic", "sets_logistic", "joint_logistic", "joint_ridge", "train_population"]
# Launches, of which those per character come second.
BUDGETS = {
    "svm": (1_500, None),
    "linear_svc": (2_500, None),
    "logistic": (2_500, None),
    "ridge": (2_500, None),
    "ols": (60, None),
    "permutation": (3_000, None),
    "train": (None, 8),
    "train_population": (None, 8),
    "train_gru": (None, 8),
    "train_mingru": (None, 1),
    "train_rglru": (None, 1),
    "train_slstm": (None, 8),
    "record": (None, 4),
    "generate": (None, 6),
}


def test_launches_are_counted_with_their_loops():
    # One kernel, five trips of two, sixteen assumed trips of two and a condition, and one inside a call.
    assert count_launches(HLO) == Count(launches=1 + 5 * 2 + 16 * 3 + 1, collectives=5 + 16, waiting=1)


@pytest.fixture
def shapes_for_arrays():
    """Let shapes stand where arrays are checked for."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("name", slow_after(len(PROGRAMS) - len(ALIKE), sorted(PROGRAMS, key=ALIKE.count)))
@pytest.mark.usefixtures("shapes_for_arrays")
def test_every_program_is_lowered_for_accelerators(name):
    with jax.enable_x64(name not in NARROW):
        program = PROGRAMS[name](Site("gpu", jax.devices()[:1]), SMALL)
        lowered = export.export(program.function, platforms=("cuda", "tpu"))(*program.arguments, **program.settings)
    assert lowered.platforms == ("cuda", "tpu")
    assert len(lowered.mlir_module_serialized)


def missing(target):
    return any(not is_installed(module) for module in TARGETS[target].needs)


def checked(target, names):
    flags = [flag for name in names for flag in ("--program", name)]
    command = [sys.executable, "scripts/check_accelerators.py", "--target", target, "--json", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.slow
@pytest.mark.skipif(missing("h200"), reason="needs the extra accelerators")
def test_programs_keep_to_their_launches_on_an_h200():
    rows = {row["program"]: row for row in checked("h200", BUDGETS)}
    for name, (most, per_character) in BUDGETS.items():
        assert rows[name]["waiting"] == 0, name
        assert most is None or rows[name]["launches"] <= most, name
        assert per_character is None or rows[name]["per_character"] <= per_character, name


@pytest.mark.slow
@pytest.mark.skipif(missing("v5e"), reason="needs the extra accelerators")
def test_programs_compile_for_a_tpu():
    assert len(checked("v5e", ("svm", "ridge", "ols", "train"))) == 4
