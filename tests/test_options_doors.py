"""The doors that options come in by: YAML, --set, --reader, --writer, and keywords in Python.

The same option is taken, or refused with the same words, whichever door it comes in by.
"""

import itertools
import warnings

import pytest

import ner
from ner.cli import main
from ner.config import ConfigError, parse
from ner.formats import FORMATS, DataWarning, options_of
from ner.training import read_settings
from ner.training.corpora import read_corpora

TAGGED = "Ada B-PER\nran -\n\n"
REFUSED = [  # option, value in YAML, value in Python, message
    ("comment_prefix", "5", 5, "wants text or null, got a whole number 5; quote it"),
    ("scheme", "5", 5, "wants text or null, got a whole number 5; quote it"),
    ("columns", "5", 5, "wants a list of text or text or null, got a whole number 5"),
    ("encoding", "5", 5, "wants text, got a whole number 5; quote it"),
    ("tag_map", "3", 3, "wants settings, each text, got a whole number 3"),
    ("tag_map", "null", None, "wants settings, each text, got no value"),
    ("tagged", "maybe", "maybe", "wants true or false, got text 'maybe'"),
    ("missing", "[a]", ["a"], "wants text, got a list ['a']"),
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text(TAGGED)
    return path


def by_python(file, option, value):
    list(ner.read(file, **{option: value}))


def by_yaml(file, option, text):
    raw = parse(f"data:\n  train: {file}\n  reader:\n    {option}: {text}\n")
    read_corpora(read_settings(raw).data, 1)


def by_set(file, option, text):
    given = [f"data.reader.{option}={text}"]
    read_corpora(read_settings({"data": {"train": str(file)}}, given).data, 1)


@pytest.mark.parametrize(("option", "text", "value", "message"), REFUSED)
def test_every_door_refuses_with_the_same_words(file, capsys, option, text, value, message):
    expected = f"option {option} of the conll reader {message}"
    told = []
    for door, given in ((by_python, value), (by_yaml, text), (by_set, text)):
        with pytest.raises(ValueError, match="option") as caught:
            door(file, option, given)
        told.append(str(caught.value))
    reader = ["--reader", f"{option}={text}"]
    for call in (["check", str(file)], ["convert", str(file), str(file.with_name("b.jsonl"))]):
        assert main([*call, *reader]) == 2
        told.append(capsys.readouterr().err.removeprefix("error: ").rstrip("\n"))
    assert len(set(told)) == 1
    assert told[0].startswith(expected)
    assert "\n" not in told[0]


@pytest.mark.parametrize(
    ("option", "text", "content", "tokens"),
    [
        ("missing", "-", TAGGED, ("Ada", "ran")),
        ("missing", "NO", "Ada B-PER\nran NO\n\n", ("Ada", "ran")),
        ("missing", "~", "Ada B-PER\nran ~\n\n", ("Ada", "ran")),
        ("tag_map", "{NO: O}", "Ada B-PER\nran NO\n\n", ("Ada", "ran")),
        ("comment_prefix", "# ", "# a\nAda B-PER\nran O\n\n", ("Ada", "ran")),
        ("comment_prefix", "'# '", "# a\nAda B-PER\nran O\n\n", ("Ada", "ran")),
        ("comment_prefix", "#", "#a\nAda B-PER\nran O\n\n", ("Ada", "ran")),
        ("comment_prefix", "- ", "- a\nAda B-PER\nran O\n\n", ("Ada", "ran")),
        ("comment_prefix", "null", "Ada B-PER\n# O\n\n", ("Ada", "#")),
        ("token_column", "-2", "1 Ada B-PER\n2 ran O\n\n", ("Ada", "ran")),
    ],
)
def test_what_yaml_would_swallow_is_taken(tmp_path, capsys, option, text, content, tokens):
    path, out = tmp_path / "a.conll", tmp_path / "b.jsonl"
    path.write_text(content)
    by_set(path, option, text)
    assert main(["convert", str(path), str(out), "--reader", f"{option}={text}"]) == 0
    assert next(ner.read(out)).tokens == tokens
    assert main(["check", str(path), "--reader", f"{option}={text}"]) == 0
    settings = read_settings(
        {"data": {"train": str(path)}}, [f"data.reader.{option.replace('-', '_')}={text}"]
    )
    assert read_corpora(settings.data, 1).train[0].tokens == tokens


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epochs=3", "the configuration has no setting 'epochs'; did you mean 'training.epochs'?"),
        ("batch_size=3", "did you mean 'training.batch_size'?"),
        ("train=x", "the configuration has no setting 'train'; did you mean 'data.train'?"),
        ("data.dev=x", "data has no setting 'dev'; did you mean 'data.development'?"),
        ("data.comment_prefix=%", "did you mean 'data.reader.comment_prefix'?"),
        ("training.epohcs=3", "training has no setting 'epohcs'; did you mean 'epochs'?"),
        ("trianing.epochs=3", "no setting 'trianing'; did you mean 'training'?"),
        ("dropout=0.1", "did you mean 'model.encoder.dropout'?"),
        ("model.encoder.widht=3", "model.encoder has no setting 'widht'; did you mean 'width'?"),
        ("model.words={}", "did you mean 'model.embeddings.words'?"),
        ("model.embeddings.charcters=false", "no embedding is called 'charcters'; did you mean"),
        ("model.embeddings.charcters={}", "no embedding is called 'charcters'; did you mean"),
        ("decoding.threshold=7", "decoding.threshold must be above 0 and at most 1, got 7"),
        ("lr=1", "did you mean 'training.learning_rate'?"),
    ],
)  # fmt: skip
def test_a_setting_in_the_wrong_place_is_told_the_right_one(assignment, message):
    with pytest.raises(ConfigError) as caught:
        read_settings({"data": {"train": "a"}}, [assignment])
    assert message in str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_no_value_of_an_option_is_a_traceback(name, tmp_path):
    """Whatever is given, it works, or it is a ``ValueError`` (or an ``OSError``)."""
    warnings.simplefilter("ignore", DataWarning)
    kind = FORMATS[name]
    path = tmp_path / ("x" if kind.kind == "folder" else f"x{kind.endings[0]}")
    sentences = [ner.Sentence(("Ada", "ran"), (ner.Span(0, 1, "PER"),))]
    ner.write(path, sentences, format=name)
    values = [5, "5", "", None, ["a", "a"], {"O": "X"}, True, "\t", "\0"]
    for verb in ("read", "write"):
        for option, value in itertools.product(options_of(name, verb), values):
            try:
                if verb == "read":
                    list(ner.read(path, format=name, **{option: value}))
                else:
                    ner.write(tmp_path / "out", sentences, format=name, **{option: value})
            except (ValueError, OSError):
                continue


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "FILE", "--reader", "missing=-"],
        ["check", "--reader", "missing=-", "FILE"],
        ["convert", "FILE", "--reader", "missing=-", "OUT"],
        ["convert", "--from", "conll", "FILE", "--reader", "missing=-", "OUT", "--quiet"],
        ["evaluate", "--predictions", "FILE", "--reader", "missing=-", "FILE",
         "--predictions-reader", "missing=-", "--train", "FILE"],
    ],
)  # fmt: skip
def test_options_stand_before_or_after_positional_arguments(arguments, file, capsys):
    named = {"FILE": str(file), "OUT": str(file.with_name("b.jsonl"))}
    assert main([named.get(one, one) for one in arguments]) == 0, capsys.readouterr().err


