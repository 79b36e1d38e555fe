"""Coverage and speed of labeling text: C source code, Python's library, sampled languages.

    python scripts/bench_languages.py --c linux.tar.xz --parts kernel lib mm    # each part of a tree of C files
    python scripts/bench_languages.py --c linux.tar.xz --characters 2000000     # one corpus, all features, memory
    python scripts/bench_languages.py --python --sampled --linear

Rates are characters per second of one core (processor time of this process, nothing cached) unless it says otherwise.
The cache is a temporary folder, so that a first run is a first run.
"""

import argparse
import os
import platform
import resource
import tempfile
import time

os.environ["DNI_JAX_CACHE"] = tempfile.mkdtemp(prefix="bench_languages_")

from dni_jax.languages import Language, clear_cache, get, load_c, load_text, standard_library_files
from dni_jax.languages.code import read_files


def clock(function):
    """Give a result, the seconds on the clock, and the processor's seconds in this process."""
    wall, used = time.perf_counter(), time.process_time()
    result = function()
    return result, time.perf_counter() - wall, time.process_time() - used


def memory() -> str:
    """The most memory this process, and the largest of its workers, ever held."""
    own, other = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return f"{own:,.0f} MiB (largest worker {other:,.0f} MiB)"


def bench_c_part(path: str, part: str) -> None:
    texts = [file.text for file in read_files(path, f"{part}/**/*.c", 0, None) if not file.error]
    language = get("c")
    _, _, used = clock(lambda: [language.try_parse(text) for text in texts])
    rate = sum(map(len, texts)) / used
    clear_cache()
    corpus, first, _ = clock(lambda: load_c(path, f"{part}/**/*.c"))
    _, second, _ = clock(lambda: load_c(path, f"{part}/**/*.c"))
    c = corpus.coverage
    print(
        f"{part}: {c['files']} files, {c['all_characters']:,} characters; functions {c['functions_parsed']:,} of "
        f"{c['functions']:,} ({c['functions_parsed'] / c['functions']:.2%}), their characters "
        f"{c['characters_parsed'] / c['characters']:.2%}, all characters "
        f"{c['all_characters_parsed'] / c['all_characters']:.2%} (dead branches {c['dead_characters']:,}); "
        f"{rate:,.0f} characters/s per core; load_c {first:.1f} s on all cores, from the cache {second:.1f} s"
    )
    for worst in c["worst"][:5]:
        print(f"  {worst['file']}: {worst['unparsed']} characters; {worst['problem'].splitlines()[:1]}")


def bench_c_corpus(path: str, characters: int) -> None:
    def whole():
        corpus = load_c(path, max_chars=characters)
        return corpus, get("c").features().label(corpus)

    clear_cache()
    (corpus, labels), seconds, _ = clock(whole)
    print(f"{corpus}: {len(labels.names)} features in {seconds:.1f} s, nothing cached; {memory()}")
    _, seconds, _ = clock(whole)
    print(f"  again, from the cache: {seconds:.1f} s")
    values, seconds, _ = clock(lambda: labels.values)
    print(f"  labels.values {values.shape} {values.dtype} in {seconds:.1f} s; {memory()}")


def bench_python() -> None:
    language, files = get("python"), standard_library_files()
    texts = [file.read_text(encoding="utf-8") for file in files]
    results, _, used = clock(lambda: [language.try_parse(text) for text in texts])
    parsed = sum(not result.error for result in results)
    rate = sum(map(len, texts)) / used
    _, first, _ = clock(lambda: load_text(language, files, skip_unparsable=True))
    _, second, _ = clock(lambda: load_text(language, files, skip_unparsable=True))
    print(
        f"python: {parsed} of {len(files)} files parse ({parsed / len(files):.1%}), {rate:,.0f} characters/s per core; "
        f"load_text {first:.1f} s on all cores, from the cache {second:.1f} s"
    )


def bench_sampled(name: str, n_strings: int = 20_000) -> None:
    language = get(name)
    library = language.features()
    language.sample(100, seed=1)
    corpus, _, sampling = clock(lambda: language.sample(n_strings, seed=0))
    library.label(corpus.head(1_000))
    labels, _, labeling = clock(lambda: library.label(corpus))
    print(
        f"{name}: {corpus.n_positions:,} characters sampled with trees at {corpus.n_positions / sampling:,.0f}/s, "
        f"{len(labels.names)} features labeled at {corpus.n_positions / labeling:,.0f}/s"
    )


def bench_linear() -> None:
    """Time one long repetition, and the best possible loss: both must be linear in the text."""
    from lark import Lark

    grammar = 'start: "[" N ("," N)* "]"\nN: /[0-9]+/'
    language, plain = Language.from_lark(grammar), Lark(grammar, parser="lalr")
    for count in (10_000, 20_000, 40_000, 80_000):
        text = "[" + ",".join(["7"] * count) + "]"
        _, _, ours = clock(lambda text=text: language.parse(text))
        _, _, lark = clock(lambda text=text: plain.parse(text))
        print(f"a list of {count:,} numbers: {ours:.2f} s, Lark alone {lark:.2f} s")
    for name in ("parentheses", "arithmetic", "c_expressions"):
        corpus = get(name).sample(2_000, seed=0)
        get(name).log_probability(corpus.strings[:10])
        _, _, seconds = clock(lambda name=name, corpus=corpus: get(name).ideal_cross_entropy(corpus))
        print(f"{name}: best possible loss at {corpus.n_positions / seconds:,.0f} characters/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--c", help="a folder or tar archive of C files")
    parser.add_argument("--parts", nargs="*", default=[], help="folders of it to measure one by one")
    parser.add_argument("--characters", type=int, help="measure one corpus of so many characters with all features")
    parser.add_argument("--python", action="store_true", help="Python's standard library")
    parser.add_argument("--sampled", action="store_true", help="parentheses and arithmetic")
    parser.add_argument("--linear", action="store_true", help="long repetitions, and the best possible loss")
    asked = parser.parse_args()
    if (asked.parts or asked.characters) and not asked.c:
        parser.error("--parts and --characters need --c PATH")
    cores = len(os.sched_getaffinity(0))
    print(f"{platform.processor() or platform.machine()}, {cores} cores, Python {platform.python_version()}")
    if asked.characters:
        bench_c_corpus(asked.c, asked.characters)
    for part in asked.parts:
        bench_c_part(asked.c, part)
    if asked.python:
        bench_python()
    if asked.sampled:
        bench_sampled("parentheses")
        bench_sampled("arithmetic")
    if asked.linear:
        bench_linear()


if __name__ == "__main__":
    main()
