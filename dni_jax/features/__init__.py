"""Labels for every character: features from trees, characters and functions, and libraries of them."""

from dni_jax.features._choosing import check_feature_name
from dni_jax.features._confounders import confounders
from dni_jax.features._control import control_task
from dni_jax.features._feature import Feature, FeatureLibrary
from dni_jax.features._functions import char_feature, feature
from dni_jax.features._joining import runs
from dni_jax.features._labels import Labels
from dni_jax.features._lazy import LazyLabels
from dni_jax.features._library import default_library, symbol_feature
from dni_jax.features._nodes import (
    BRACKETS,
    depth_features,
    impulse_feature,
    nesting_feature,
    nesting_features,
    node_features,
    range_feature,
)
from dni_jax.features._patterns import regex_feature
from dni_jax.features._predictors import CharacterWindow, predictor_feature
from dni_jax.features._reading import compute_once
from dni_jax.features._trace import trace
from dni_jax.features._violation import Violation

__all__ = [
    "BRACKETS",
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
    "feature",
    "impulse_feature",
    "nesting_feature",
    "nesting_features",
    "node_features",
    "predictor_feature",
    "range_feature",
    "regex_feature",
    "runs",
    "symbol_feature",
    "trace",
]
