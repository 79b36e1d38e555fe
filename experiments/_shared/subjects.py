"""What the experiments share: networks that are trained once, the paper's protocol beside ours, tables."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

import dni_jax as dni

POSITIONS = 20_000  # held-out characters that neurons are scored on


@dataclass(frozen=True)
class Subject:
    """A language, text of it, and a network trained on that text."""

    language: dni.languages.BaseLanguage
    corpus: dni.Corpus
    model: dni.models.TrainedModel

    @property
    def held_out(self) -> dni.Corpus:
        """The text that neurons are scored on."""
        return self.corpus.test.head(POSITIONS)


def arguments(
    description: str, networks: Path = Path("runs/experiments"), seeds: Sequence[int] = (0, 1, 2)
) -> argparse.Namespace:
    return parser_of(description, networks, seeds).parse_args()


def parser_of(description: str, networks: Path, seeds: Sequence[int]) -> argparse.ArgumentParser:
    """Return a parser of the arguments that all experiments on networks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds), help="one network each")
    parser.add_argument("--networks", type=Path, default=networks, help="where trained networks are kept")
    return parser


def subject(name: str, seed: int, networks: Path) -> Subject:
    """Train a default network on a sampled language, or take the one that is there."""
    language = dni.languages.get(name)
    corpus = language.sample(60_000, seed=seed)
    path = networks / f"{name}-{seed}"
    if path.exists():
        return Subject(language, corpus, dni.load(path))
    model = dni.train(corpus, seed=seed)
    model.save(path)
    return Subject(language, corpus, model)


def both_protocols(
    hidden: np.ndarray, labels: dni.Labels, groups: np.ndarray, seed: int
) -> tuple[xr.Dataset, xr.Dataset]:
    """Relevance as in the paper (positions dealt to 20 folds one by one), and with whole strings dealt to folds."""
    plain = np.asarray(dni.make_folds(len(hidden), k=20, scheme="shuffled", seed=seed))
    folds = min(20, len(np.unique(groups)))
    return dni.inspect(hidden, labels, folds=plain), dni.inspect(hidden, labels, folds=folds, groups=groups, seed=seed)


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Return the mean over networks, and of several the least and the greatest."""
    array = np.asarray(values, float)
    most = f" ({array.min():.{digits}f}-{array.max():.{digits}f})" if array.size > 1 else ""
    return f"{array.mean():.{digits}f}{most}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print()
