"""How draws are made, as one frozen object."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from dni_jax.lab.posterior._samplers import SAMPLERS

SCHEDULES = ("constant", "polynomial", "cyclical")
_OURS = ("step_size", "key", "temperature")  # a sampler's arguments that a plan decides


@dataclass(frozen=True)
class SamplerConfig:
    """Everything about a chain but its start, its step size and its seed; see `dni_jax.lab.posterior`.

    Attributes
    ----------
    sampler, n_draws, thin, burn_in, schedule, length, prior_sd, temperature, batch, window
        As there.
    options
        Further arguments of the sampler.
    """

    sampler: str = "psgld"
    n_draws: int = 20
    thin: int = 50
    burn_in: int = 100
    schedule: str = "constant"
    length: int = 100
    prior_sd: float = 1.0
    temperature: float = 1.0
    batch: int = 32
    window: int = 64
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.sampler not in SAMPLERS:
            raise ValueError(f"expected a sampler among {', '.join(SAMPLERS)}, got {self.sampler!r}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"expected a schedule among {', '.join(SCHEDULES)}, got {self.schedule!r}")
        for name, least in {"n_draws": 2, "thin": 1, "burn_in": 0, "length": 1, "batch": 1, "window": 1}.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"expected {name} of at least {least}, got {getattr(self, name)}")
        if not self.prior_sd > 0 or not self.temperature >= 0:
            raise ValueError(
                "expected a prior_sd above 0 and a temperature of at least 0, "
                f"got {self.prior_sd} and {self.temperature}"
            )
        known = set(inspect.signature(SAMPLERS[self.sampler]).parameters) - set(_OURS)
        unknown = set(self.options) - known
        if unknown:
            raise ValueError(
                f"expected further arguments of {self.sampler} among {', '.join(sorted(known)) or 'none'}, "
                f"got {', '.join(sorted(unknown))}"
            )

    @classmethod
    def from_settings(cls, sampler: str, settings: Mapping[str, Any]) -> SamplerConfig:
        """Give the plan of some settings, in which the sampler's own arguments stand beside the others."""
        own = {each.name for each in fields(cls)} - {"sampler", "options"}
        mine = {name: value for name, value in settings.items() if name in own}
        rest = {name: value for name, value in settings.items() if name not in own}
        return cls(sampler, **mine, options=rest)

    @property
    def steps(self) -> int:
        """All steps of the chain."""
        return self.burn_in + self.n_draws * self.thin

    @property
    def settings(self) -> dict[str, Any]:
        """All settings by name."""
        flat = asdict(self)
        return {**{name: value for name, value in flat.items() if name != "options"}, **flat["options"]}
