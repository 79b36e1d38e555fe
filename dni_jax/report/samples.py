"""What the network wrote, made ready for a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_INTACT = "intact"


def sample_cards(samples: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give one card an override: its name, title, neurons, measures in words, shares of classes, depths and texts."""
    return [_card(name, sample) for name, sample in samples.items()]


def _card(name: str, sample: Mapping[str, Any]) -> dict[str, Any]:
    shares = sorted(sample["shares"].items(), key=lambda pair: -pair[1])
    return {
        "name": name,
        "title": "left alone" if name == _INTACT else name,
        "neurons": sample.get("neurons") or [],
        "measures": _measures(sample),
        "shares": [(kind, f"{share:.1%}", round(100 * share, 1)) for kind, share in shares],
        "depths": [(depth, f"{share:.1%}", round(100 * share, 1)) for depth, share in enumerate(sample["depths"])],
        "texts": sample["texts"],
    }


def _measures(sample: Mapping[str, Any]) -> list[tuple[str, str]]:
    shown = [("characters", f"{sample['characters']:,}"), ("whole strings", f"{sample['strings']:,}")]
    for name, words in (("parses", "whole strings that parse"), ("matched", "brackets with a partner")):
        value = sample.get(name)
        shown.append((words, "-" if value is None else f"{value:.1%}"))
    return shown
