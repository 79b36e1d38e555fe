"""Features: labels for every character, from trees, characters, patterns, functions, procedures and predictors."""

from dni_jax.features._cache import compute_once
from dni_jax.features._controls import confounders, control_task, draw_control
from dni_jax.features._defaults import CHARACTER_CLASSES, default_library
from dni_jax.features._families import FAMILIES, feature_family
from dni_jax.features._feature import Feature, FeatureLibrary, Violation
from dni_jax.features._functions import char_feature, feature, regex_feature, symbol_feature
from dni_jax.features._labels import Labels, check_feature_name
from dni_jax.features._lazy import LazyLabels
from dni_jax.features._nodes import (
    depth_features,
    impulse_feature,
    nesting_feature,
    nesting_features,
    node_features,
    range_feature,
)
from dni_jax.features._predictors import CharacterWindow, predictor_feature
from dni_jax.features._trace import trace

__all__ = [
    "CHARACTER_CLASSES",
    "FAMILIES",
    "CharacterWindow",
    "Feature",
    "FeatureLibrary",
    "Labels",
    "LazyLabels",
    "Violation",
    "char_feature",
    "check_feature_name",
    "compute_once",
    "confounders",
    "control_task",
    "default_library",
    "depth_features",
    "draw_control",
    "feature",
    "feature_family",
    "impulse_feature",
    "nesting_feature",
    "nesting_features",
    "node_features",
    "predictor_feature",
    "range_feature",
    "regex_feature",
    "symbol_feature",
    "trace",
]
