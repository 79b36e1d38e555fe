"""What a text is: strings, their codes, their parse trees. Languages make corpora; features and models read them."""

from dni_jax.corpora.corpus import SPLITS, Corpus
from dni_jax.corpora.pieces import PLACE, cut, parts, spans
from dni_jax.corpora.trees import NodeKind, ParseTrees
from dni_jax.corpora.vocabulary import Vocabulary, character_type

__all__ = [
    "PLACE",
    "SPLITS",
    "Corpus",
    "NodeKind",
    "ParseTrees",
    "Vocabulary",
    "character_type",
    "cut",
    "parts",
    "spans",
]
