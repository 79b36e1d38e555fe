"""The commands that ask: what a network writes, what labels look like, what there is, how fast it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from rich.markup import escape
from tyro.conf import Positional, arg

from dni_jax.app.cli._output import Output, speaking
from dni_jax.app.cli._stages import Run, use_compiled


def generate(
    run: Run,
    feature: str | None = None,
    k: int = 10,
    neurons: tuple[int, ...] = (),
    value: float = 1.0,
    n: int = 4,
    length: int = 200,
    prime: str = "",
    temperature: float = 1.0,
    seed: int = 0,
    output: Output = Output(),  # noqa: B008
) -> None:
    """Let a run's network write, left alone or with neurons held at a value; measure what it writes.

    Examples
    --------
        dni generate runs/parentheses
        dni generate runs/parentheses --feature digit --k 5
        dni generate runs/parentheses --neurons 3 17 --value -1 --json

    Args:
        run: The run's folder, in which a network was trained.
        feature: Hold the best neurons of this feature.
        k: How many of them.
        neurons: Hold these instead.
        value: At this value; an LSTM's states lie between -1 and 1.
        n: Number of texts.
        length: Characters of each.
        prime: What the network reads before it writes.
        temperature: Below 1 the likely becomes likelier.
        seed: Decides what is drawn.
        output: How to speak.
    """
    if feature is not None and neurons:
        raise ValueError(f"expected --feature or --neurons, got both: {feature} and {list(neurons)}")
    if k < 1:
        raise ValueError(f"expected k of at least 1, got {k}")
    use_compiled()
    import dni_jax as dni
    from dni_jax.app.pipeline import BY, Job, relevance_before

    with speaking(output) as voice:
        job = Job.of(run, voice.say)
        chosen = list(neurons)
        if feature is not None:
            chosen = dni.top(relevance_before(job), feature, k=k, by=BY)["neuron"].tolist()
        held = dni.clamp(chosen, value) if chosen else None
        if held is not None:
            voice.say(f"neurons {' '.join(map(str, chosen))} held at {value:g}")
        texts = dni.generate(job.model, n, length, seed, intervention=held, temperature=temperature, prime=prime)
        measures = dni.verification.measure_texts(texts, job.model.vocabulary.boundary_text, job.language)
        shares = ", ".join(f"{name} {share:.0%}" for name, share in measures.shares.items())
        about = f"matched brackets {measures.matched:.1%}, whole strings that parse {measures.parses:.1%}; {shares}"
        rows = [line for text in texts for line in (escape(text), "")]
        voice.show({"neurons": chosen, "value": value, "texts": texts, "measures": asdict(measures)}, *rows, about)


def label(
    language: Positional[Annotated[str, arg(metavar="LANGUAGE")]],
    text: Positional[Annotated[str, arg(metavar="TEXT")]],
    grammar: str | None = None,
    start: str = "start",
    features: tuple[str, ...] = (),
    width: int = 100,
    parser_states: bool = False,
    out: Path | None = None,
    output: Output = Output(),  # noqa: B008
) -> None:
    """Show the labels of a text, one row a feature: Figure 1 of Lin & Wu 2017.

    Examples
    --------
        dni label parentheses '0(1((3(44))2))'
        dni label c 'int f(int x) { return x + 1; }' --features 'range:*' depth
        dni label json '{"a": [1, 2]}' --grammar examples/json.lark --start value --out labels.png

    Args:
        language: A built-in language (`dni languages` lists them), or with --grammar any name.
        text: What to label; - reads standard input.
        grammar: A Lark grammar of your own.
        start: The grammar's start rule.
        features: Names or patterns of features; by default those that are on somewhere.
        width: Characters to show.
        parser_states: Show a shift-reduce parser's states as well.
        out: Draw a figure (PNG) there instead.
        output: How to speak.
    """
    import sys

    from dni_jax.app.config import RunConfig
    from dni_jax.app.report import save
    from dni_jax.app.texts import language_of, library_of
    from dni_jax.plot import labelling_figure, labelling_text

    named = language if grammar is None else RunConfig.language
    config = RunConfig(named, grammar=grammar, start=start, parser_states=parser_states)
    spoken = language_of(config)
    read = sys.stdin.read() if text == "-" else text
    corpus = spoken.corpus([read])
    if parser_states:
        corpus = spoken.add_parser_states(corpus)
    labels = library_of(config, spoken).label(corpus)
    chosen = list(dict.fromkeys(name for pattern in features for name in labels.select(pattern).names)) or None
    with speaking(output) as voice:
        if out is not None:
            save(labelling_figure(labels, corpus, string=0, width=width, features=chosen), out)
            voice.show({"figure": out}, f"Figure: {out}")
            return
        some = labels if chosen is None else labels.select(chosen)
        rows = {name: column.tolist() for name, column in zip(some.names, some.columns, strict=True)}
        shown = labelling_text(labels, corpus, string=0, width=width, features=chosen)
        voice.show({"text": read, "labels": rows}, shown)


def languages(output: Output = Output()) -> None:  # noqa: B008
    """List the built-in languages.

    Examples
    --------
        dni languages
        dni languages --json

    Args:
        output: How to speak.
    """
    from dni_jax import languages as built_in

    about = {name: built_in.about(name) for name in built_in.names()}
    with speaking(output) as voice:
        voice.show(about, "\n".join(f"{name:14}{words}" for name, words in about.items()))


def bench(
    positions: int = 20_000,
    neurons: int = 128,
    features: int = 50,
    folds: int = 20,
    probe: Literal["svm", "linear_svc", "logistic", "ridge"] = "svm",
    repeats: int = 3,
    output: Output = Output(),  # noqa: B008
) -> None:
    """Measure how fast this machine probes, beside scikit-learn, and how fast the network learns, reads and writes.

    Examples
    --------
        dni bench
        dni bench --positions 100000 --neurons 512 --probe logistic --json

    Args:
        positions: Characters.
        neurons: Neurons that are scored, and of the network.
        features: Features.
        folds: Folds of the cross-validation.
        probe: Which probe.
        repeats: How often each is timed; ours and scikit-learn's take turns.
        output: How to speak.
    """
    from dni_jax.app.benchmark import Grid, measure
    from dni_jax.app.cli._tables import rates_table

    use_compiled()
    with speaking(output) as voice:
        rates = measure(Grid(positions, neurons, features, folds, probe), repeats, voice.say)
        voice.show({"rates": [asdict(rate) for rate in rates]}, rates_table(rates))


COMMANDS: dict[str, Callable[..., None]] = {
    "generate": generate,
    "label": label,
    "languages": languages,
    "bench": bench,
}
