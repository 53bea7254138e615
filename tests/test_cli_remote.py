"""Files elsewhere: listed, fetched and stored as those of this machine are."""

from pathlib import Path

import pytest

from ner.cli import main
from ner.cli.remote import exists, expand, joined, nearby

LINES = {"a-1": '{"tokens": ["Ada", "Obi"]}\n', "a-2": '{"text": "Lima"}\n', "b": "{}\n"}


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("pyarrow")
    for name, line in LINES.items():
        (tmp_path / "in" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / f"{name}.jsonl").write_text(line, encoding="utf-8")
    (tmp_path / "in" / "deep" / "a-3.jsonl").write_text("{}", encoding="utf-8")
    return tmp_path


def test_globs_of_addresses_find_what_those_of_paths_find(folder):
    address = f"file://{folder}/in"
    for pattern in ("a-*.jsonl", "*/a-*.jsonl", "[ab].jsonl", "a-1.jsonl", "*"):
        local = expand([f"{folder}/in/{pattern}"])
        wanted = [f"file://{path}" for path in local if not path.endswith("/deep")]
        assert expand([f"{address}/{pattern}"]) == wanted
    with pytest.raises(OSError, match="no file matches"):
        expand([f"{address}/c*.jsonl"])


def test_addresses_keep_their_settings():
    assert joined("s3://b/out/?region=x", "a.jsonl") == "s3://b/out/a.jsonl?region=x"
    assert joined("out", "a.jsonl") == "out/a.jsonl"


def test_shards_are_read_and_written_elsewhere(small_model, folder, capsys):
    local, remote = folder / "local", folder / "remote"
    given = [small_model, f"{folder}/in/a-*.jsonl", "--output-dir", str(local), "--quiet"]
    assert main(["tag", *given]) == 0
    remote.mkdir()
    (remote / "a-2.jsonl").write_text("left alone", encoding="utf-8")
    given[1:4:2] = [f"file://{folder}/in/a-*.jsonl", f"file://{remote}"]
    assert main(["tag", *given]) == 0
    assert (remote / "a-1.jsonl").read_bytes() == (local / "a-1.jsonl").read_bytes()
    assert (remote / "a-2.jsonl").read_text("utf-8") == "left alone"
    given[1] = f"file://{folder}/in/b.jsonl"
    assert main(["tag", *given]) == 2
    assert capsys.readouterr().err == (
        f"error: file://{folder}/in/b.jsonl:1: expected text, a string, or tokens, a list of "
        "strings\n"
    )
    assert not exists(f"file://{remote}/b.jsonl")


def test_what_fails_is_not_stored(folder):
    target = f"file://{folder}/out.jsonl"

    def half():
        with nearby(str(folder / "in" / "b.jsonl"), target) as (_, there):
            Path(there).write_text("half", encoding="utf-8")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        half()
    assert not exists(target)
