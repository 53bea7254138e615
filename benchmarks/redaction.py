"""What `ner redact --coverage` promises, and what it keeps on test sentences.

    python benchmarks/redaction.py models/conll2003 configs/conll2003.yaml --spacy pipeline

Compares with the spans of the best path above a threshold, chosen on the same development sentences
by the same bound, and with spaCy's own `ner` if a trained pipeline is given. Also reports the
expected calibration error of spans before and after the temperature is fitted.
"""

import argparse
from dataclasses import replace

import numpy as np

from ner.analysis.calibration import Lattices, calibration_errors, fit_temperature
from ner.errors import ConfigError
from ner.evaluation.pairs import pair_up
from ner.inference.decoding import VITERBI, Decoding
from ner.redaction.promise import (
    LEVEL,
    OperatingPoint,
    bounds,
    design_effect,
    operating_points,
    promising,
    redacting,
    token_counts,
)
from ner.tagger import load
from ner.training import read_settings
from ner.training.corpora import read_corpora

THRESHOLDS = np.linspace(0.95, 0.0, 20)


def measured(sentences, units, found):
    """Return coverage, its bounds and precision of predicted spans."""
    counts = np.array([token_counts(pair) for pair in pair_up(sentences, found)], float)
    numbers = np.unique(units, return_inverse=True)[1]
    totals, missed = (
        np.bincount(numbers, own) for own in (counts[:, 0], counts[:, 0] - counts[:, 1])
    )
    ends = bounds(missed.sum(), totals.sum(), design_effect(totals, [missed]))
    covered, hidden = counts[:, 1].sum(), counts[:, 2].sum()
    return 1 - missed.sum() / totals.sum(), ends, covered / max(hidden, 1)


def above(found, least):
    """Keep the spans above a threshold."""
    return [tuple(span for span in own if span.score >= least) for own in found]


def by_threshold(development, test, wanted):
    """Return the test figures of the highest threshold that promises a coverage, or of none."""
    for least in THRESHOLDS:
        _, (lower, _), _ = measured(*development[:2], above(development[2], least))
        if lower >= wanted or least == 0.0:
            promised = lower if lower >= wanted else None
            return promised, measured(*test[:2], above(test[2], least))
    raise AssertionError


def of_spacy(path, sentences):
    """Return the entities that a pipeline finds in documents with the tokens of sentences."""
    import spacy
    from spacy.tokens import Doc

    from ner.sentence import Span

    nlp = spacy.load(path)
    docs = nlp.pipe(Doc(nlp.vocab, words=list(s.tokens)) for s in sentences)
    return [tuple(Span(e.start, e.end, e.label_, 1.0) for e in doc.ents) for doc in docs]


def say(name, promised, figures):
    """Print a row of the table."""
    share, (low, high), precision = figures
    promise = "-" if promised is None else f"{100 * promised:.2f}"
    print(
        f"| {name} | {promise} | {100 * share:.2f} ({100 * low:.2f} to {100 * high:.2f}) "
        f"| {100 * precision:.2f} |",
        flush=True,
    )


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("config")
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    parser.add_argument("--coverage", type=float, nargs="+", default=[0.95, 0.98, 0.99])
    parser.add_argument("--spacy", metavar="PIPELINE", help="a pipeline trained on the same data")
    given = parser.parse_args()
    corpora = read_corpora(read_settings(given.config, given.assignments).data, 1)
    network = load(given.model).network
    temperature = fit_temperature(network, corpora.development)
    development, test = (Lattices(network, s) for s in (corpora.development, corpora.test))
    plain = Decoding(temperature=temperature)
    points = operating_points(development, plain)
    paths = [(own.sentences, own.units, own.predict(plain)) for own in (development, test)]
    print(f"intervals: {100 * LEVEL:.0f} % on each side")
    print("| system | promised | test: entity tokens covered | precision |\n|---|---|---|---|")
    say("best path", points[0].lower, measured(*paths[1]))
    for wanted in given.coverage:
        try:
            point: OperatingPoint = promising(points, wanted)
        except ConfigError:
            print(f"| --coverage {wanted} | cannot be promised | | |")
        else:
            found = test.predict(redacting(plain, point.miss_cost))
            say(f"--coverage {wanted}", point.lower, measured(*paths[1][:2], found))
        promised, figures = by_threshold(*paths, wanted)
        say(f"threshold on the best path for {wanted}", promised, figures)
    if given.spacy:
        say("spaCy's ner", None, measured(*paths[1][:2], of_spacy(given.spacy, corpora.test)))
    before, after = (
        calibration_errors(corpora.test, test.predict(replace(VITERBI, temperature=one)))["all"]
        for one in (1.0, temperature)
    )
    print(
        f"calibration error on test: {100 * before:.2f} at temperature 1, {100 * after:.2f} at "
        f"{temperature:.2f}"
    )


if __name__ == "__main__":
    main()
