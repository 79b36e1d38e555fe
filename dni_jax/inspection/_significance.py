"""p-values of a relevance dataset: which scores are more than chance."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Int

from dni_jax import languages
from dni_jax.features import Labels
from dni_jax.inspection._data import load_pair
from dni_jax.languages import BaseLanguage
from dni_jax.probes import permutation_test
from dni_jax.progress import track
from dni_jax.text import Corpus

METRIC_OF = {"binary": "auc", "continuous": "pearson"}
_FRESH_TO_ONE = 20  # fresh strings per recorded one
_FEWEST_FRESH = 2_000
_FEWEST_STRINGS = 20  # to be exchanged with each other
_LONG = 200  # positions of a text in which the seam of a shift is one place of many
_MASKED_STRINGS = (
    0.1  # the share of strings with a masked position above which they are matched by their other positions
)
_PAIRS = ("p", "p_family", "p_global", "q", "null_mean", "null_sd")


def significance(
    relevance: xr.Dataset,
    states: Any,
    labels: Labels,
    corpus: Corpus | None = None,
    *,
    null: str | None = None,
    language: BaseLanguage | None = None,
    fresh: Corpus | None = None,
    n_null: int = 199,
    seed: int = 0,
    groups: np.ndarray | None = None,
    length_tolerance: float = 0.1,
    stop_above: float | None = None,
) -> xr.Dataset:
    """Add p-values to a relevance dataset, corrected for the number of neurons and features that are tested.

    What is tested is whether a neuron's states and a feature's labels have anything to do with each other, by the AUC
    over all positions for binary features and by Pearson's correlation for continuous ones; both directions count.
    `dni_jax.permutation_test` explains what each null holds fixed.

    Parameters
    ----------
    relevance
        From `dni_jax.inspect` on the same states and labels.
    states
        ``Activations``, or an array ``(T, N)``.
    labels
        As for `inspect`. For fresh strings they must know their library, as those from ``library.label`` do.
    corpus
        The strings that were recorded and labeled. Without it `groups` take their place.
    null
        ``"fresh"``: labels of fresh strings of the same lengths; the default for sampled corpora, and where `language`
        or `fresh` is given. ``"string_permutation"``: labels of other recorded strings of the same length; the default
        for 20 whole strings or more, each a group of its own. ``"shift"``: a group's labels turned in a circle; the
        default for everything else, for long texts. Groups that are short on average (fewer than 200 positions at the
        middle position) are warned of: states and labels both follow the place in a short string, and a shift finds
        that. ``"iid"``: wrong for sequences.
    language
        Samples the fresh strings. For a built-in language the corpus' name is enough.
    fresh
        The fresh strings themselves, where sampling has bounds of its own, as
        ``language.sample(50_000, seed=1, max_depth=6)``. None of them may be a recorded one sampled again.
    n_null
        Repetitions; the smallest p is ``1 / (n_null + 1)``.
    seed
        Draws fresh strings and repetitions.
    groups
        int ``(T,)``: the string (or file) of each position, if neither the states nor a corpus know it.
    length_tolerance
        Strings of a rare length are matched with strings up to this share longer, cut to the shortest; 0 matches
        lengths exactly and leaves out the strings that have no match.
    stop_above
        See `dni_jax.permutation_test`: repetitions end early for features that are far from significant.

    Returns
    -------
    The dataset with variables ``(neuron, feature)``: ``p``; ``p_family`` (any neuron on this feature); ``p_global``
    (any neuron on any feature); ``q`` (false discovery rate); ``statistic``, the AUC or correlation that was tested, of
    the activation as it is (an AUC near 0 tells as much as one near 1); ``null_mean`` and ``null_sd``, its mean and
    spread over the repetitions. Attributes ``null_...`` say what was done and how many positions and strings were
    matched exactly, had few alternatives, or were left out.

    Raises
    ------
    ValueError
        Where states, labels and relevance do not belong together, or the null lacks what it needs.

    Warns
    -----
    UserWarning
        Where labels are shifted in short strings.

    Notes
    -----
    Strings with masked positions (without a state, as between tokens, or without a label) are left out by "fresh" and
    "string_permutation" while at most a tenth of the strings has any. Where more do, "string_permutation" matches
    strings by their number of other positions, and the k-th of them takes the label of the other string's k-th:
    exact for exchangeable strings, whatever decides where a position is masked. The attribute ``null_matched_by`` says
    which was done.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> labels = dni.languages.get("parentheses").features().select("digit", "depth=1").label(corpus)
    >>> states = labels.values + np.random.default_rng(0).normal(size=(corpus.n_positions, 2))
    >>> relevance = dni.inspect(states, labels, "ridge", folds=5, groups=corpus.string_ids)
    >>> tested = relevance.pipe(dni.significance, states, labels, corpus, n_null=19)
    >>> tested.attrs["null"], tested["p_family"].sel(feature="digit").values.tolist()[0]
    ('fresh', 0.05)
    """
    hidden, labels, own_groups = load_pair(relevance, states, labels, groups)
    if null is None:
        null = _default(corpus, language, fresh, own_groups, labels.mask)
    if null == "labels":
        raise ValueError('expected a null that makes its labels, got "labels": dni.permutation_test takes null_labels')
    by_string = null in ("fresh", "string_permutation")
    if by_string and corpus is not None:
        _check_whole(corpus, null)
    where = own_groups
    if corpus is not None and (by_string or where is None):
        where = corpus.string_ids if by_string else corpus.position_groups
    if where is None and null != "iid":
        raise ValueError(
            f'expected corpus=, or groups=(T,) with an array of states, for null="{null}", got none: the string (or '
            "file) of each position"
        )
    where = np.zeros(len(hidden), np.int32) if where is None else np.asarray(where)
    by_unit = null == "string_permutation" and _share_of_masked_strings(where, labels.mask) > _MASKED_STRINGS
    used, left_out = _without_masked(where, labels.mask, whole=by_string and not by_unit)
    if (used < 0).all():
        raise ValueError(
            f'expected strings without a masked position for null="{null}", got one in every string (without a state, '
            "or not labeled): strings of another text cannot be matched with them position by position"
        )
    if null == "shift":
        _warn_of_short_groups(used)
    more: dict[str, Any] = {}
    if null == "fresh":
        drawn = _fresh_corpus(corpus, language, len(np.unique(where)), seed) if fresh is None else fresh
        more = _fresh_labels(labels, drawn)
    metrics = [METRIC_OF[kind] for kind in labels.kinds]
    test = permutation_test(
        hidden,
        labels.matrix,
        used,
        null,
        metrics,
        n_null,
        seed,
        length_tolerance=length_tolerance if by_string else 0.0,
        stop_above=stop_above,
        progress=_show_progress,
        **more,
    )
    dims = ("neuron", "feature")
    variables: dict[str, Any] = {name: (dims, test[name]) for name in _PAIRS} | {"statistic": (dims, test["score"])}
    variables["null_repetitions"] = ("feature", test["repetitions"])
    about = {f"null_{name}": value for name, value in test.attrs.items() if name not in ("null", "n_null")}
    if by_string:
        about["null_matched_by"] = "unit" if by_unit else "position"
    return relevance.assign(variables).assign_attrs(null=null, n_null=n_null, null_masked_positions=left_out, **about)


def _show_progress(starts: range) -> Iterator[int]:
    return track(starts, "testing against chance", "repetitions", starts.step)


def _default(
    corpus: Corpus | None,
    language: BaseLanguage | None,
    fresh: Corpus | None,
    groups: Int[np.ndarray, " T"] | None,
    mask: Bool[np.ndarray, " T"],
) -> str:
    """Return the null whose rearrangements are as probable as the observed one, by what is exchangeable."""
    sampled = corpus is not None and "accepted" in corpus.coverage
    alone = corpus is not None and bool((corpus.begins & corpus.ends).all())
    alone = alone and len(np.unique(corpus.groups)) == len(corpus) >= _FEWEST_STRINGS  # type: ignore[union-attr,arg-type]
    if alone and groups is not None and corpus is not None:
        # A user's own groups of strings, such as an author's, are not exchangeable string by string.
        alone = len(np.unique(groups)) == len(corpus)
    if language is not None or fresh is not None:
        return "fresh"
    if sampled:
        # Fresh strings cannot be matched with strings that have states at some places only.
        masked = _share_of_masked_strings(corpus.string_ids, mask) if corpus is not None else 0.0
        return "string_permutation" if alone and masked > _MASKED_STRINGS else "fresh"
    return "string_permutation" if alone else "shift"


def _share_of_masked_strings(groups: Int[np.ndarray, " T"], mask: Bool[np.ndarray, " T"]) -> float:
    strings = np.unique(groups[groups >= 0])
    return len(np.unique(groups[(groups >= 0) & ~mask])) / max(len(strings), 1)


def _warn_of_short_groups(groups: Int[np.ndarray, " T"]) -> None:
    """Warn where the seam of a shift is not one place of many, and where the place in the string matters."""
    sizes = np.bincount(np.unique(groups[groups >= 0], return_inverse=True)[1])
    middle = int(np.median(np.repeat(sizes, sizes)))
    if middle < _LONG:
        warnings.warn(
            f"labels are shifted in short strings: half of the positions lie in strings of at most {middle} positions. "
            "States and labels both follow the place in a short string, and a shift finds that: p is too small. Pass "
            "the corpus of whole strings, or the language= that sampled them",
            UserWarning,
            stacklevel=3,
        )


def _check_whole(corpus: Corpus, null: str) -> None:
    pieces = int((~(corpus.begins & corpus.ends)).sum())
    if pieces:
        raise ValueError(
            f'expected whole strings for null="{null}", got {pieces} pieces of longer ones among {len(corpus)}: pieces '
            "of a text are not exchangeable"
        )


def _without_masked(groups: np.ndarray, mask: np.ndarray, whole: bool) -> tuple[np.ndarray, int]:
    """Mark masked positions -1, or whole strings that hold any; also how many positions that takes."""
    out = np.isin(groups, groups[~mask]) if whole else ~mask
    return np.where(out, -1, groups), int((out & (groups >= 0)).sum())


def _fresh_corpus(corpus: Corpus | None, language: BaseLanguage | None, n_strings: int, seed: int) -> Corpus:
    if language is None:
        if corpus is None or corpus.language not in languages.list_languages():
            name = "no corpus" if corpus is None else f"a corpus of {corpus.language!r}"
            raise ValueError(
                f'expected language= or fresh= for null="fresh", got {name}: pass the language that sampled the strings'
            )
        language = languages.get(corpus.language)
    # A stream of its own: a corpus sampled with the same small seed must not be sampled again.
    own = int(np.random.SeedSequence([seed, 0x66726573]).generate_state(1)[0])
    return language.sample(max(_FEWEST_FRESH, _FRESH_TO_ONE * n_strings), seed=own)


def _fresh_labels(labels: Labels, fresh: Corpus) -> dict[str, np.ndarray]:
    if labels.library is None:
        raise ValueError(
            'expected labels that know their library for null="fresh", got labels without one: make them with '
            "library.label(corpus)"
        )
    _check_whole(fresh, "fresh")
    made = labels.library.select(list(labels.names)).label(fresh)
    if made.kinds != labels.kinds:
        changed = [n for n, a, b in zip(labels.names, labels.kinds, made.kinds, strict=True) if a != b]
        raise ValueError(
            f"expected features of the same kind on fresh strings, got others for {changed}: state their kind in "
            "dni.feature(name, f, kind=...)"
        )
    groups, _ = _without_masked(fresh.string_ids, made.mask, whole=True)
    return {"fresh_labels": made.matrix, "fresh_groups": groups}
