"""What all tests share: where the optional data folder is, and a few sentences."""

from __future__ import annotations

import os
import random
import re
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks a server
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: small work, quick tests

import pytest
from hypothesis import HealthCheck, settings

from ner import native
from ner.sentence import Sentence, Span, in_document

settings.register_profile(  # a slow machine is no fault of the code
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let fixtures draw the same numbers whatever ran before."""
    _seed()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """Let the test do so too, whether its fixtures were there already or not."""
    _seed()


def _seed() -> None:
    """Torch's own first seed is another one in each process."""
    random.seed(0)
    if "torch" in sys.modules:  # some tests want it not to be
        sys.modules["torch"].manual_seed(0)


SHARED = Path(os.environ.get("NER_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="module", params=["native", "numpy"])
def each_kernel(request):
    """Run a module's tests with the kernels in C, where they were built, and without."""
    if request.param == "native" and native.kernels is None:
        pytest.skip("ner._native was not built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "kernels", native.kernels if request.param == "native" else None)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The optional folder of corpora and cases (``NER_SHARED``); tests skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no data folder at {SHARED}; set NER_SHARED to one")
    return SHARED


@pytest.fixture(scope="session")
def toy() -> tuple[Sentence, ...]:
    """A few small sentences in four documents, enough to learn by heart."""
    lines = [
        ["[PER Ada Obi] joined [ORG Kestrel Foods] in [LOC Accra] .", "Obi said nothing ."],
        ["The [MISC Harbour Cup] went to [LOC Ghana] .", "[LOC Ghana] beat [LOC Peru] 2-1 ."],
        ["[ORG Kestrel Foods] sold its mill .", "Shares fell .", "[PER Lin Ho] resigned ."],
        ["It rained in [LOC Lima] and [LOC Quito] .", "Nobody from [ORG Tern Bank] called ."],
    ]
    documents = [in_document([parse_line(line) for line in document]) for document in lines]
    return tuple(sentence for document in documents for sentence in document)


@pytest.fixture(scope="session")
def small_model(toy, tmp_path_factory) -> str:
    """The directory of a small tagger of random weights that finds something everywhere."""
    import torch

    from ner.network import build
    from ner.tagger import Tagger

    torch.manual_seed(3)
    parts = {"words": {"width": 12}, "characters": {"width": 8}, "document": {"width": 6}}
    network = build(toy, embeddings=parts, encoder={"width": 10}).eval()
    with torch.no_grad():
        network.projection.weight.normal_(0.0, 2.0)
    path = tmp_path_factory.mktemp("model") / "toy"
    Tagger(network).save(path)
    return str(path)


@pytest.fixture(scope="session")
def exported_model(small_model, tmp_path_factory) -> str:
    """The directory of the small tagger as an exported model."""
    pytest.importorskip("onnx")
    from ner.export import write
    from ner.tagger import load

    path = tmp_path_factory.mktemp("model") / "exported"
    write(load(small_model), path)
    return str(path)


@pytest.fixture(scope="session")
def trained_model(tmp_path_factory) -> str:
    """The directory of a small tagger trained for seconds on a part of the bundled corpus."""
    import training_runs

    import ner

    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = training_runs.write_config(folder, sentences=200, epochs=4)
        for _ in ner.train(config):
            pass
    return str(folder / "model")


def parse_line(line: str) -> Sentence:
    """A sentence with its entities in brackets, in the plainest form."""
    tokens: list[str] = []
    spans: list[Span] = []
    for entity, label, words, token in re.findall(r"(\[(\S+) ([^]]+)\])|(\S+)", line):
        inner = words.split() if entity else [token]
        if entity:
            spans.append(Span(len(tokens), len(tokens) + len(inner), label))
        tokens += inner
    case = tuple("upper" if token[0].isupper() else "lower" for token in tokens)
    return Sentence(tuple(tokens), tuple(spans), {"case": case})
