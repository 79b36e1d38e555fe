"""Which positions are held out together: cross-validation folds."""

import heapq

import numpy as np
from jaxtyping import Array, Int, Shaped

SCHEMES = ("grouped", "shuffled", "stratified_contiguous")


def make_folds(
    n_positions: int,
    k: int = 20,
    groups: Shaped[np.ndarray | Array, "..."] | None = None,
    scheme: str = "grouped",
    seed: int = 0,
    labels: Shaped[np.ndarray | Array, "..."] | None = None,
) -> Int[np.ndarray, "..."]:
    """Deal positions to cross-validation folds.

    Parameters
    ----------
    n_positions : int
        Number of positions T.
    k : int
        Number of folds, at least 2.
    groups : integer array (T,), optional
        Positions that belong together, such as the string each character comes from; -1 leaves a position out.
        Needed by "grouped".
    scheme : {"grouped", "shuffled", "stratified_contiguous"}
        "grouped" keeps each group in one fold and balances the folds by size: neighboring characters are not
        independent, so this is the honest choice. "shuffled" deals single positions at random.
        "stratified_contiguous" is what scikit-learn's ``cross_val_score(cv=k)`` does for a classifier
        (``StratifiedKFold`` without shuffling), which depends on the feature.
    seed : int
        Seed of the random deal; "stratified_contiguous" draws nothing.
    labels : array (T,) or (T, F), optional
        Labels for "stratified_contiguous".

    Returns
    -------
    int32 array (T,), or (T, F) where `labels` is (T, F)
        The fold that holds each position out, -1 where it is not used.

    Raises
    ------
    ValueError
        For an unknown scheme, missing or misshapen groups or labels, or more folds than can be filled.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import make_folds
    >>> make_folds(6, k=2, groups=np.array([0, 0, 0, 1, 1, 1])).tolist() in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])
    True
    """
    if k < 2:
        raise ValueError(f"expected k >= 2 folds, got {k}; one fold leaves nothing to train on")
    if scheme == "grouped":
        return _grouped(n_positions, k, groups, seed)
    if scheme == "shuffled":
        return _shuffled(n_positions, k, seed)
    if scheme == "stratified_contiguous":
        return _stratified(n_positions, k, labels)
    raise ValueError(f"expected scheme to be one of {', '.join(SCHEMES)}, got {scheme!r}")


def _grouped(n_positions: int, k: int, groups: object, seed: int) -> np.ndarray:
    if groups is None:
        raise ValueError(
            'expected groups (T,) for scheme="grouped", got None; pass the string number of each position, '
            'or scheme="shuffled" if positions are independent'
        )
    groups = np.asarray(groups)
    if groups.shape != (n_positions,) or groups.dtype.kind not in "iu":
        raise ValueError(
            f"expected integer groups of shape ({n_positions},), got {groups.dtype} {groups.shape}; "
            "number the groups 0, 1, ... with -1 for positions to leave out"
        )
    if (groups < -1).any():
        raise ValueError(f"expected groups >= -1, got {groups.min()}; only -1 marks positions to leave out")
    used = groups >= 0
    names, member, sizes = np.unique(groups[used], return_inverse=True, return_counts=True)
    if len(names) < k:
        raise ValueError(
            f"expected at least {k} groups for {k} folds, got {len(names)}; try {max(2, len(names))} folds, "
            'more strings, or folds=dni.make_folds(n_positions, scheme="shuffled") if positions are independent'
        )
    # Largest group first into the smallest fold; random order among equal sizes.
    shuffled = np.random.default_rng(seed).permutation(len(names))
    by_size = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold_of_group = np.empty(len(names), np.int32)
    filled = [(0, fold) for fold in range(k)]
    heapq.heapify(filled)
    for group in by_size:
        size, fold = heapq.heappop(filled)
        fold_of_group[group] = fold
        heapq.heappush(filled, (size + int(sizes[group]), fold))
    folds = np.full(n_positions, -1, np.int32)
    folds[used] = fold_of_group[member]
    return folds


def _shuffled(n_positions: int, k: int, seed: int) -> np.ndarray:
    if n_positions < k:
        raise ValueError(f"expected at least {k} positions for {k} folds, got {n_positions}; try a smaller k")
    order = np.random.default_rng(seed).permutation(n_positions)
    folds = np.empty(n_positions, np.int32)
    folds[order] = (np.arange(n_positions) * k // n_positions).astype(np.int32)
    return folds


def _stratified(n_positions: int, k: int, labels: object) -> np.ndarray:
    if labels is None:
        raise ValueError('expected labels (T,) or (T, F) for scheme="stratified_contiguous", got None')
    labels = np.asarray(labels)
    if labels.ndim not in (1, 2) or labels.shape[0] != n_positions:
        raise ValueError(f"expected labels of shape ({n_positions},) or ({n_positions}, F), got {labels.shape}")
    if n_positions < k:
        raise ValueError(f"expected at least {k} positions for {k} folds, got {n_positions}; try a smaller k")
    if labels.ndim == 1:
        return _stratified_column(labels, k)
    return np.stack([_stratified_column(column, k) for column in labels.T], axis=1)


def _stratified_column(labels: np.ndarray, k: int) -> np.ndarray:
    """Deal each class's members to the folds in order, as StratifiedKFold(k, shuffle=False) does."""
    _, first, code = np.unique(labels, return_index=True, return_inverse=True)
    # StratifiedKFold numbers the classes by first appearance and gives fold j every k-th of the sorted codes.
    _, appearance = np.unique(first, return_inverse=True)
    code = appearance[code]
    counts = np.bincount(code)
    if counts.max() < k:
        raise ValueError(
            f"expected a class with at least {k} members for {k} folds, got at most {counts.max()}; try a smaller k"
        )
    in_order = np.sort(code)
    folds = np.empty(len(labels), np.int32)
    for klass in range(len(counts)):
        allocation = [np.count_nonzero(in_order[fold::k] == klass) for fold in range(k)]
        folds[code == klass] = np.repeat(np.arange(k, dtype=np.int32), allocation)
    return folds
