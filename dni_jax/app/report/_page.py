"""``report.html``: one self-contained page about a run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dni_jax.app.report._analyses import (
    attribution_view,
    dimension_view,
    lags_view,
    monitor_view,
    posterior_view,
    programs_view,
    repair_view,
)
from dni_jax.app.report._colors import heat_css
from dni_jax.app.report._feature_table import describe, families, table_columns, table_rows
from dni_jax.app.report._page_data import page_data, safe_json
from dni_jax.app.report._run_files import RunFiles
from dni_jax.app.report._sentences import (
    counting_sentence,
    feature_sentences,
    headline,
    left_out_sentences,
    loss_sentence,
    main_findings,
    sample_sentence,
)
from dni_jax.app.report._verdicts import KNOWLEDGE, KNOWLEDGE_LABELS, USE, USE_LABELS, knowledge, use
from dni_jax.characters import display_name
from dni_jax.features import feature_family
from dni_jax.files import atomic_write
from dni_jax.models.cells import CELLS

NAME = "report.html"
_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = ("theme.js", "data.js", "charts.js", "text.js", "curves.js", "map.js", "table.js", "page.js")
_INTACT = "intact"
_RANDOM_SAMPLE = "random neurons set to 1"


def write_report(folder: str | Path) -> Path:
    """Write ``report.html`` into the folder of a run, from the files in that folder.

    The page is self-contained: it opens from disk and loads nothing from a network. A part whose file is missing
    (``effects.parquet``, ``samples.json``, ``training.csv``, ``dynamics.parquet``, ``excerpt.npz``, ``summary.json``)
    is replaced by a sentence that says so.

    Parameters
    ----------
    folder
        The folder of the run, with at least ``config.toml`` and ``relevance.parquet``.

    Returns
    -------
    The path of the page.

    Raises
    ------
    ValueError
        If a required file is missing, or a file cannot be read; names the file and the command that makes it.

    Examples
    --------
    >>> import tempfile
    >>> write_report(tempfile.mkdtemp())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: expected a file '...config.toml' to report on, got none: `dni run LANGUAGE` makes the folder of a run
    """
    run = RunFiles.read(folder)
    return write_page(run, run.path / NAME)


def write_page(run: RunFiles, path: Path) -> Path:
    """Write the page of a run to a file; it appears whole or not at all."""
    page = render("page.html.jinja", _SCRIPTS, **_context(run))
    with atomic_write(path) as temporary:
        temporary.write_bytes(page)
    return path


def render(template: str, scripts: tuple[str, ...], **context: Any) -> bytes:
    """Render a template with the style sheet and the scripts included; all other values are escaped."""
    environment = Environment(
        loader=FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = display_name
    style = (_ASSETS / "page.css").read_text(encoding="utf-8") + heat_css()
    body = "\n".join((_ASSETS / name).read_text(encoding="utf-8") for name in scripts)
    script = f'"use strict";(() => {{\n{body}}})();'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.get_template(template).render(
        style=Markup(style), script=Markup(script), script_hash=Markup(digest), **context
    )
    return page.encode("utf-8", "xmlcharrefreplace")


def _context(run: RunFiles) -> dict[str, Any]:
    features = [_feature(run, row) for row in run.findings]
    names = [str(row["feature"]) for row in run.findings]
    data = {"features": features, **page_data(run)}
    columns = table_columns(run)
    states, uses = set(map(knowledge, run.findings)), set(map(use, run.findings))
    further = {
        "attribution": attribution_view(run.attribution),
        "posterior": posterior_view(run.posterior, run.step_sizes, names),
        "dimension": dimension_view(run.dimension, names, run.relevance.sizes["neuron"]),
        "programs": programs_view(run.programs),
        "monitor": monitor_view(run.monitor),
        "lags": lags_view(run.lags),
        "repair": repair_view(run.repair),
    }
    return {
        "title": _title(run),
        "run": run,
        "lead": _lead(run),
        "tiles": _tiles(run),
        "groups": main_findings(run.findings),
        "headline": lambda row: headline(row, run.k, describe(str(row["feature"]))),
        "place": {name: at for at, name in enumerate(names)},
        "left_out": left_out_sentences(run.findings),
        "columns": columns,
        "rows": table_rows(run, columns),
        "families": families(names),
        "knowledge_shown": {state: label for state, label in KNOWLEDGE_LABELS.items() if state in states},
        "uses_shown": {state: label for state, label in USE_LABELS.items() if state in uses},
        "knowledge_meanings": KNOWLEDGE,
        "use_meanings": USE,
        "knowledge_labels": KNOWLEDGE_LABELS,
        "samples": _samples(run),
        "further": any(view is not None for view in further.values()),
        **further,
        "settings": _settings(run),
        "kept": len(data["neurons"]),
        "data": Markup(safe_json(data)),
    }


def _feature(run: RunFiles, row: dict[str, Any]) -> dict[str, Any]:
    name = str(row["feature"])
    return {
        "name": name,
        "shown": display_name(name),
        "meaning": describe(name),
        "family": feature_family(name),
        "kind": row["kind"],
        "knowledge": knowledge(row),
        "use": use(row),
        "best": row["neurons"],
        "sentences": feature_sentences(row, run.k, _random_sets(run)),
    }


def _random_sets(run: RunFiles) -> int:
    """Return the number of random sets of neurons that the best neurons were compared with."""
    return int(run.config.get("random_sets", 64))


def _title(run: RunFiles) -> str:
    if run.config.get("title"):
        return str(run.config["title"])
    if not run.stored:
        return f"What a network knows about {run.language}"
    cell = CELLS.get(str(run.config.get("cell")))
    return f"What {cell.title if cell else 'a network'} knows about {run.language}"


def _lead(run: RunFiles) -> list[str]:
    loss = [] if run.summary is None else [loss_sentence(run.summary, run.language)]
    return [*loss, counting_sentence(run.findings, run.k)]


def _tiles(run: RunFiles) -> list[tuple[str, str, str]]:
    """Return the numbers at the top of the page: value, what it is, and what to compare it with."""
    states = [knowledge(row) for row in run.findings]
    own = [at for at, state in enumerate(states) if state not in ("constant", "same")]
    tiles: list[tuple[str, str, str]] = []
    if run.summary is not None:
        reference = ""
        for name, words in (("unigram", "symbol frequencies alone"), ("ideal", "best possible")):
            if run.summary.get(name) is not None:
                reference = f"{words}: {run.summary[name]:.4f}"
        tiles.append((f"{run.summary['loss']:.4f}", "loss on unseen text, nats per symbol", reference))
    tiles.append(
        (
            f"{states.count('known')} of {len(own)}",
            "features known to a single neuron",
            "beyond an echo of the current character",
        )
    )
    used = [at for at in own if use(run.findings[at]) == "used"]
    if run.effects is not None:
        tiles.append(
            (
                f"{len(used)} of {len(own)}",
                "features whose best neurons are used",
                f"compared with {_random_sets(run)} random sets each",
            )
        )
    tiles.append((str(run.relevance.sizes["neuron"]), "neurons", _network(run)))
    if run.summary is not None and run.summary.get("positions"):
        folds = run.relevance.sizes["fold"]
        tiles.append((f"{run.summary['positions']:,}", "unseen characters inspected", f"{folds}-fold cross-validation"))
    return tiles


def _network(run: RunFiles) -> str:
    if not run.stored:
        return ""
    layers = int(run.config.get("layers", 1))
    return f"{run.config.get('cell', 'network')}, {layers} layer{'' if layers == 1 else 's'}"


def _settings(run: RunFiles) -> dict[str, str]:
    """Return the settings of the run, by name."""
    shown = {name: str(value) for name, value in run.config.items() if value not in ((), [], "")}
    repetitions = "null_repetitions"
    if repetitions in run.relevance:
        shown["null repetitions"] = str(int(run.relevance[repetitions].max()))
    return shown


def _samples(run: RunFiles) -> list[dict[str, Any]]:
    if run.samples is None:
        return []
    cards = sample_cards(run.samples)
    intact, random = run.samples.get(_INTACT), run.samples.get(_RANDOM_SAMPLE)
    for card in cards:
        compared = intact is not None and card["name"] not in (_INTACT, _RANDOM_SAMPLE)
        card["sentence"] = sample_sentence(run.samples[card["name"]], intact, random) if compared and intact else ""
    return cards


class Bar(NamedTuple):
    """A share drawn as a bar: name, formatted share, and in percent the share and that of the intact network."""

    name: str
    text: str
    width: float
    intact: float | None


def sample_cards(samples: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one card for each intervention: name, title, neurons, measures, shares of classes, depths and texts."""
    return [_card(name, sample, samples.get(_INTACT)) for name, sample in samples.items()]


