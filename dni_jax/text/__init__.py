"""Text: strings, their codes and their parse trees. Languages make corpora; features and models read them."""

from dni_jax.text._corpus import SPLITS, Corpus, check_corpus, split_groups
from dni_jax.text._ragged import chunk_bounds, concatenate_ranges, exclusive_sum, offsets_from_lengths, row_ids
from dni_jax.text._segments import SOURCE_POSITION, Texts, iterate_chunks, join_segments, segment_corpus
from dni_jax.text._trees import BRACKETS, NodeKind, ParseTrees, concatenate_trees
from dni_jax.text._vocabulary import BOUNDARY, Vocabulary, character_type, to_code_points, to_string

__all__ = [
    "BOUNDARY",
    "BRACKETS",
    "SOURCE_POSITION",
    "SPLITS",
    "Corpus",
    "NodeKind",
    "ParseTrees",
    "Texts",
    "Vocabulary",
    "character_type",
    "check_corpus",
    "chunk_bounds",
    "concatenate_ranges",
    "concatenate_trees",
    "exclusive_sum",
    "iterate_chunks",
    "join_segments",
    "offsets_from_lengths",
    "row_ids",
    "segment_corpus",
    "split_groups",
    "to_code_points",
    "to_string",
]
