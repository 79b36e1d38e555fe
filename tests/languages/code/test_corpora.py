import numpy as np
import pytest

from dni_jax.languages import Language, ParseError, find_files, get, load_c, load_text

LINES = Language.from_lark('start: line+\nline: WORD "\\n"\nWORD: /[a-zä]+/', name="lines")


@pytest.fixture
def folder(tmp_path):
    for number in range(12):
        (tmp_path / f"f{number:02}.txt").write_text("".join(f"{'abcdefghijkl'[number] * 9}\n" * 50))
    return tmp_path


def test_files_are_parsed_and_grouped_by_file(folder):
    seen = []
    corpus = load_text(LINES, find_files(folder), seed=3, progress=lambda done, total: seen.append((done, total)))
    assert corpus.coverage == {
        "files": 12,
        "files_parsed": 12,
        "characters": 6_000,
        "characters_parsed": 6_000,
        "replaced": 0,
        "groups": "files",
        "failed": {},
    }
    assert corpus.language == "lines"
    assert len(np.unique(corpus.groups)) == 12
    assert set(corpus.split) == {0, 1, 2}
    assert sorted({s[0] for s in corpus.strings}) == list("abcdefghijkl")
    assert seen[-1] == (6_000, 6_000)
    labels = LINES.features().label(corpus)
    assert labels["impulse:line"].sum() == 2 * 600
    assert (labels["range:WORD"] == (corpus.text != 10)).all()


def test_order_depends_on_the_seed_alone(folder):
    a, b, c = (load_text(LINES, find_files(folder), seed=seed).strings for seed in (1, 1, 2))
    assert a == b
    assert a != c
    assert sorted(a) == sorted(c)


def test_files_that_do_not_parse_are_counted_and_named(folder):
    (folder / "bad.txt").write_text("abc\nd3f\n")
    (folder / "latin.txt").write_bytes("häuser\n".encode("latin-1"))
    files = [*find_files(folder), folder / "missing.txt"]
    with pytest.raises(ParseError, match=r"(?s)bad\.txt: .*line 2, column 2.*skip_unparsable"):
        load_text(LINES, files)
    corpus = load_text(LINES, files, skip_unparsable=True)
    failed = corpus.coverage["failed"]
    assert corpus.coverage["files"] == 15
    assert corpus.coverage["files_parsed"] == 12
    assert {file.rsplit("/", 1)[1] for file in failed} == {"bad.txt", "latin.txt", "missing.txt"}
    assert "line 2, column 2" in failed[str(folder / "bad.txt")]
    assert "expected UTF-8 text" in failed[str(folder / "latin.txt")]
    assert "missing.txt" in failed[str(folder / "missing.txt")]
    assert corpus.coverage["characters"] == 6_008
    assert corpus.coverage["characters_parsed"] == 6_000
    assert corpus.n_positions == 6_008
    masked = corpus.take(np.flatnonzero([string == "abc\nd3f\n" for string in corpus.strings]))
    assert not masked.parsed.any()
    assert len(masked.trees.rule) == 0
    assert corpus.parsed.sum() == 6_000
    assert (LINES.features().label(corpus).mask == corpus.parsed).all()


def test_reading_stops_at_max_chars(folder):
    corpus = load_text(LINES, find_files(folder), max_chars=2_200)
    assert corpus.n_positions == corpus.coverage["characters_parsed"] == 2_000
    assert corpus.coverage["files"] == corpus.coverage["files_parsed"] == 4


def test_a_file_that_does_not_fit_is_left_for_shorter_ones(folder):
    (folder / "f00.txt").write_text("a\n" * 5_000)
    for seed in range(4):
        corpus = load_text(LINES, find_files(folder), max_chars=5_400, seed=seed)
        first = corpus.strings[0][0]
        assert corpus.n_positions == (10_000 if first == "a" else 5_000)


