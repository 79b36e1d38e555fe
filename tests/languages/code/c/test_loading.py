import io
import tarfile

import numpy as np
import pytest

from dni_jax.languages import ParseError, get, load_c
from dni_jax.languages.code._files import matches_glob

FUNCTION = "/* %d */\nstatic int f%d(struct s *x)\n{\n\tif (x->y)\n\t\treturn %d;\n\treturn g(x);\n}\n\n"


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for number in range(12):
        file = root / ["", "a", "a/b"][number % 3] / f"f{number:02}.c"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(FUNCTION % (k, k, number) for k in range(20)))
    (root / "a" / "f.h").write_text("typedef int later;\n")
    return root


def packed(tree, path, mode):
    with tarfile.open(path, mode) as archive:
        archive.add(tree, arcname="./")
    return path


def same(a, b):
    assert a.strings == b.strings
    np.testing.assert_array_equal(a.split, b.split)
    np.testing.assert_array_equal(a.groups, b.groups)
    for name in ("rule", "start", "end", "parent", "depth", "offsets"):
        np.testing.assert_array_equal(getattr(a.trees, name), getattr(b.trees, name))


def test_a_folder(tree):
    seen = []
    corpus = load_c(tree, progress=lambda done, total: seen.append((done, total)))
    size = sum(len(file.read_text()) for file in tree.glob("**/*.c"))
    assert corpus.n_positions == size
    assert seen[-1] == (size, size)
    assert corpus.language == "c"
    assert corpus.parsed is None
    coverage = dict(corpus.coverage)
    inside = 12 * 20 * len(FUNCTION % (1, 1, 1))
    assert abs(coverage.pop("characters") - inside) < 0.2 * inside
    assert coverage.pop("characters_parsed") == corpus.coverage["characters"]
    assert coverage == {
        "files": 12,
        "files_parsed": 12,
        "functions": 240,
        "functions_parsed": 240,
        "declarations": 240,
        "declarations_parsed": 240,
        "all_characters": size,
        "all_characters_parsed": size,
        "dead_characters": 0,
        "worst": [],
        "replaced": 0,
        "groups": "files",
        "failed": {},
    }
    assert len(np.unique(corpus.groups)) == 12
    assert set(corpus.split) == {0, 1, 2}
    labels = get("c").features().label(corpus)
    assert labels["impulse:function definition"].sum() == 2 * 240
    assert labels["range:return"].sum() == sum(part.count("return g(x);") * 12 for part in corpus.strings) + sum(
        len(f"return {n};") * 20 for n in range(12)
    )


@pytest.mark.parametrize(("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tar.xz", "w:xz")])
def test_an_archive_is_the_folder(tree, tmp_path, suffix, mode):
    archive = packed(tree, tmp_path / f"tree{suffix}", mode)
    for seed, most in ((0, None), (1, 5_000)):
        same(load_c(archive, seed=seed, max_chars=most), load_c(tree, seed=seed, max_chars=most))
    assert load_c(archive, glob="a/*.c").coverage["files"] == 4
    with pytest.raises(ValueError, match=r"match '\*\.py', got none: it holds .*try another glob"):
        load_c(archive, glob="*.py")


@pytest.mark.parametrize(
    "glob", ["**/*.c", "*.c", "a/*.c", "a/**/*.c", "**/f0[1-5].c", "*/*", "**/b/*.c", "a/f?[0-4].c"]
)
def test_globs_in_archives_are_pathlibs(tree, glob):
    names = [str(file.relative_to(tree)) for file in tree.rglob("*") if file.is_file()]
    expected = {str(file.relative_to(tree)) for file in tree.glob(glob) if file.is_file()}
    assert expected
    assert {name for name in names if matches_glob(name, glob)} == expected


def test_what_does_not_parse_is_masked_counted_and_shown(tree):
    broken = "int broken(void)\n{\n\treturn (;\n}\n"
    (tree / "f00.c").write_text("int before;\n" + broken + "int after(void) { return 1; }\n")
    corpus = load_c(tree)
    coverage = corpus.coverage
    assert coverage["functions"] == coverage["functions_parsed"] + 1 == 222
    assert coverage["files_parsed"] == 11
    assert coverage["characters"] - coverage["characters_parsed"] == len(broken) - 1
    (worst,) = coverage["worst"]
    assert worst["file"].endswith("f00.c")
    assert (worst["functions"], worst["functions_parsed"], worst["unparsed"]) == (2, 1, len(broken) - 1)
    assert "line 4, column 10" in worst["problem"]
    assert (~corpus.parsed).sum() == len(broken) - 1
    masked = "".join(np.asarray(list("".join(corpus.strings)))[~corpus.parsed])
    assert masked == broken[:-1]
    with pytest.raises(ParseError, match=r"(?s)f00\.c: does not parse at ';' \(line 4, column 10\).*skip_unparsable"):
        load_c(tree, skip_unparsable=False)


def test_files_that_cannot_be_read_are_named(tree, tmp_path):
    (tree / "latin.c").write_bytes("/* ä */ int a;".encode("latin-1"))
    corpus = load_c(tree)
    assert corpus.coverage["files"] == 13
    assert list(corpus.coverage["failed"]) == [str(tree / "latin.c")]
    assert "expected UTF-8" in corpus.coverage["failed"][str(tree / "latin.c")]
    archive = packed(tree, tmp_path / "tree.tar", "w")
    with tarfile.open(archive, "a") as more:
        link = tarfile.TarInfo("z.c")
        link.type, link.linkname = tarfile.SYMTYPE, "f00.c"
        more.addfile(link)
    failed = load_c(archive).coverage["failed"]
    assert set(failed) == {"latin.c", "z.c"}
    assert "regular file" in failed["z.c"]


def test_nothing_to_read(tree, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        load_c(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"match '\*\.cc'"):
        load_c(tree, glob="*.cc")
    (tmp_path / "latin.c").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"got none; .*latin\.c: expected UTF-8"):
        load_c(tmp_path / "latin.c")
    (tmp_path / "empty.c").write_text("")
    with pytest.raises(ValueError, match="all files are empty"):
        load_c(tmp_path / "empty.c")
    archive = packed(tree, tmp_path / "tree.tar.gz", "w:gz")
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"a tar archive that can be read.*tree\.tar\.gz"):
        load_c(archive)


def test_line_ends_and_one_file(tmp_path):
    (tmp_path / "a.c").write_bytes(b"int f(void)\r\n{\r\n}\r\n")
    corpus = load_c(tmp_path / "a.c")
    assert corpus.strings == ("int f(void)\n{\n}\n",)
    assert corpus.coverage["groups"] == "segments"
    buffer = io.BytesIO((tmp_path / "a.c").read_bytes())
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("a.c")
        member.size = len(buffer.getvalue())
        archive.addfile(member, buffer)
    assert load_c(tmp_path / "a.tar").strings == corpus.strings


def test_harvested_names_are_used_where_position_does_not_decide(tmp_path):
    text = "int f(int x) { return sizeof(strange[2]) + g((strange)(x)) + (strange)-x; }\n"
    (tmp_path / "a.c").write_text(text)
    with_name, without = (load_c(tmp_path / "a.c", typedefs=names) for names in (["strange"], None))
    casts = [get("c").features().label(one)["range:cast"].sum() for one in (with_name, without)]
    assert casts == [len("(strange)(x)") + len("(strange)-x"), 0]
    (tmp_path / "b.c").write_text("int h(void) { return m[(other *[2]){ 0 }]; }\n")
    (tmp_path / "c.c").write_text("typedef int other;\n")
    assert load_c(tmp_path).coverage["functions_parsed"] == 2
