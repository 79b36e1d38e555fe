import numpy as np
import pytest

import dni_jax as dni
from dni_jax.features import Labels

LABELS = Labels(
    ("digit", "depth", "always"),
    ("binary", "continuous", "binary"),
    (np.array([0, 1, 1, 0], np.int8), np.array([0, 0.5, 1, 0], np.float32), np.array([1, 1, 1, 0], np.int8)),
    np.array([True, True, True, False]),
)


def test_values_are_the_columns():
    assert LABELS.values.dtype == np.float32
    assert LABELS.values.tolist() == [[0, 0, 1], [1, 0.5, 1], [1, 1, 1], [0, 0, 0]]


def test_select_and_of_kind():
    two = LABELS.select(["always", "depth"])
    assert (two.names, two.kinds) == (("always", "depth"), ("binary", "continuous"))
    np.testing.assert_array_equal(two.values, LABELS.values[:, [2, 1]])
    assert LABELS.of_kind("binary").names == ("digit", "always")
    assert len(LABELS.of_kind("continuous")) == 1


def test_constant_looks_at_the_positions_in_use():
    assert LABELS.constant == ("always",)
    nothing = Labels(LABELS.names, LABELS.kinds, LABELS.columns, np.zeros(4, bool))
    assert nothing.constant == LABELS.names


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"one of the 3 features \('digit', .*, got 'digits': did you mean 'digit'"):
        _ = LABELS["digits"]
    with pytest.raises(ValueError, match=r"got 'zzz'$"):
        LABELS.select(["zzz"])
    assert repr(LABELS) == "Labels(4 positions x 3 features, 2 binary)"


def test_distinct_says_what_is_left_out_and_why():
    mask = np.array([True, True, True, True, False])
    columns = {
        "a": [0, 1, 1, 0, 1],
        "never": [0, 0, 0, 0, 1],
        "always": [1, 1, 1, 1, 0],
        "again": [0, 1, 1, 0, 0],
        "opposite": [1, 0, 0, 1, 1],
        "b": [1, 0, 0, 0, 0],
    }
    labels = Labels(
        (*columns, "half", "half too"),
        ("binary",) * 6 + ("continuous",) * 2,
        (*(np.array(c, np.int8) for c in columns.values()), *(np.array([0.5, 1, 0, 0, 9], np.float32),) * 2),
        mask,
    )
    kept, report = labels.drop_redundant()
    assert kept.names == ("a", "b", "half")
    assert kept.mask is mask
    assert report.values.tolist() == [
        ["never", "always 0", ""],
        ["always", "always 1", ""],
        ["again", "same labels", "a"],
        ["opposite", "opposite labels", "a"],
        ["half too", "same labels", "half"],
    ]
    nothing, report = kept.drop_redundant()
    assert nothing.names == kept.names
    assert report.columns.tolist() == ["feature", "reason", "same_as"]
    assert len(report) == 0
    unused = Labels(labels.names, labels.kinds, labels.columns, np.zeros(5, bool)).drop_redundant()
    assert len(unused[0]) == 0
    assert set(unused[1]["reason"]) == {"no position with labels"}


def test_coverage_counts_positions_in_use_and_strings():
    corpus = dni.Corpus.from_strings(["a1", "b", "22x"])
    mask = np.array([True, True, True, True, False, True])
    digit = np.array([0, 1, 0, 1, 1, 0], np.int8)
    depth = np.array([0, 0.5, 1, 0.25, 9, 0.25], np.float32)
    labels = Labels(("digit", "depth"), ("binary", "continuous"), (digit, depth), mask)
    table = labels.coverage(corpus).set_index("feature")
    one = table.loc["digit"]
    assert (one["positions"], one["masked"], one["count"], one["strings"]) == (5, 1, 2, 2)
    assert (one["share"], one["strings_share"]) == (0.4, pytest.approx(2 / 3))
    two = table.loc["depth"]
    used = depth[mask]
    assert two[["mean", "sd", "min", "max"]].tolist() == pytest.approx([used.mean(), used.std(), 0, 1])
    assert two[["count", "share", "strings"]].isna().all()
    assert labels.coverage()["strings"].isna().all()
    assert "<table" in labels._repr_html_()
    with pytest.raises(ValueError, match=r"the corpus that was labeled, of 6 characters, got Corpus\(text: 1 strings"):
        labels.coverage(dni.Corpus.from_strings(["abc"]))


def test_labels_as_a_frame():
    corpus = dni.Corpus.from_strings(["a1", "é"])
    labels = Labels(
        ("digit", "x"),
        ("binary", "continuous"),
        (np.array([0, 1, 0], np.int8), np.array([0, 1, 0.5], np.float32)),
        np.array([True, True, False]),
    )
    frame = labels.to_dataframe(corpus)
    assert frame.columns.tolist() == ["string", "place", "character", "masked", "digit", "x"]
    assert frame.values.tolist() == [[0, 0, "a", False, 0, 0], [0, 1, "1", False, 1, 1], [1, 0, "é", True, 0, 0.5]]
    assert (frame["digit"].dtype, frame["x"].dtype) == (np.int8, np.float32)
    assert labels.to_dataframe().columns.tolist() == ["masked", "digit", "x"]
    taken = Labels(("place",), ("binary",), (labels.columns[0],), labels.mask)
    with pytest.raises(ValueError, match=r"got \['place'\]: use feature\.rename"):
        taken.to_dataframe(corpus)


def test_selection_by_pattern_and_kind():
    assert LABELS.select("d*").names == ("digit", "depth")
    assert LABELS.select("d*", kind="continuous").names == ("depth",)
    assert LABELS.drop("d*").names == ("always",)
    assert LABELS.drop().names == LABELS.names