def test_training_sentences_are_read_as_gold_unless_said_otherwise(file, capsys):
    train = file.with_name("train.conll")
    train.write_text("Ada B-PER\nran ?\n\n")
    call = ["evaluate", str(file), "--predictions", str(file), "--train", str(train), "--quiet"]
    both = ["--reader", "missing=-", "--predictions-reader", "missing=-"]
    assert main([*call, *both]) == 2
    assert "'?'" in capsys.readouterr().err
    assert main([*call, *both, "--train-reader", "missing=?"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "FILE", "out.xyz"], "cannot infer the format of out.xyz from its extension"),
        (["convert", "FILE", "FILE/x.jsonl"], "is not a folder"),
        (["convert", "FILE", "out.jsonl", "--writer", "shap=ner"], "did you mean 'shape'?"),
        (["convert", "FILE", "out.jsonl", "--writer", "shape=5"], "wants text, got a whole number"),
        (["evaluate", "FILE", "--predictions", "FILE", "--json", "."], "--json .: is a folder"),
        (["trian"], "no verb is called 'trian'; did you mean 'train'?"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_work(
    arguments, message, file, capsys, monkeypatch
):
    monkeypatch.chdir(file.parent)
    before = set(file.parent.iterdir())
    given = [one.replace("FILE", file.name) for one in arguments]
    assert main(given) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert set(file.parent.iterdir()) == before
