"""The bundled corpus: whole, up to date, and without a sentence in two splits."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from ner import sample
from ner.checks import check
from ner.formats.brackets import read
from ner.sentence import Sentence

INLINE = sorted(sample.path("train").with_name("inline").glob("*.txt"))
SCRIPT = Path(__file__).parents[1] / "scripts" / "build_sample.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_sample", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def genres() -> dict[str, list[Sentence]]:
    return {file.stem: list(read(file)) for file in INLINE}


def name(sentence: Sentence) -> str:
    assert sentence.document
    return sentence.document.id


def test_the_conll_files_are_those_the_script_makes(script: ModuleType) -> None:
    for split, text in script.build().items():
        built = sample.path(split).read_text("utf-8")
        assert built == text, "run scripts/build_sample.py"


def test_every_document_has_a_name_of_its_own(genres: dict[str, list[Sentence]]) -> None:
    names = Counter(name(one) for found in genres.values() for one in found if not one.position)
    assert not [one for one, count in names.items() if count > 1 or not one]
    assert len(names) >= 80


def test_no_sentence_occurs_twice(genres: dict[str, list[Sentence]]) -> None:
    counts = Counter(one.tokens for found in genres.values() for one in found)
    assert not [" ".join(tokens) for tokens, count in counts.items() if count > 1]
    assert counts.total() >= 900


def test_there_are_only_four_labels(genres: dict[str, list[Sentence]]) -> None:
    labels = {span.label for found in genres.values() for one in found for span in one.spans or ()}
    assert labels == {"PER", "ORG", "LOC", "MISC"}


def test_every_genre_is_in_every_split_and_every_document_in_one(
    script: ModuleType, genres: dict[str, list[Sentence]]
) -> None:
    sizes: Counter[str] = Counter()
    for found in genres.values():
        documents = list(script._documents(found))
        parts = script.split(documents)
        assert all(parts[split] for split in sample.SPLITS)
        names = [name(group[0]) for groups in parts.values() for group in groups]
        assert sorted(names) == sorted({name(one) for one in found})
        for split, groups in parts.items():
            sizes[split] += sum(map(len, groups))
            sizes[f"{split} documents"] += len(groups)
    total = sum(sizes[split] for split in sample.SPLITS)
    assert sizes["test documents"] >= 8
    assert 0.66 < sizes["train"] / total < 0.74
    assert 0.15 < sizes["test"] / total < 0.21


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="no split 'dev'; it has train, development, test"):
        sample.path("dev")


def test_the_page_of_the_corpus_has_its_figures() -> None:
    page = (SCRIPT.parents[1] / "docs" / "corpus.md").read_text("utf-8")
    report = check([sample.path(split) for split in sample.SPLITS]).to_dict()
    for split, one in zip(sample.SPLITS, report["files"], strict=True):
        sizes = [one["documents"], one["sentences"], one["tokens"]]
        counts = [one["labels"][label] for label in ("LOC", "PER", "ORG", "MISC")]
        figures = " | ".join(f"{number:,}" for number in [*sizes, *counts, one["spans"]])
        assert f"| {split} | {figures} |" in page


def test_the_corpus_has_no_fault_that_a_check_can_see() -> None:
    """What mentions have several labels on purpose, the page of the corpus says."""
    report = check([sample.path(split) for split in sample.SPLITS])
    assert set(report.findings.counts) <= {"label-conflict"}
