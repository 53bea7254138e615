"""Files elsewhere: listed, fetched and stored as those of this machine are."""

from pathlib import Path

import fsspec
import pytest

from ner.cli import main
from ner.formats import expand
from ner.storage.addresses import exists, joined, nearby

LINES = {"a-1": '{"tokens": ["Ada", "Obi"]}\n', "a-2": '{"text": "Lima"}\n', "b": "{}\n"}


@pytest.fixture
def folder(tmp_path):
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
        f"error: file://{folder}/in/b.jsonl:1: expected 'text' (a string) or 'tokens' (a list of "
        "strings)\n"
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


def test_stores_other_than_files_are_listed_read_and_written():
    store = fsspec.filesystem("memory")
    store.pipe({f"/in/{name}.jsonl": line.encode() for name, line in LINES.items()})
    found = expand(["memory://in/a-*.jsonl"])
    assert found == ["memory://in/a-1.jsonl", "memory://in/a-2.jsonl"]
    with nearby(found[0], "memory://out/a-1.jsonl") as (here, there):
        Path(there).write_bytes(Path(here).read_bytes())
    assert store.cat("/out/a-1.jsonl").decode() == LINES["a-1"]
    assert exists("memory://out/a-1.jsonl")
    store.rm("/", recursive=True)


def test_what_cannot_be_reached_is_one_line_with_its_address(capsys):
    assert main(["tag", "model", "nowhere://a/*.jsonl", "--output-dir", "out"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere://a/*.jsonl: Protocol not known")
    with pytest.raises(FileNotFoundError, match="No such file") as told, nearby("memory://x", "y"):
        pass
    assert told.value.filename == "memory://x"
