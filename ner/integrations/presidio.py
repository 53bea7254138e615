"""A recogniser for Presidio: the spans of a tagger, with their probabilities, as its results.

from presidio_analyzer import AnalyzerEngine
analyzer = AnalyzerEngine()
analyzer.registry.add_recognizer(NerRecognizer("models/mine"))
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from presidio_analyzer import AnalysisExplanation, EntityRecognizer, RecognizerResult

from ner.models import load

ENTITIES: Mapping[str, str] = {
    **dict.fromkeys(("PER", "PERS", "PERSON"), "PERSON"),
    **dict.fromkeys(("LOC", "GPE", "LOCATION"), "LOCATION"),
    **dict.fromkeys(("ORG", "ORGANIZATION"), "ORGANIZATION"),
}


class NerRecognizer(EntityRecognizer):
    """Finds entities with a tagger.

    Args:
        model: A model directory, or its address; see ``ner.load``.
        entities: The entity of Presidio for each label; other labels keep their names.
        language: The language of the model.
        device: The device of the network.
    """

    def __init__(
        self,
        model: Path | str,
        *,
        entities: Mapping[str, str] = ENTITIES,
        language: str = "en",
        device: str = "cpu",
    ) -> None:
        self.tagger = load(model, device=device)
        self.entity_of = {label: entities.get(label, label) for label in self.tagger.labels}
        super().__init__(
            supported_entities=sorted(set(self.entity_of.values())),
            supported_language=language,
            name="NerRecognizer",
        )

    def load(self) -> None:
        """Do nothing: the model is loaded already."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: Any = None
    ) -> list[RecognizerResult]:
        """Return the wanted entities of a text, each with its probability as score."""
        found = []
        for one in self.tagger.tag(text).entities:
            entity = self.entity_of[one.label]
            if entities and entity not in entities:
                continue
            score = 1.0 if one.score is None else one.score
            explanation = AnalysisExplanation(
                recognizer=type(self).__name__,
                original_score=score,
                textual_explanation=f"{one.label} by a BiLSTM-CRF, probability {score:.3f}",
            )
            found.append(
                RecognizerResult(
                    entity_type=entity,
                    start=one.start_char,
                    end=one.end_char,
                    score=score,
                    analysis_explanation=explanation,
                )
            )
        return found
