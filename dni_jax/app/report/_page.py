"""``report.html``: one page that holds all of a run and needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dni_jax.app.report._analysed import attribution_view, dimension_view, posterior_view, repair_view
from dni_jax.app.report._colours import heat_css
from dni_jax.app.report._columns import columns_of, rows_of
from dni_jax.app.report._naming import families, family, meaning
from dni_jax.app.report._payload import page_data, safe_json
from dni_jax.app.report._runfiles import RunFiles
from dni_jax.app.report._samples import INTACT, sample_cards
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
from dni_jax.files import atomic_write

NAME = "report.html"
_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = ("theme.js", "data.js", "charts.js", "text.js", "curves.js", "map.js", "table.js", "page.js")
_RANDOM_SAMPLE = "random neurons set to 1"


def write_report(folder: str | Path) -> Path:
    """Write ``report.html`` into a run's folder from the files that are there.

    The page holds everything it shows: it opens from disk and asks no network for anything. Parts whose file is
    missing (``effects.parquet``, ``samples.json``, ``training.csv``, ``dynamics.parquet``, ``excerpt.npz``,
    ``summary.json``) are left out, with a word that says so.

    Parameters
    ----------
    folder
        The run's folder; ``config.toml`` and ``relevance.parquet`` must be there.

    Returns
    -------
    The page's path.

    Raises
    ------
    ValueError
        Where a necessary file is missing, or one cannot be read; names it and the command that makes it.

    Examples
    --------
    >>> import tempfile
    >>> write_report(tempfile.mkdtemp())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: expected a file '...config.toml' to report on, got none: `dni run LANGUAGE` makes a run's folder
    """
    run = RunFiles.read(folder)
    path = run.path / NAME
    page = rendered("page.html.jinja", _SCRIPTS, **_context(run))
    with atomic_write(path) as aside:
        aside.write_bytes(page)
    return path


def rendered(template: str, scripts: tuple[str, ...], **context: Any) -> bytes:
    """Render a template with the style sheet and scripts inside it; everything else is escaped."""
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
    columns = columns_of(run)
    further = {
        "attribution": attribution_view(run.attribution),
        "posterior": posterior_view(run.posterior, run.step_sizes, names),
        "dimension": dimension_view(run.dimension, names, run.relevance.sizes["neuron"]),
        "repair": repair_view(run.repair),
    }
    return {
        "title": _title(run),
        "run": run,
        "lead": _lead(run),
        "tiles": _tiles(run),
        "groups": main_findings(run.findings),
        "headline": lambda row: headline(row, run.k, meaning(str(row["feature"]))),
        "place": {name: at for at, name in enumerate(names)},
        "left_out": left_out_sentences(run.findings),
        "columns": columns,
        "rows": rows_of(run, columns),
        "families": families(names),
        "knowledge": {state: KNOWLEDGE_LABELS[state] for state in dict.fromkeys(map(knowledge, run.findings))},
        "uses": {state: USE_LABELS[state] for state in dict.fromkeys(map(use, run.findings))},
        "knowledge_words": KNOWLEDGE,
        "use_words": USE,
        "labels": KNOWLEDGE_LABELS,
        "samples": _samples(run),
        "further": any(view is not None for view in further.values()),
        **further,
        "settings": settings(run),
        "kept": len(data["neurons"]),
        "data": Markup(safe_json(data)),
    }


def _feature(run: RunFiles, row: dict[str, Any]) -> dict[str, Any]:
    name = str(row["feature"])
    return {
        "name": name,
        "shown": display_name(name),
        "meaning": meaning(name),
        "family": family(name),
        "kind": row["kind"],
        "knowledge": knowledge(row),
        "use": use(row),
        "best": row["neurons"],
        "sentences": feature_sentences(row, run.k, random_sets(run)),
    }


def random_sets(run: RunFiles) -> int:
    """How many random sets of neurons the run compared with."""
    return int(run.config.get("random_sets", 64))


def _title(run: RunFiles) -> str:
    cell = str(run.config.get("cell", "network")).upper()
    return f"What {'an' if cell[:1] in 'AEFHILMNORSX' else 'a'} {cell} knows about {run.language}"


def _lead(run: RunFiles) -> list[str]:
    said = [] if run.summary is None else [loss_sentence(run.summary, run.language)]
    return [*said, counting_sentence(run.findings, run.k)]


def _tiles(run: RunFiles) -> list[tuple[str, str, str]]:
    """The numbers on top: value, what it is, and what it is beside."""
    states = [knowledge(row) for row in run.findings]
    own = [at for at, state in enumerate(states) if state not in ("constant", "same")]
    tiles: list[tuple[str, str, str]] = []
    if run.summary is not None:
        beside = ""
        for name, words in (("unigram", "symbols' frequencies alone"), ("ideal", "best possible")):
            if run.summary.get(name) is not None:
                beside = f"{words}: {run.summary[name]:.4f}"
        tiles.append((f"{run.summary['loss']:.4f}", "nats a symbol, loss on unseen text", beside))
    tiles.append(
        (f"{states.count('known')} of {len(own)}", "features known to one neuron", "beyond an echo of the input")
    )
    used = [at for at in own if use(run.findings[at]) == "used"]
    if run.effects is not None:
        tiles.append(
            (
                str(len(used)) + f" of {len(own)}",
                "features whose neurons are used",
                f"against {random_sets(run)} random sets each",
            )
        )
    tiles.append((str(run.relevance.sizes["neuron"]), "neurons", _network(run)))
    if run.summary is not None and run.summary.get("positions"):
        folds = run.relevance.sizes["fold"]
        tiles.append((f"{run.summary['positions']:,}", "unseen characters inspected", f"{folds}-fold cross-validation"))
    return tiles


def _network(run: RunFiles) -> str:
    layers = int(run.config.get("layers", 1))
    return f"{run.config.get('cell', 'network')}, {layers} layer{'' if layers == 1 else 's'}"


def settings(run: RunFiles) -> dict[str, str]:
    """What was asked, for the table of settings."""
    shown = {name: str(value) for name, value in run.config.items() if value not in ((), [])}
    repetitions = "null_repetitions"
    if repetitions in run.relevance:
        shown["null repetitions"] = str(int(run.relevance[repetitions].max()))
    return shown


def _samples(run: RunFiles) -> list[dict[str, Any]]:
    if run.samples is None:
        return []
    cards = sample_cards(run.samples)
    intact, random = run.samples.get(INTACT), run.samples.get(_RANDOM_SAMPLE)
    for card in cards:
        told = intact is not None and card["name"] not in (INTACT, _RANDOM_SAMPLE)
        card["sentence"] = sample_sentence(run.samples[card["name"]], intact, random) if told and intact else ""
    return cards
