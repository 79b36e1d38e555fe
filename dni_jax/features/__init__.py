"""Labels for every character: features from trees, characters and functions, and libraries of them."""

from dni_jax.features.feature import Feature, FeatureLibrary
from dni_jax.features.functions import char_feature, feature
from dni_jax.features.labels import Labels
from dni_jax.features.library import default_library
from dni_jax.features.nodes import impulse_feature, nesting_feature, range_feature

__all__ = [
    "Feature",
    "FeatureLibrary",
    "Labels",
    "char_feature",
    "default_library",
    "feature",
    "impulse_feature",
    "nesting_feature",
    "range_feature",
]
