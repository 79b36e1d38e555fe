"""The tests. Their checker of types is imported first: ``--jaxtyping-packages`` needs it before any conftest."""

import tests.support.typechecker  # noqa: F401
