"""Redaction hides what is found, keeps offsets, leaks no text, and keeps its promise."""

import json

import numpy as np
import pytest
from training_runs import config

import ner
from ner.cli import main
from ner.config import dump
from ner.errors import ConfigError
from ner.evaluation.pairs import pair_up
from ner.redaction import Redactor, Replacer, compiled, gazetteer, joined, read_patterns
from ner.redaction.promise import (
    LEVEL,
    OperatingPoint,
    bounds,
    coverage,
    design_effect,
    promising,
)
from ner.sample import path as sample_path
from ner.sentence import Sentence, Span, in_document
from ner.streaming.tokenizers import text_tokenizer

TEXT = "Ada Obi met Ada  Obi and Grace in Accra."


def tagged(sentences):
    names = {"Ada": "PER", "Grace": "PER", "Accra": "LOC"}
    found = []
    for sentence in sentences:
        spans = []
        for at, token in enumerate(sentence.tokens):
            if token in names:
                spans.append(Span(at, at + 1 + (token == "Ada"), names[token], 0.9))
        found.append(tuple(spans))
    return found


def redactor(way="label", patterns=(), key=b""):
    return Redactor(tagged, text_tokenizer("builtin"), Replacer(way, key), patterns)


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("label", "[PER] met [PER] and [PER] in [LOC]."),
        ("pseudonym", "[PER-1] met [PER-1] and [PER-2] in [LOC-1]."),
        ("mask", "███ ███ met ███  ███ and █████ in █████."),
    ],
)
def test_entities_are_replaced_the_same_in_a_document(way, expected):
    (found,) = redactor(way).redact([TEXT])
    assert found.text == expected
    assert [TEXT[one.start : one.end] for one in found.hidden] == [
        "Ada Obi",
        "Ada  Obi",
        "Grace",
        "Accra",
    ]
    assert found.counts() == {"PER": 3, "LOC": 1}


def test_hashes_are_keyed_and_pseudonyms_end_with_the_document():
    (one,), (other,) = (redactor("hash", key=key).redact([TEXT]) for key in (b"a", b"b"))
    assert one.text != other.text
    assert one == redactor("hash", key=b"a").redact([TEXT])[0]
    with pytest.raises(ConfigError, match="key"):
        Replacer("hash")
    own = redactor("pseudonym")
    assert own.redact(["Grace left"])[0].text == own.redact(["Grace left"])[0].text
    own.redact(["Ada Obi left"])
    own.new_document()
    assert own.redact(["Ada Obi left"])[0].text == "[PER-1] left"


def test_patterns_and_lists_take_part_and_go_first():
    patterns = [*compiled({"MAIL": r"\S+@\S+"}), *gazetteer({"CITY": ["Accra", "Accra Mall"]})]
    (found,) = redactor(patterns=patterns).redact(["Grace (g@x.org) in Accra Mall, Accran"])
    assert found.text == "[PER] [MAIL] in [CITY], Accran"
    with pytest.raises(ConfigError, match="pattern of X"):
        compiled({"X": "("})


def clamping(patterns, seen):
    """A redactor whose tagger finds what is annotated, and Obi where nothing contradicts it."""

    def predict(sentences):
        seen.extend(sentences)
        return [
            tuple(one.spans or ())
            + tuple(
                Span(at, at + 1, "PER", 0.9)
                for at, token in enumerate(one.tokens)
                if token == "Obi" and (one.spans is None or at in one.unknown)
            )
            for one in sentences
        ]

    return Redactor(predict, text_tokenizer("builtin"), Replacer("label"), patterns, ("LOC", "PER"))


def test_what_a_pattern_matches_is_clamped_if_the_model_has_its_label_and_always_replaced():
    seen: list[Sentence] = []
    patterns = compiled({"LOC": ["Obi Mall", "ccra"], "CASE": r"A-\d+"})
    (found,) = clamping(patterns, seen).redact(["Obi left Obi Mall in Accra. Obi saw A-17."])
    assert found.text == "[PER] left [LOC] in A[LOC]. [PER] saw [CASE]."
    first, second = seen
    assert first.spans == (Span(2, 4, "LOC"),)  # `ccra` is not a token: it is only replaced
    assert first.unknown == {0, 1, 4, 5, 6}
    assert not second.spans  # the model has no label CASE


