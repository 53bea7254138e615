"""The recogniser in the real Presidio, with a stand-in for its language model alone."""

import pytest

import ner

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
TEXT = "Ada Obi joined Kestrel Foods in Accra ."


@pytest.fixture
def recognizer(small_model):
    pytest.importorskip("presidio_analyzer")
    from ner.integrations.presidio import NerRecognizer

    return NerRecognizer(small_model)


def test_results_are_the_entities_of_the_tagger(recognizer, small_model):
    found = recognizer.analyze(TEXT, [])
    expected = ner.load(small_model).tag(TEXT).entities
    assert expected
    names = {"PER": "PERSON", "LOC": "LOCATION", "ORG": "ORGANIZATION", "MISC": "MISC"}
    assert [(one.entity_type, one.start, one.end, one.score) for one in found] == [
        (names[one.label], one.start_char, one.end_char, one.score) for one in expected
    ]
    assert recognizer.supported_entities == ["LOCATION", "MISC", "ORGANIZATION", "PERSON"]


def test_only_the_wanted_entities_are_given(recognizer):
    every = recognizer.analyze(TEXT, [])
    wanted = every[0].entity_type
    assert {one.entity_type for one in recognizer.analyze(TEXT, [wanted])} == {wanted}
    assert recognizer.analyze(TEXT, ["CREDIT_CARD"]) == []


def blank_engine():
    """A language model of Presidio that knows nothing."""
    engines = pytest.importorskip("presidio_analyzer.nlp_engine")

    def artifacts(self, text, language):
        return engines.NlpArtifacts([], [], [], [], self, language)

    methods = {
        "load": lambda self: None,
        "is_loaded": lambda self: True,
        "process_text": artifacts,
        "process_batch": lambda self, texts, language, **_: (
            (text, artifacts(self, text, language)) for text in texts
        ),
        "is_stopword": lambda self, word, language: False,
        "is_punct": lambda self, word, language: False,
        "get_supported_entities": lambda self: [],
        "get_supported_languages": lambda self: ["en"],
    }
    return type("Blank", (engines.NlpEngine,), methods)()


def test_the_analyzer_of_presidio_uses_it(recognizer):
    presidio = pytest.importorskip("presidio_analyzer")
    registry = presidio.RecognizerRegistry([recognizer])
    analyzer = presidio.AnalyzerEngine(
        registry=registry, nlp_engine=blank_engine(), supported_languages=["en"]
    )
    found = analyzer.analyze(text=TEXT, language="en")
    assert {one.score for one in found} <= {one.score for one in recognizer.analyze(TEXT, [])}
    assert found
