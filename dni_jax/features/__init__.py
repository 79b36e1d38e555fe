"""Labels for every character: features from trees, characters and functions, and libraries of them."""

from dni_jax.features.confounders import confounders
from dni_jax.features.control import control_task
from dni_jax.features.feature import Feature, FeatureLibrary
from dni_jax.features.functions import char_feature, feature
from dni_jax.features.labels import Labels
from dni_jax.features.lazy import LazyLabels
from dni_jax.features.library import default_library
from dni_jax.features.nodes import impulse_feature, nesting_feature, range_feature
from dni_jax.features.patterns import regex_feature
from dni_jax.features.predictors import CharacterWindow, predictor_feature
from dni_jax.features.trace import trace
from dni_jax.features.violation import Violation

__all__ = [
    "CharacterWindow",
    "Feature",
    "FeatureLibrary",
    "Labels",
    "LazyLabels",
    "Violation",
    "char_feature",
    "confounders",
    "control_task",
    "default_library",
    "feature",
    "impulse_feature",
    "nesting_feature",
    "predictor_feature",
    "range_feature",
    "regex_feature",
    "trace",
]
