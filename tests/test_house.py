"""The house as a whole: its public names, shelves, configurations and documents."""

import ast
import importlib
import re
import runpy
import tomllib
from pathlib import Path

import house_figures as house
import pytest
import word_counts as words

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


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/reliability.md", "docs/systems.md"])
def test_every_promise_stands_beside_a_test_that_is_there(page):
    text = (ROOT / page).read_text("utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| (?!---)", line)]
    named = set(re.findall(r"`((?:tests|benchmarks|ner)/[\w*/]+\.py)`", text))
    assert all(list(ROOT.glob(name)) for name in named), named
    written = "".join(file.read_text("utf-8") for file in (ROOT / "tests").rglob("*.py"))
    for test in set(re.findall(r"`(test_\w+)`", text)):
        assert f"def {test}(" in written, test
    checks = set(re.findall(r"`reliability\.py (\w+)", text))
    assert all(f'"{check}": ' in written for check in checks), checks
    assert rows
    if page == "SECURITY.md":
        assert all(re.search(r"`(?:tests/|test_)", row) for row in rows[1:]), rows


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_python_block_is_python(page):
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL):
        compile(block, str(page), "exec")


MOST_FILES = 200
WAYS_TO_SUM = 4


def test_no_class_name_has_two_meanings():
    assert house.homonyms() == {}


def test_modules_and_rooms_import_each_other_in_no_circle():
    """Imports for types and within functions count, too."""
    assert house.circles_of_modules() == []
    assert house.circles_of_rooms() == []


def test_the_map_has_the_storeys_that_the_imports_are_held_to():
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    road = re.search(r"^layers = \[\n(.*?)^\]", contracts, flags=re.DOTALL | re.MULTILINE)
    assert road is not None
    storeys = "\n".join(re.findall(r'"(.*?)"', road[1]))
    assert storeys in (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def test_no_private_helper_is_written_twice():
    assert house.repeated_helpers() == {}


def test_every_sum_over_paths_is_known_and_counted():
    """A new recursion is a new way to write forward-backward: use the core instead."""
    known = house.SUMS_OVER_PATHS.keys() | house.OTHER_RECURRENCES
    assert house.recurrences() <= known
    assert len(house.implementations()) <= WAYS_TO_SUM


def test_the_house_does_not_grow_modules_without_end():
    assert len(house.modules()) <= MOST_FILES


def test_the_reference_of_settings_is_what_its_script_makes():
    path = ROOT / "scripts" / "settings_reference.py"
    made = runpy.run_path(str(path))["page"]()
    assert (ROOT / "docs" / "settings.md").read_text("utf-8") == made, f"run {path.name} again"
    assert "|  |" not in made, "a setting without a description"


def test_the_version_is_the_same_everywhere():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    assert setuptools["dynamic"]["version"] == {"attr": "ner.__version__"}
    assert f"\nversion: {ner.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"## [{ner.__version__}] - " in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert "__version__" in dir(ner)
    assert not [name for name in dir(ner) if name not in ner.__all__ and name[:2] != "__"]


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert house.circles(graph) == [["a", "b", "c"], ["d", "e"]]


def test_the_same_code_is_found_under_other_names_of_its_locals():
    def shape(text):
        return house.shape(ast.parse(text).body[0])

    one = shape('def _f(a, b):\n    """Add."""\n    c = a + b\n    return g(c)')
    assert one == shape("def _f(x: int, y: int) -> int:\n    z = x + y\n    return g(z)")
    assert one != shape("def _f(x, y):\n    z = x + y\n    return h(z)")
    assert one != shape("def _f(x, y):\n    z = y + x\n    return g(z)")


def test_the_figures_of_the_house_are_printed(capsys):
    house.main()
    assert "forward-backward written" in capsys.readouterr().out


HOME = r"(?<![\w.])/(home|root|Users|mnt|tmp|work)/\w"  # a folder of somebody's machine


def test_the_repository_names_no_folder_of_a_particular_machine():
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        found = re.search(HOME, page.read_text("utf-8"))
        assert not found, f"{page}: {found}"


PHRASES_AT_MOST = dict.fromkeys(words.PHRASES, 3) | {
    "is none": 14,
    "told": 5,
    "is no": 29,
    "so many": 5,
    "no number": 1,
    "said": 12,
    "the house": 0,
    "in the clothes of": 0,
}


def test_no_docstring_begins_with_a_question_word():
    """A docstring says what the thing is or does: ``Return whether ...``, ``The number of ...``."""
    assert words.questions() == []


def test_phrases_that_read_like_a_translation_grow_rarer():
    counts = words.counts()
    assert {name: n for name, n in counts.items() if n > PHRASES_AT_MOST.get(name, 0)} == {}


def test_phrases_are_counted_across_lines(monkeypatch):
    page = "There\nis none, and there are\n  none. He was TOLD so."
    monkeypatch.setattr(words, "texts", lambda: [(words.ROOT / "docs" / "page.md", page)])
    assert words.counts()["is none"] == 2
    assert words.counts()["told"] == 1


def test_phrases_are_counted_in_texts_and_not_in_code():
    source = 'told = None  # is none\nprint(f"are none {told}" if told is None else "")\n'
    assert words.prose(source).split("\n") == ["# is none", 'f"are none {}"', '""']


def test_every_page_is_in_the_navigation_of_the_site():
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    named = re.findall(r"^ +- (?:\w+: )?(\S+\.md)$", site, re.MULTILINE)
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert pages - set(named) == set(), "add a line under `nav` in mkdocs.yml"
