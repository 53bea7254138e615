"""Files as lines: decoding, line ends, compression, several files at once."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ner
from ner.errors import DataError, DataWarning
from ner.formats import expand, lines
from ner.formats.lines import (
    COMPRESSED,
    Faults,
    FileOptions,
    compressing,
    opened,
    read_blocks,
    rereadable,
)
from ner.sentence import Sentence

ODD_CHARACTERS = "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e"


def save(folder: Path, content: bytes) -> Path:
    path = folder / "x"
    path.write_bytes(content)
    return path


def all_lines(path: Path, encoding: str = "utf-8") -> list[str]:
    return [line for block in read_blocks(path, FileOptions(encoding=encoding)) for line in block]


def cut(text: str) -> list[str]:
    """The lines of a text, the plain way."""
    found = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return found if found[-1] else found[:-1]


@given(
    pieces=st.lists(st.sampled_from(["\n", "\r", "\r\n", "a", "é", "\U0001f600", ODD_CHARACTERS])),
    block=st.integers(1, 7),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "gb18030"]),
)
def test_lines_are_the_same_wherever_the_blocks_are_cut(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], block: int, encoding: str
) -> None:
    text = "".join(pieces)
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(text.encode(encoding))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        assert all_lines(path, encoding) == cut(text)


def test_only_lf_crlf_and_cr_end_lines(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(f"a{ODD_CHARACTERS}b\nc\r\nd\re".encode())
    assert all_lines(path) == [f"a{ODD_CHARACTERS}b", "c", "d", "e"]


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_a_file_of_nothing_has_no_lines(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert all_lines(path) == []


def test_a_bom_is_dropped_at_the_start_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes("\ufeffa\n\ufeffb\n".encode())
    assert all_lines(path) == ["a", "\ufeffb"]


def test_bytes_that_are_not_utf8_name_line_byte_and_option(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_bytes(b"one\r\ntwo\nM\xfcnchen\nfine\nK\xf6ln")
    with pytest.raises(DataError) as caught:
        all_lines(path)
    first, second = str(caught.value).split("\n")
    assert first.startswith(f"{path}:3: byte 0xfc at position 2 of the line is not valid utf-8")
    assert "encoding: latin-1" in first
    assert second.startswith(f"{path}:5: byte 0xf6")
    assert all_lines(path, "latin-1")[2] == "München"
    with pytest.raises(DataError, match=r"is not valid ascii; .* for example encoding: utf-8"):
        all_lines(path, "ascii")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_recognised_by_its_bom(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x"
    path.write_bytes("\ufeffa O\n".encode(encoding))
    with pytest.raises(DataError, match=r"x:1: byte 0xf[ef]: this looks like UTF-16; set encoding"):
        all_lines(path)
    assert all_lines(path, "utf-16") in (["a O"], ["\ufeffa O"])


@pytest.mark.parametrize("encoding", ["utf-32", "windows-1252"])
def test_the_encoding_that_is_suggested_reads_the_file(tmp_path: Path, encoding: str) -> None:
    path = save(tmp_path, "\u201cAda\u201d O\n".encode(encoding))
    with pytest.raises(DataError, match=f"encoding: {encoding}"):
        all_lines(path)
    assert all_lines(path, encoding) == ["\u201cAda\u201d O"]


def test_tokens_of_nothing_but_zeros_are_text(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\0\n\0\n")
    assert all_lines(path) == ["\0", "\0"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_bom_is_recognised_by_its_zeros(tmp_path: Path, encoding: str) -> None:
    path = save(tmp_path, "Zo\u00eb B-PER\nsang O\n".encode(encoding))
    with pytest.raises(
        DataError, match=rf"x:1: byte .*looks like UTF-16; set encoding: {encoding}"
    ):
        list(read_blocks(path))
    assert list(read_blocks(path, FileOptions(encoding=encoding))) == [["Zo\u00eb B-PER", "sang O"]]
    with pytest.raises(DataError, match="looks like UTF-16"):
        list(read_blocks(save(tmp_path, "a\n".encode(encoding))))


def test_a_zero_here_and_there_is_a_character(tmp_path: Path) -> None:
    assert list(read_blocks(save(tmp_path, b"a\0b\0 O\n"))) == [["a\0b\0 O"]]


@pytest.mark.parametrize(
    ("ending", "packer"),
    [(".gz", "gzip"), (".bz2", "bzip2"), (".xz", "xz"), (".zst", "zstandard")],
)
def test_packed_data_without_its_ending_is_told_by_its_first_bytes(
    tmp_path: Path, ending: str, packer: str
) -> None:
    if ending == ".zst":
        pytest.importorskip("zstandard")
    ner.write(tmp_path / f"x.conll{ending}", [Sentence(("a",), ())])
    path = (tmp_path / f"x.conll{ending}").rename(tmp_path / "x.conll")
    with pytest.raises(
        DataError, match=rf"x\.conll:1: this is .*\b{packer}\b.* extension \{ending}$"
    ):
        list(ner.read(path))
    assert list(read_blocks(save(tmp_path, b"BZh9 O\n"))) == [["BZh9 O"]]


def test_a_folder_is_told_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder; name its files, for example"):
        list(ner.read(tmp_path))


def test_broken_utf16_in_the_first_line_is_named_so(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes("a".encode("utf-16") + b"\x00\xd8\x00")
    with pytest.raises(DataError, match="x:1: cannot be read as utf-16"):
        all_lines(path, "utf-16")


def test_a_bom_at_the_start_of_a_later_block_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BLOCK", 4)
    path = tmp_path / "x"
    path.write_bytes("abc\n\ufeffd\n".encode())
    assert all_lines(path) == ["abc", "\ufeffd"]


def test_broken_utf16_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes("a\nb\n".encode("utf-16") + b"\x00\xd8\x00")
    with pytest.raises(DataError, match="x:3: cannot be read as utf-16"):
        all_lines(path, "utf-16")


@pytest.mark.parametrize("encoding", ["nonsense", "rot13", "base64"])
def test_an_encoding_that_is_none_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x"
    path.write_text("a\n")
    with pytest.raises(ValueError, match=f"unknown text encoding '{encoding}'"):
        all_lines(path, encoding)


@pytest.mark.parametrize("ending", ["", *COMPRESSED])
def test_what_was_written_compressed_is_read_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.conll{ending}"
    with path.open("wb") as file, compressing(file, path) as packed:
        packed.write("Zürich O\n".encode() * 1000)
    assert all_lines(path) == ["Zürich O"] * 1000
    assert (path.stat().st_size < 1000) == bool(ending)


@pytest.mark.parametrize("ending", COMPRESSED)
@pytest.mark.parametrize("spoil", ["cut short", "flipped", "something else"])
def test_broken_compressed_data_is_an_error_of_the_file(
    tmp_path: Path, ending: str, spoil: str
) -> None:
    path = tmp_path / f"x{ending}"
    with path.open("wb") as file, compressing(file, path) as packed:
        packed.write(os.urandom(5000))
    whole = path.read_bytes()
    half = len(whole) // 2
    path.write_bytes(
        {
            "cut short": whole[:half],
            "flipped": whole[:8] + bytes([whole[8] ^ 255]) + whole[9:half] + b"\0" + whole[half:],
            "something else": b"plain text that nobody has compressed\n" * 9,
        }[spoil]
    )
    with pytest.raises(DataError, match=f"x{ending}: the compressed data is broken"):
        list(read_blocks(path, FileOptions(encoding="latin-1")))


def test_a_disk_that_cannot_be_read_is_no_fault_of_the_data() -> None:
    class Broken(io.RawIOBase):
        def read1(self, size: int) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error") as caught:
        list(lines._chunks(Broken(), Faults("x"), None))
    assert not isinstance(caught.value, DataError)
    assert caught.value.errno == 5


def test_a_glob_means_its_files_in_order(tmp_path: Path) -> None:
    for name in ("b.conll", "a.conll", "c.txt"):
        (tmp_path / name).touch()
    pattern = str(tmp_path / "*.conll")
    found = [str(tmp_path / "a.conll"), str(tmp_path / "b.conll")]
    assert expand(pattern) == found
    assert expand([tmp_path / "c.txt", pattern, "-"]) == [tmp_path / "c.txt", *found, "-"]


def test_a_file_whose_name_looks_like_a_glob_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "train[1].conll"
    path.touch()
    assert expand(path) == [path]


def test_a_glob_that_matches_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file matches"):
        expand(str(tmp_path / "*.conll"))


def test_twenty_bad_lines_are_listed_and_the_rest_counted() -> None:
    faults = Faults("x.conll")
    for line in range(1, 31):
        faults.add(line, "bad")
        faults.add(line, "and bad again")
    with pytest.raises(DataError) as caught:
        faults.check()
    told = str(caught.value).split("\n")
    assert told[:20] == [f"x.conll:{line}: bad" for line in range(1, 21)]
    assert told[20:] == ["x.conll: and 10 more bad lines"]


def test_twenty_lines_read_all_the_same_are_listed_in_order_and_the_rest_counted() -> None:
    faults = Faults("x.conll")
    faults.pardon(40, "odd", 3)
    for line in range(30, 1, -1):
        faults.pardon(line, "odd")
    with pytest.warns(DataWarning) as caught:
        faults.warn("read as they are")
    told = str(caught[0].message).split("\n")
    listed = [*range(12, 31), 40]
    assert told == [
        "x.conll: 32 bad lines: read as they are",
        *(f"x.conll:{line}: odd" for line in listed),
        "x.conll: and 12 more",
    ]


def test_lines_beside_one_that_cannot_be_decoded_are_as_they_stand(tmp_path: Path) -> None:
    path, faults = tmp_path / "a.txt", Faults("a.txt")
    path.write_bytes(b"a\r\nb \xff\rc\n")
    assert list(read_blocks(path, faults=faults)) == [["a", "b \\xff", "c"]]
    assert faults.lines == 1


def test_no_fault_is_no_error() -> None:
    Faults("x").check()


def test_standard_input_is_read_where_a_path_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b"a\nb\n")

    monkeypatch.setattr("sys.stdin", Stdin)
    with rereadable("-") as path:
        assert all_lines(Path(path)) == all_lines(Path(path)) == ["a", "b"]
    assert not Path(path).exists()


def test_a_pipe_can_be_read_more_than_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(b"a\nb\n"))
    writer.start()
    with rereadable(pipe) as path:
        assert all_lines(Path(path)) == all_lines(Path(path)) == ["a", "b"]
    writer.join()


def test_a_regular_file_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch()
    with rereadable(path) as same:
        assert same == path
    with pytest.raises(FileNotFoundError), opened(tmp_path / "absent"):
        pass
