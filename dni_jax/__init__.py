"""Which neurons of a recurrent network know X, how sure are we, and does the network use it?"""  # noqa: D400

from typing import TYPE_CHECKING

from dni_jax.lazy import import_on_use

if TYPE_CHECKING:
    from dni_jax import (
        app,
        devices,
        features,
        inspection,
        interventions,
        lab,
        languages,
        models,
        plot,
        probes,
        programs,
        text,
        verification,
    )
    from dni_jax.app.report import report
    from dni_jax.features import FeatureLibrary, Labels, char_feature, feature, regex_feature, trace
    from dni_jax.inspection import baselines, inspect, significance, top
    from dni_jax.interventions import ablate, clamp, clamp_to_labels, patch
    from dni_jax.lab.densities import plausibility
    from dni_jax.lab.repair import repair_head
    from dni_jax.languages import Language
    from dni_jax.models import (
        from_arrays,
        from_flax,
        from_keras,
        from_tokens,
        from_torch,
        generate,
        load,
        record,
        train,
        train_population,
    )
    from dni_jax.probes import make_folds, permutation_test, reference, score_neurons
    from dni_jax.text import Corpus
    from dni_jax.verification import verify

# Each name is imported when it is first used, so that `import dni_jax` takes no time.
_HOMES = {
    "dni_jax": (
        "app",
        "devices",
        "features",
        "inspection",
        "interventions",
        "lab",
        "languages",
        "models",
        "plot",
        "probes",
        "programs",
        "text",
        "verification",
    ),
    "dni_jax.app.report": ("report",),
    "dni_jax.features": ("FeatureLibrary", "Labels", "char_feature", "feature", "regex_feature", "trace"),
    "dni_jax.inspection": ("baselines", "inspect", "significance", "top"),
    "dni_jax.interventions": ("ablate", "clamp", "clamp_to_labels", "patch"),
    "dni_jax.lab.densities": ("plausibility",),
    "dni_jax.lab.repair": ("repair_head",),
    "dni_jax.languages": ("Language",),
    "dni_jax.models": (
        "from_arrays",
        "from_flax",
        "from_keras",
        "from_tokens",
        "from_torch",
        "generate",
        "load",
        "record",
        "train",
        "train_population",
    ),
    "dni_jax.probes": ("make_folds", "permutation_test", "reference", "score_neurons"),
    "dni_jax.text": ("Corpus",),
    "dni_jax.verification": ("verify",),
}
__all__ = [
    "Corpus",
    "FeatureLibrary",
    "Labels",
    "Language",
    "ablate",
    "app",
    "baselines",
    "char_feature",
    "clamp",
    "clamp_to_labels",
    "devices",
    "feature",
    "features",
    "from_arrays",
    "from_flax",
    "from_keras",
    "from_tokens",
    "from_torch",
    "generate",
    "inspect",
    "inspection",
    "interventions",
    "lab",
    "languages",
    "load",
    "make_folds",
    "models",
    "patch",
    "permutation_test",
    "plausibility",
    "plot",
    "probes",
    "programs",
    "record",
    "reference",
    "regex_feature",
    "repair_head",
    "report",
    "score_neurons",
    "significance",
    "text",
    "top",
    "trace",
    "train",
    "train_population",
    "verification",
    "verify",
]

__getattr__, __dir__ = import_on_use(__name__, {name: home for home, names in _HOMES.items() for name in names})
