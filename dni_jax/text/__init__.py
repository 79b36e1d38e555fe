"""What a text is: strings, their codes, their parse trees. Languages make corpora; features and models read them."""

from dni_jax.text._corpus import SPLITS, Corpus, split_groups
from dni_jax.text._segments import PLACE, cut, parts, spans
from dni_jax.text._trees import NodeKind, ParseTrees, concatenate, concatenated_ranges
from dni_jax.text._vocabulary import BOUNDARY, Vocabulary, character_type, to_string

__all__ = [
    "BOUNDARY",
    "PLACE",
    "SPLITS",
    "Corpus",
    "NodeKind",
    "ParseTrees",
    "Vocabulary",
    "character_type",
    "concatenate",
    "concatenated_ranges",
    "cut",
    "parts",
    "spans",
    "split_groups",
    "to_string",
]
