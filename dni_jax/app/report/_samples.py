"""What the network wrote, made ready for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

INTACT = "intact"


class Bar(NamedTuple):
    """A share as a bar: its name, how it is written, its width and that of the network left alone, in percent."""

    name: str
    written: str
    width: float
    intact: float | None


def sample_cards(samples: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give one card an override: its name, title, neurons, measures in words, shares of classes, depths and texts."""
    return [_card(name, sample, samples.get(INTACT)) for name, sample in samples.items()]


def _card(name: str, sample: Mapping[str, Any], intact: Mapping[str, Any] | None) -> dict[str, Any]:
    beside: Mapping[str, Any] = {} if intact is None or name == INTACT else intact
    classes = dict.fromkeys([*sorted((intact or sample)["shares"]), *sorted(sample["shares"])])

    def before(part: str, at: Any) -> float | None:
        """A share of the network left alone, beside another's."""
        if not beside:
            return None
        return _at(beside[part], at) if part == "depths" else float(beside[part].get(at, 0.0))

    return {
        "name": name,
        "title": "left alone" if name == INTACT else name,
        "neurons": sample.get("neurons") or [],
        "measures": _measures(sample),
        "shares": [_bar(one, sample["shares"].get(one, 0.0), before("shares", one)) for one in classes],
        "depths": [_bar(str(depth), share, before("depths", depth)) for depth, share in enumerate(sample["depths"])],
        "texts": sample["texts"],
    }


def _bar(name: str, share: float, intact: float | None) -> Bar:
    return Bar(name, f"{share:.1%}", round(100 * share, 1), None if intact is None else round(100 * intact, 1))


def _at(values: Sequence[float], place: int) -> float:
    return values[place] if place < len(values) else 0.0


def _measures(sample: Mapping[str, Any]) -> list[tuple[str, str]]:
    shown = [("characters", f"{sample['characters']:,}"), ("whole strings", f"{sample['strings']:,}")]
    for name, words in (("parses", "strings that parse"), ("matched", "brackets with a partner")):
        value = sample.get(name)
        shown.append((words, "-" if value is None else f"{value:.1%}"))
    return shown
