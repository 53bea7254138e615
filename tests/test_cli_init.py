"""A configuration from files that were looked at, and runs without a configuration."""

import re

import pytest

import ner
from ner.cli import main
from ner.config import load
from ner.errors import ConfigError
from ner.training import read_settings
from ner.training.corpora import read_corpora

LINES = {
    "plain": (["Ada B-PER", "Obi I-PER", "left O", "Accra B-LOC"], {}),
    "tags in the middle": (
        ["Ada B-PER N", "Obi I-PER N", "left O V", "Accra B-LOC N"],
        {"tag_column": 1},
    ),
    "numbered": (
        ["# id = 1", "1\tAda\tB-PER\tx", "2\tObi\tI-PER\tx", "3\tleft\tO\tx", "4\tAccra\tB-LOC\tx"],
        {"comment_prefix": "# ", "token_column": 1, "tag_column": 2},
    ),
    "labels without a prefix": (
        ["Ada PER", "Obi PER", "left O", "Accra LOC"],
        {"scheme": "IO"},
    ),
}


def files(folder, lines, *names):
    text = "".join(line + "\n" for line in lines) + "\n"
    paths = [folder / name for name in names]
    for path in paths:
        path.write_text(text * 12, encoding="utf-8")
    return [str(path) for path in paths]


@pytest.mark.filterwarnings("ignore:.*scheme IO cannot:ner.errors.DataWarning")
@pytest.mark.parametrize("name", LINES)
def test_the_reader_options_are_found_and_the_configuration_reads_the_files(name, tmp_path, capsys):
    lines, options = LINES[name]
    given = files(tmp_path, lines, "a-dev.conll", "a-test.conll", "a.conll")
    target = tmp_path / "mine.yaml"
    assert main(["init", *given, "--output", str(target)]) == 0
    settings = read_settings(target)
    assert settings.data.reader == options
    assert settings.data.train == given[2]
    corpora = read_corpora(settings.data, 1)
    for sentences in (corpora.train, corpora.development, corpora.test):
        assert sentences[0].tokens == ("Ada", "Obi", "left", "Accra")
        assert [span.label for span in sentences[0].spans] == ["PER", "LOC"]
    assert "LOC 12, PER 12" in target.read_text(encoding="utf-8")
    assert str(settings.output) == "models/mine"
    assert f"ner train {target}" in capsys.readouterr().err


def test_a_file_alone_is_trained_on_with_a_share_held_out(tmp_path):
    given = files(tmp_path, LINES["plain"][0], "dev.conll")
    assert main(["init", *given, "--output", str(tmp_path / "one.yaml"), "--quiet"]) == 0
    settings = read_settings(tmp_path / "one.yaml")
    assert settings.data.train == given[0]
    assert settings.data.development_fraction == 0.1


def test_a_configuration_is_not_replaced_unasked(tmp_path, capsys):
    given = files(tmp_path, LINES["plain"][0], "train.conll")
    target = tmp_path / "mine.yaml"
    target.write_text("data: {}\n", encoding="utf-8")
    assert main(["init", *given, "--output", str(target)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert target.read_text(encoding="utf-8") == "data: {}\n"
    assert main(["init", *given, "--output", str(target), "--overwrite"]) == 0
    assert load(target)["data"]["train"] == given[0]


def test_what_cannot_be_read_is_said_and_nothing_is_written(tmp_path, capsys):
    target = tmp_path / "mine.yaml"
    bad = files(tmp_path, ["Ada Q-PER", "left O"], "train.conll")
    assert main(["init", *bad, "--output", str(target)]) == 2
    assert "train.conll:" in capsys.readouterr().err
    both = files(tmp_path, LINES["plain"][0], "dev.conll", "test.conll")
    assert main(["init", *both, "--output", str(target)]) == 2
    assert "no file to train on" in capsys.readouterr().err
    assert not target.exists()


def test_a_run_needs_no_configuration(tmp_path, capsys):
    train, development = files(tmp_path, LINES["plain"][0], "train.conll", "development.conll")
    output = str(tmp_path / "model")
    given = ["--train", train, "--development", development, "--labels", "PER"]
    assert main(["train", *given, "--epochs", "1", "--output", output, "--device", "cpu"]) == 0
    tagger = ner.load(output)
    assert tagger.labels == ("PER",)
    assert tagger.config["training"]["epochs"] == 1
    out, err = capsys.readouterr()
    for step in ("reading the corpora", "building the vocabularies", "indexing 12 sentences"):
        assert step in out
    assert "epoch   1" in out
    assert not err


def test_python_takes_the_same(tmp_path):
    train, development = files(tmp_path, LINES["plain"][0], "train.conll", "development.conll")
    run = ner.train(train=train, development=[development], labels=["LOC"], epochs=2, device="cpu")
    assert run.settings.data.development == [development]
    assert run.settings.training.epochs == 2
    assert run.network.labels == ("LOC",)
    assert "0/2 epochs" in repr(run)
    with pytest.raises(ConfigError, match="nothing to train on"):
        ner.train()
    with pytest.raises(ConfigError, match=r"dataclasses\.replace"):
        ner.train(run.settings, epochs=3)
    with pytest.raises(ValueError, match="no entity has a label in"):
        ner.train(train=train, labels=["DATE"])


def test_nothing_to_train_on_is_said(capsys):
    assert main(["train"]) == 2
    assert "pass CONFIG.yaml or --train FILE" in capsys.readouterr().err


def test_what_is_commented_out_can_be_used(tmp_path):
    train, development = files(tmp_path, LINES["plain"][0], "train.conll", "development.conll")
    target = tmp_path / "mine.yaml"
    assert main(["init", train, development, "--output", str(target)]) == 0
    (tmp_path / "v.txt").write_text("Ada 1 2\nObi 2 1\n", "utf-8")
    text = target.read_text("utf-8").replace("FILE", str(tmp_path / "v.txt"))
    head, _, rest = text.partition("# model:")
    target.write_text(head + re.sub(r"(?m)^# ", "", "# model:" + rest), "utf-8")
    assert main(["train", str(target), "--epochs", "1", "--output", str(tmp_path / "m")]) == 0
    assert "pretrained" in ner.load(tmp_path / "m").network.embeddings
