"""C text in which ranges are marked by hand: « before a node's first character, » behind its last."""

from dni_jax.languages.code.c._features import KINDS


def marked(text):
    """The text without marks, and the marked ranges in the order of their starts."""
    plain, opened, spans = [], [], []
    for character in text:
        if character == "«":
            opened.append(len(plain))
        elif character == "»":
            spans.append((opened.pop(), len(plain)))
        else:
            plain.append(character)
    assert not opened
    return "".join(plain), sorted(spans, key=lambda span: (span[0], -span[1]))


def spans_of(trees, *names):
    """Ranges of the nodes of some kinds, by symbol or name, in the order of their starts."""
    wanted = {row for row, kind in enumerate(KINDS) if kind.name in names or kind.symbol in names}
    rows = [row for row in range(len(trees.rule)) if int(trees.rule[row]) in wanted]
    found = [(int(trees.start[row]), int(trees.end[row])) for row in rows]
    return sorted(found, key=lambda span: (span[0], -span[1]))
