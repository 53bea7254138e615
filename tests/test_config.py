"""Settings: YAML as people expect it, checked against what it makes."""

import pytest

from ner.config import ConfigError, dump, load, override, parse, read_assignments


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("NO", "NO"),
        ("on", "on"),
        ("12:30:45", "12:30:45"),
        ("010", "010"),
        ("true", True),
        ("null", None),
        ("", None),
        ("3", 3),
        ("-.5", -0.5),
        ("2026-01-01", "2026-01-01"),
        ("[1, PER]", [1, "PER"]),
    ],
)
def test_scalars_are_read_by_the_rules_of_yaml_1_2(text, value):
    assert parse(f"a: {text}") == {"a": value}
    assert type(parse(f"a: {text}")["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1\na: 2", "line 2: 'a' is repeated"),
        ("- 1", "found a list"),
        ("", "is empty"),
        ("a: !!python/object/apply:os.system ['true']", "tag"),
        ("a: &x 1\nb: *x", "aliases"),
        ("a: [1", "line"),
        ("a: " + "[" * 50 + "]" * 50, "nested"),
        ("? [1, 2]\n: 3", "a key must be text"),
        ("a: '" + "x" * 1_000_001 + "'", "characters"),
        ("a: \0", "not YAML"),
        ("data:\n  prefix: # \n  b: 1", "line 2: 'prefix' has only a comment as value; put text"),
    ],
)
def test_what_is_no_plain_settings_is_refused(text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        parse(text)


def test_a_bad_file_is_named(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"a\.yaml"):
        load(tmp_path / "a.yaml")


def test_a_corpus_is_no_file_of_settings(tmp_path):
    (tmp_path / "a.conll").write_text("Ada\tB-PER\n")
    with pytest.raises(ConfigError, match="expected a configuration in YAML"):
        load(tmp_path / "a.conll")


@pytest.mark.parametrize(
    "settings",
    [{"a": 1e-3, "b": "NO", "c": "true", "d": "12", "e": "", "f": {"g": [1, 2.5, None, "x: y"]}}],
)
def test_written_settings_read_back(settings):
    assert parse(dump(settings)) == settings


def test_assignments_change_what_they_name_and_nothing_else():
    settings = {"model": {"encoder": {"width": 10, "layers": 2}}}
    changed = override(settings, ["model.encoder.width=20", "training.seed=3", "data.train=a=b"])
    assert changed == {
        "model": {"encoder": {"width": 20, "layers": 2}},
        "training": {"seed": 3},
        "data": {"train": "a=b"},
    }
    assert settings["model"]["encoder"]["width"] == 10


@pytest.mark.parametrize("assignment", ["width", "=3", "a.b=1"])
def test_assignments_that_assign_nothing_are_refused(assignment):
    with pytest.raises(ConfigError, match="--set"):
        override({"a": 1}, [assignment])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("# ", "# "),
        ("#", "#"),
        ("a #b", "a #b"),
        ("'# '", "# "),
        ("a#b", "a#b"),
        ("{a: '#'} # b", "{a: '#'} # b"),
        ("-", "-"),
        ("- a", "- a"),
        ("?", "?"),
        ("|", "|"),
        ("*", "*"),
        ("%", "%"),
        ("&a", "&a"),
        ("!x", "!x"),
        ("-1", -1),
        ("~", "~"),
        ("", ""),
        (" ", " "),
        ("null", None),
        ("NO", "NO"),
        ("{NO: O}", {"NO": "O"}),
        ("5", 5),
        ("'5'", "5"),
    ],
)
def test_nothing_of_a_value_on_the_command_line_is_swallowed(text, value):
    """YAML takes some of these for comments, lists of nothing, or nothing."""
    assert list(read_assignments([f"a={text}"], option="--set")) == [("a", value)]


def test_a_section_may_have_a_comment_beside_its_name():
    settings = parse("model:  # the recipe\ndata: # files\n  train: a # the first\n")
    assert settings == {"model": None, "data": {"train": "a"}}
