"""Run the tutorials' Python blocks and write what they give into the pages: outputs, and drawings beside them.

    python scripts/update_docs.py [page.md ...]

A ```text block behind a ```python block is that block's output, as a notebook would show it: what it prints, then its
last value. An image behind it (or behind the output) is the drawing that is its last value. tests/test_docs.py runs the
same blocks and compares.
"""

import ast
import contextlib
import io
import re
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from matplotlib import use
from matplotlib.axes import Axes

DOCS = Path(__file__).parents[1] / "docs"
TUTORIALS = ("tutorial.md", "own_c_code.md", "arrays_only.md")
_PART = re.compile(
    r"^```python\n(?P<code>.*?)^```$"
    r"(?:\n\n```text\n(?P<output>.*?)^```$)?"
    r"(?:\n\n!\[[^\]]*\]\((?P<image>[^)]+\.png)\))?",
    re.MULTILINE | re.DOTALL,
)
_DECIMAL = re.compile(r"-?\d+\.\d*(?:e[-+]?\d+)?")
_NUMBER = re.compile(r"-?\d[\d,]*")
_DISPLAY = ("display.width", 110, "display.max_columns", 20, "display.precision", 3)


@dataclass
class Part:
    """One block of a page, what the page shows for it, and what it gives when it is run."""

    code: str
    output: str | None
    image: str | None
    found: str = ""
    drawing: Axes | None = field(default=None, repr=False)


def parts_of(text: str) -> list[Part]:
    """The blocks of a page in order."""
    return [Part(match["code"], match["output"], match["image"]) for match in _PART.finditer(text)]


def run(parts: list[Part], name: str) -> list[Part]:
    """Run the blocks of one page in order, in an empty folder, and keep what each gives."""
    use("Agg")
    namespace: dict[str, object] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        pd.option_context(*_DISPLAY),
    ):
        for number, part in enumerate(parts):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                value = _value(part.code, f"{name}, block {number}", namespace)
            if isinstance(value, Axes):
                part.drawing = value
            elif value is not None:
                printed.write(f"{value!r}\n")
            part.found = "".join(f"{line.rstrip()}\n" for line in printed.getvalue().splitlines())
    return parts


def _value(code: str, name: str, namespace: dict[str, object]) -> object:
    """Run a block; give the value of its last line if that is an expression."""
    tree = ast.parse(code, name)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), namespace)
    return None if last is None else eval(compile(ast.Expression(last.value), name, "eval"), namespace)


def alike(shown: str, found: str, tolerance: float = 0.15) -> bool:
    """Whether two outputs have the same words, and decimals that are near; whole numbers may differ."""

    def words(text: str) -> list[str]:
        return _NUMBER.sub("#", _DECIMAL.sub("#.#", text)).split()

    ours, theirs = ([float(number) for number in _DECIMAL.findall(text)] for text in (shown, found))
    near = all(abs(a - b) <= tolerance * max(1.0, abs(a)) for a, b in zip(ours, theirs, strict=False))
    return words(shown) == words(found) and near


def updated(text: str, parts: list[Part]) -> str:
    """The page with what its blocks gave."""
    given = iter(parts)

    def again(match: re.Match[str]) -> str:
        part = next(given)
        whole = match[0]
        if part.output is None:
            return whole
        return whole.replace(f"```text\n{part.output}```", f"```text\n{part.found}```")

    return _PART.sub(again, text)


def main(names: list[str]) -> None:
    for name in names or TUTORIALS:
        page = DOCS / name
        text = page.read_text(encoding="utf-8")
        parts = run(parts_of(text), name)
        for part in parts:
            if part.image:
                part.drawing.figure.savefig(DOCS / part.image, dpi=110, bbox_inches="tight")  # type: ignore[union-attr]
            if part.output is None and part.found:
                print(f"{name}: not shown:\n{part.found}")
        page.write_text(updated(text, parts), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
