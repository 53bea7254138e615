"""The house as a whole: its public names, shelves, configurations and documents."""

import importlib
import re
from pathlib import Path

import pytest

import ner
from ner.cli import VERBS
from ner.config import load
from ner.embeddings import EMBEDDINGS
from ner.formats import FORMATS
from ner.training import read_settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_public_name_is_there():
    for name in ner.__all__:
        assert getattr(ner, name) is not None
    assert set(ner.__all__) <= set(dir(ner))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ner.nothing  # noqa: B018 - to be looked up is all it should be


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_module_with_its_two_functions(verb):
    module = importlib.import_module(f"ner.cli.{verb}")
    assert callable(module.add_arguments)
    assert callable(module.run)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_its_page(name):
    assert f"`{name}`" in (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_every_embedding_has_its_page(name):
    assert f"`{name}`" in (ROOT / "docs" / "embeddings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_configuration_is_read(path):
    settings = read_settings(path)
    assert settings.output
    assert load(path)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_python_block_is_python(page):
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL):
        compile(block, str(page), "exec")


def test_the_repository_speaks_of_the_project_alone():
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        text = page.read_text("utf-8")
        assert not re.search(r"/(work|farm|root)/", text), page
