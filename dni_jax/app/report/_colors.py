"""Colors of the page: perceptually uniform diverging color maps, for light and dark pages."""

from __future__ import annotations

import math
from typing import NamedTuple

LEVELS = 15  # colors on either side of neutral

_COOL, _WARM = 252.0, 52.0  # hues in OKLCH: blue and orange, which color-blind readers can tell apart


class Theme(NamedTuple):
    """Lightness of the neutral color, and lightness and chroma of the two ends, in OKLCH."""

    neutral: float
    end: float
    chroma: float


THEMES = {"light": Theme(0.972, 0.62, 0.15), "dark": Theme(0.27, 0.76, 0.15)}


def diverging(theme: str) -> list[str]:
    """Return the ``2 * LEVELS + 1`` colors of a theme from the lowest level to the highest, as ``#rrggbb``.

    Lightness and chroma change in equal steps of OKLCH (Ottosson 2020) from the neutral middle to blue below and
    orange above, so that equal differences look equal.

    Examples
    --------
    >>> colors = diverging("light")
    >>> len(colors), colors[15]
    (31, '#f6f6f6')
    """
    neutral, end, chroma = THEMES[theme]
    colors = []
    for level in range(-LEVELS, LEVELS + 1):
        share = abs(level) / LEVELS
        lightness = neutral + (end - neutral) * share
        colors.append(_in_gamut(lightness, chroma * share, _WARM if level > 0 else _COOL))
    return colors


def ink(color: str) -> str:
    """Return black or white, whichever has more contrast on a color (by the relative luminance of WCAG 2)."""
    light = luminance(color)
    return "#000000" if (light + 0.05) ** 2 >= 1.05 * 0.05 else "#ffffff"


def luminance(color: str) -> float:
    """Return the relative luminance of ``#rrggbb``, from 0 to 1."""
    linear = [_linear(int(color[at : at + 2], 16) / 255) for at in (1, 3, 5)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _in_gamut(lightness: float, chroma: float, hue: float) -> str:
    """Return a color with as much of the chroma as sRGB can show."""
    while True:
        red, green, blue = _srgb(lightness, chroma, hue)
        if min(red, green, blue) >= -1e-4 and max(red, green, blue) <= 1 + 1e-4:
            return "#" + "".join(f"{round(255 * min(max(part, 0.0), 1.0)):02x}" for part in (red, green, blue))
        chroma *= 0.98


def _srgb(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    # Ottosson's inverse matrices: OKLab to cone responses, then to linear sRGB.
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _gamma(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _gamma(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _gamma(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def heat_css() -> str:
    """Return the style sheet: classes ``h0`` (lowest) to ``h30`` (highest), and variables ``--hN`` for charts."""
    rules = {theme: _variables(diverging(theme)) for theme in THEMES}
    classes = "".join(f".h{n}{{background-color:var(--h{n});color:var(--i{n})}}" for n in range(2 * LEVELS + 1))
    dark = f'@media (prefers-color-scheme:dark){{:root:not([data-theme="light"]){{{rules["dark"]}}}}}'
    return f':root{{{rules["light"]}}}{dark}:root[data-theme="dark"]{{{rules["dark"]}}}{classes}'


def _variables(colors: list[str]) -> str:
    return "".join(f"--h{n}:{color};--i{n}:{ink(color)};" for n, color in enumerate(colors))
