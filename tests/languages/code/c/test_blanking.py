import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dni_jax.languages.code.c._lexer import blank, tokenize

FRAGMENTS = [
    "/*", "*/", "//", '"', "'", "\\", "\n", "#if 0", "#if X", "#else", "#elif Y", "#endif", "#define A", " ", "x", "1",
    "{", "}", ";", '"s"', "'c'", "#ifdef __cplusplus", "\\\n", "\t", "é", "#", "0x1F",
    "->", "...",
]  # fmt: skip


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join))
def test_length_line_breaks_and_places_stay(text):
    blanked = blank(text)
    assert len(blanked.text) == len(text)
    assert [i for i, c in enumerate(text) if c == "\n"] == [i for i, c in enumerate(blanked.text) if c == "\n"]
    assert all(kept in (was, " ") for kept, was in zip(blanked.text, text, strict=True))
    hidden = {
        i for spans in (blanked.comments, blanked.directives, blanked.dead) for a, b in spans for i in range(a, b)
    }
    assert all(blanked.text[i] == text[i] for i in range(len(text)) if i not in hidden)
    for token in tokenize(blanked.text):
        assert text[token.start : token.end] == token.value


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("#if 0\na\n#endif\nb", ["\na\n"]),
        ("#if 0\na\n#else\nb\n#endif", ["\na\n"]),
        ("#if X\na\n#elif Y\nb\n#else\nc\n#endif\nd", ["\nb\n#else\nc\n"]),
        ('#ifdef __cplusplus\nextern "C" {\n#endif\nb', ['\nextern "C" {\n']),
        ("#if defined(__cplusplus)\na\n#endif", ["\na\n"]),
        ("#ifndef __cplusplus\na\n#else\nb\n#endif", ["\nb\n"]),
        ("#if X\n#if 0\na\n#endif\nb\n#else\n#if 1\nc\n#endif\n#endif", ["\na\n", "\n#if 1\nc\n#endif\n"]),
        ("#if 0 && X\na\n#endif\n#if (0)\nb\n#endif\n#if 0x1\nc\n#endif", ["\na\n", "\nb\n"]),
        ("#if 0\na", ["\na"]),
        ("#else\na\n#endif", []),
    ],
)
def test_dead_branches(text, dead):
    assert [text[a:b] for a, b in blank(text).dead] == dead


def test_a_comment_in_a_directive_does_not_end_it():
    blanked = blank("#define A /* one\n two */ 3\nint a;")
    assert blanked.text.split() == ["int", "a;"]


def test_quotes_hide_comments_and_line_ends_end_quotes():
    assert blank('char *a = "/*"; // x').text == 'char *a = "/*";     '
    assert blank("#error don't\nint a; /* b */").text == "            \nint a;        "