def test_patterns_of_spacys_entity_ruler_take_part(tmp_path):
    path = tmp_path / "patterns.jsonl"
    lines = [
        {"label": "LOC", "pattern": "Obi Mall"},
        {"label": "CASE", "pattern": [{"LOWER": "case"}, {"IS_DIGIT": True}]},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    found = clamping(read_patterns(path), []).redact(["Obi, CASE 17, Obi Mall", "case closed"])
    assert [one.text for one in found] == ["[PER], [CASE], [LOC]", "case closed"]
    for wrong in ("{", "[]", '{"label": "X"}', '{"label": "X", "pattern": [{"NONE": 1}]}'):
        path.write_text("\n" + wrong, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"patterns.jsonl:2: not a pattern of spaCy"):
            read_patterns(path)


def test_both_kinds_of_models_redact_alike_around_patterns(small_model, exported_model):
    text = "Ada Obi joined Kestrel Foods in Accra. It rained in Lima."
    patterns = compiled({"PER": "Kestrel", "X": "rained"})
    found = []
    for model in (small_model, exported_model):
        redactor = Redactor.of(ner.load(model), Replacer("label"), patterns=patterns)
        (own,) = redactor.redact([text])
        assert {(15, 22, "PER"), (42, 48, "X")} <= {(o.start, o.end, o.label) for o in own.hidden}
        found.append([(one.start, one.end, one.label) for one in own.hidden])
    assert found[0] == found[1]
    (plain,) = Redactor.of(ner.load(small_model), Replacer("label")).redact([text])
    entities = ner.load(small_model).tag(text).entities
    assert [(o.start, o.end) for o in plain.hidden] == [
        (start, end)
        for start, end, *_ in joined(
            [(e.start_char, e.end_char, e.label, e.score) for e in entities]
        )
    ]


def test_overlapping_stretches_are_hidden_as_a_whole():
    found = joined([(0, 5, "PER", 0.9), (3, 8, "ID", None), (8, 9, "LOC", 0.5)])
    assert found == [(0, 8, "ID", None), (8, 9, "LOC", 0.5)]


def test_an_error_holds_nothing_of_the_text():
    def fails(sentences):
        raise ValueError(sentences[0].tokens)

    with pytest.raises(ValueError, match="not shown") as caught:
        Redactor(fails, text_tokenizer("builtin"), Replacer("label")).redact(["Secret"])
    assert "Secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_coverage_counts_tokens_entities_and_documents():
    gold = in_document(
        [
            Sentence(tuple("abcd"), (Span(0, 2, "X"), Span(3, 4, "Y"))),
            Sentence(tuple("ab"), ()),
        ]
    )
    found = coverage(pair_up(gold, [[Span(1, 4, "Z")], [Span(0, 1, "X")]]))
    assert (found.tokens, found.covered, found.hidden) == (3, 2, 4)
    assert (found.entities, found.whole, found.documents, found.tight) == (2, 1, 1, 0)


def test_bounds_are_those_of_clopper_and_pearson():
    lower, upper = bounds(0.0, 299.0, 1.0)
    assert lower == pytest.approx(0.05 ** (1 / 299))
    assert upper == 1.0
    lower, upper = bounds(5.0, 100.0, 1.0)  # of published tables, two-sided 90 %
    assert 1 - lower == pytest.approx(0.1023, abs=2e-4)
    assert 1 - upper == pytest.approx(0.0199, abs=2e-4)
    assert bounds(5.0, 100.0, 4.0)[0] < lower


@pytest.mark.parametrize("together", [0.0, 0.3, 0.7])
def test_the_promise_holds_on_simulated_documents(together):
    """Documents that are missed in part or as a whole, and points as one chooses among them."""
    rng = np.random.default_rng(7)
    rates = np.array([0.08, 0.04, 0.02, 0.01, 0.005])  # the truth at each cost
    wanted, broken, promised, trials = 0.97, 0, 0, 100
    for _ in range(trials):
        totals = rng.integers(1, 40, 500).astype(float)
        missed = []
        for rate in rates:
            own = rate * (1 - together) / (1 - rate * together)
            whole = rng.random(500) < rate * together
            missed.append(np.where(whole, totals, rng.binomial(totals.astype(int), own)))
        effect = design_effect(totals, missed)
        points = [
            OperatingPoint(
                float(n),
                1 - miss.sum() / totals.sum(),
                *bounds(miss.sum(), totals.sum(), effect),
                1,
            )
            for n, miss in enumerate(missed)
        ]
        try:
            point = promising(points, wanted)
        except ConfigError:
            continue
        promised += 1
        broken += 1 - rates[int(point.miss_cost)] < wanted
    assert promised > trials // 4
    assert broken / trials <= 1 - LEVEL


def test_the_lowest_cost_is_promised_that_all_above_it_allow():
    points = [OperatingPoint(c, 0.9, lower, 1.0, 0.5) for c, lower in enumerate([0.99, 0.9, 0.98])]
    assert promising(points, 0.95).miss_cost == 2
    with pytest.raises(ConfigError, match=r"the highest that can is 0\.9900"):
        promising(points, 0.999)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("redaction")
    settings = config(epochs=3, batch_size=8)
    settings["data"] = {"train": "sample:train", "development": "sample:development"}
    (folder / "config.yaml").write_text(dump(settings), encoding="utf-8")
    path = str(folder / "model")
    assert main(["train", str(folder / "config.yaml"), "--output", path, "--quiet"]) == 0
    return path


def test_a_trained_model_redacts_what_it_promises(model, tmp_path, capsys):
    source, out, report = (tmp_path / name for name in ("in.txt", "out.txt", "report.json"))
    sentences = list(ner.read(sample_path("test")))
    source.write_text("".join(" ".join(s.tokens) + "\r\n" for s in sentences), newline="")
    given = [model, str(source), "--output", str(out), "--report", str(report), "--quiet"]
    assert main(["redact", *given, "--coverage", "0.9"]) == 0
    told = json.loads(report.read_text())
    assert told["lines"] == len(sentences)
    assert told["promise"]["lower"] >= 0.9
    assert out.read_bytes().count(b"\r\n") == len(sentences)
    tagger = ner.load(model)
    cost = told["promise"]["miss_cost"]
    again = tagger.redactor(coverage=0.9)
    assert again.redact([" ".join(sentences[0].tokens)])[0].text == (
        out.read_text(encoding="utf-8").split("\n")[0].rstrip("\r")
    )
    assert main(["calibrate", model, str(sample_path("development")), "--coverage", "0.9",
                 "--output", str(tmp_path / "safe"), "--quiet"]) == 0  # fmt: skip
    assert ner.load(tmp_path / "safe").decoding.miss_cost == cost
    capsys.readouterr()
    test = str(sample_path("test"))
    shares = []
    for one in (model, str(tmp_path / "safe")):
        assert main(["evaluate", test, "--model", one, "--redaction", "--json", "-"]) == 0
        shares.append(json.loads(capsys.readouterr().out)["redaction"]["token_coverage"])
    assert shares[1] >= shares[0]


def test_what_cannot_be_promised_and_bad_records_are_refused(model, tmp_path, capsys):
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "Ada"}\n{"txt": "Grace Hopper"}\n')
    assert main(["redact", model, str(source), "--coverage", "0.99999"]) == 2
    assert "cannot be promised" in capsys.readouterr().err
    assert main(["redact", model, str(source)]) == 2
    shown = capsys.readouterr()
    assert "in.jsonl:2: expected a JSON object" in shown.err
    assert "Hopper" not in shown.err + shown.out
    with pytest.raises(TypeError, match="expected a text"):
        ner.load(model).redact(["Ada"])


def test_spacy_redacts_the_entities_of_every_component():
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PER", "pattern": "Ada"}, {"label": "LOC", "pattern": "Accra"}])
    nlp.add_pipe("ner_redact", config={"replacement": "pseudonym"})
    doc = nlp("Ada met Ada in Accra.")
    assert doc.text == "Ada met Ada in Accra."
    assert doc._.redacted == "[PER-1] met [PER-1] in [LOC-1]."
    assert [(one.start, one.end) for one in doc._.hidden] == [(0, 3), (8, 11), (15, 20)]
    nlp.remove_pipe("ner_redact")
    nlp.add_pipe("ner_redact", config={"labels": ["LOC"]})
    assert nlp("Ada met Ada in Accra.")._.redacted == "Ada met Ada in [LOC]."
    with pytest.raises(ConfigError, match="must be one of mask"):
        spacy.blank("en").add_pipe("ner_redact", config={"replacement": "nothing"})


def test_a_saved_pipeline_redacts(tmp_path):
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "Ada"}])
    nlp.add_pipe("ner_redact", config={"replacement": "mask"})
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    found = [doc._.redacted for doc in again.pipe(["Ada left.", "Bye."])]
    assert found == [3 * "\N{FULL BLOCK}" + " left.", "Bye."]