def test_few_files_are_split_by_piece(folder):
    (folder / "f00.txt").write_text(("a" * 79 + "\n") * 500)
    corpus = load_text(LINES, find_files(folder)[:3])
    assert corpus.coverage["groups"] == "segments"
    assert len(np.unique(corpus.groups)) == len(corpus) > 12
    assert set(corpus.split) == {0, 1, 2}
    assert all(string.endswith("\n") for string in corpus.strings)


def test_rare_symbols_are_replaced_and_counted(folder):
    (folder / "g.txt").write_text("ä\nä\n" + "z\n" * 60, encoding="utf-8")
    corpus = load_text(LINES, find_files(folder), max_symbols=14)
    # \n, a ... l and z are fourteen symbols without the ä; with U+FFFD one of them has to go as well.
    assert len(corpus.vocabulary.characters) == 14
    assert corpus.vocabulary.characters[-1] == "\ufffd"
    assert corpus.coverage["replaced"] == 62
    assert (corpus.flat_codes == 14).sum() == 62
    assert "ä" in "".join(corpus.strings)


def test_line_ends_are_read_as_one_character(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abc\r\ndef\r\n")
    assert load_text(LINES, [tmp_path / "a.txt"]).strings == ("abc\ndef\n",)


def test_nothing_that_parses(tmp_path):
    (tmp_path / "a.txt").write_text("12\n")
    with pytest.raises(
        ValueError, match=r"(?s)text that lines parses, got none in 1 files.*a\.txt: .*line 1, column 1"
    ):
        load_text(LINES, [tmp_path / "a.txt"], skip_unparsable=True)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match="all are empty"):
        load_text(LINES, [tmp_path / "a.txt"])
    with pytest.raises(ValueError, match="got none in 0 files"):
        load_text(LINES, [])


def test_find_files(folder):
    assert [file.name for file in find_files(folder, "f0*.txt")] == [f"f0{n}.txt" for n in range(10)]
    assert find_files(folder / "f03.txt") == [folder / "f03.txt"]
    with pytest.raises(ValueError, match="which does not exist"):
        find_files(folder / "nowhere")
    with pytest.raises(ValueError, match=r"files that match '\*\.py'.*try another --glob"):
        find_files(folder, "*.py")


def test_python_files_in_segments(tmp_path):
    source = '"""Doc (."""\n' + "".join(f"def f{n}(x):\n    return g(x, [{n}])  # {n})\n" for n in range(200))
    (tmp_path / "a.py").write_text(source)
    corpus = load_text(get("python"), [tmp_path / "a.py"])
    assert "".join(corpus.strings) == source
    assert len(corpus) > 2
    labels = get("python").features().label(corpus)
    assert labels["impulse:function"].sum() == 2 * 200
    assert labels["depth=2"].sum() == sum(len(f"[{n}]") for n in range(200))
    assert labels["range:comment"].sum() == sum(len(f"# {n})") for n in range(200))


def test_one_file_is_cut_where_its_beginning_parses(tmp_path):
    pairs = Language.from_lark('start: pair*\npair: "(" /[a-z\\n]+/ ")" /\\n/?')
    (tmp_path / "one.txt").write_text("(abc\nd)\n" * 1_000)
    corpus = load_text(pairs, [tmp_path / "one.txt"], max_chars=2_005)
    assert corpus.n_positions == 2_000
    assert "".join(corpus.strings) == "(abc\nd)\n" * 250
    (tmp_path / "two.txt").write_text("(" + "a" * 10_000 + ")")
    with pytest.raises(ValueError, match=r"two\.txt.*at most 2,005 characters .* got 10,002, of which no beginning"):
        load_text(pairs, [tmp_path / "two.txt"], max_chars=2_005)


def test_one_c_file_is_cut_before_a_declaration(tmp_path):
    (tmp_path / "one.c").write_text("int f(int a) {\n  return a + 1;\n}\n\nint g = 3;\n" * 500)
    corpus = load_c(tmp_path / "one.c", max_chars=1_000)
    assert 900 < corpus.n_positions <= 1_000
    assert corpus.parsed is None or corpus.parsed.all()