def _card(name: str, sample: Mapping[str, Any], intact: Mapping[str, Any] | None) -> dict[str, Any]:
    reference: Mapping[str, Any] = {} if intact is None or name == _INTACT else intact
    classes = dict.fromkeys([*sorted((intact or sample)["shares"]), *sorted(sample["shares"])])

    def intact_share(part: str, at: Any) -> float | None:
        if not reference:
            return None
        return _at(reference[part], at) if part == "depths" else float(reference[part].get(at, 0.0))

    return {
        "name": name,
        "title": "without intervention" if name == _INTACT else name,
        "neurons": sample.get("neurons") or [],
        "measures": _measures(sample),
        "shares": [_bar(one, sample["shares"].get(one, 0.0), intact_share("shares", one)) for one in classes],
        "depths": [
            _bar(str(depth), share, intact_share("depths", depth)) for depth, share in enumerate(sample["depths"])
        ],
        "texts": sample["texts"],
    }


def _bar(name: str, share: float, intact: float | None) -> Bar:
    return Bar(name, f"{share:.1%}", round(100 * share, 1), None if intact is None else round(100 * intact, 1))


def _at(values: Sequence[float], place: int) -> float:
    return values[place] if place < len(values) else 0.0


def _measures(sample: Mapping[str, Any]) -> list[tuple[str, str]]:
    measures = [("characters", f"{sample['characters']:,}"), ("whole strings", f"{sample['strings']:,}")]
    for name, words in (("parses", "strings that parse"), ("matched", "brackets with a partner")):
        value = sample.get(name)
        measures.append((words, "-" if value is None else f"{value:.1%}"))
    return measures
