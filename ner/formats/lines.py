"""Lines of files as they are on disk: strict decoding, LF, CRLF or CR, compressed or not.

What is wrong with a file is collected in `Faults`, so that one run shows all of it.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import itertools
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Any, AnyStr, NoReturn, TypeVar

from ner.errors import BAD_LINE, DataError, DataWarning, Fault

STREAM = "-"  # standard input or standard output
SHOWN = 20  # bad lines an error lists before it counts the rest


class Faults:
    """The errors found in a file.

    Attributes:
        path: What the file is called in messages.
        lines: How many lines are bad.
        pardoned: How many bad lines have been read all the same.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = title(path)
        self.lines = 0
        self.pardoned = 0
        self._last = 0
        self._first: dict[int, Fault] = {}
        self._kept: list[Fault] = []  # of those pardoned

    def add(self, line: int, message: str, kind: str = BAD_LINE) -> None:
        """Note what is wrong with a line, counted from 1; one message a line is enough."""
        if line == self._last or line in self._first:
            return
        self._last = line
        self.lines += 1
        self._first[line] = Fault(self.path, line, kind, message)
        if len(self._first) > 2 * SHOWN:
            self._first = {line: self._first[line] for line in sorted(self._first)[:SHOWN]}

    def refuse(self, line: int, message: str) -> NoReturn:
        """End the reading of a file that is something else altogether.

        Raises:
            DataError: Always; what has been noted before is listed too.
        """
        self.add(line, message)
        self.check()
        raise AssertionError("what was noted has been raised")

    def pardon(self, line: int, message: str, lines: int = 1, kind: str = BAD_LINE) -> None:
        """Note what is wrong with a line that is read all the same, or with several such."""
        self.pardoned += lines
        if len(self._kept) < SHOWN:
            self._kept.append(Fault(self.path, line, kind, message))

    def warn(self, fate: str) -> None:
        """Warn once of the lines that were pardoned, if any.

        Args:
            fate: What became of them.
        """
        if self.pardoned:
            message = f"{self.pardoned} bad line{'s' * (self.pardoned > 1)}: {fate}"
            faults = sorted(self._kept, key=lambda one: one.line)
            warnings.warn(
                DataWarning(
                    message, path=self.path, kind=BAD_LINE, count=self.pardoned, faults=faults
                ),
                stacklevel=2,
            )

    def error(self) -> DataError | None:
        """Return the noted errors, if any: the first 20 bad lines, and the number of others."""
        if not self.lines:
            return None
        shown = [self._first[line] for line in sorted(self._first)[:SHOWN]]
        return DataError(*shown, more={self.path: self.lines - len(shown)})

    def check(self) -> None:
        """Raise what has been noted, if anything.

        Raises:
            DataError: At least one line is bad.
        """
        if error := self.error():
            raise error


def title(source: str | Path) -> str:
    """Return the name of a source in messages."""
    return "standard input" if source == STREAM else str(source)


CHUNK = 1 << 10  # compressed bytes taken at a time, which may be 30,000 times as many
BLOCK = 1 << 20  # bytes read at a time
MAX_LINE = 1 << 22  # bytes of a line; a longer one, as a bomb unpacks to, is refused
MAX_SENTENCE = 500_000  # tokens of a sentence, likewise
SAMPLED = 1000  # bytes by which something other than text is recognised

T = TypeVar("T")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_BELL = 7  # bytes below it are in no text
_PACKED = {  # how compressed files begin
    b"\x1f\x8b": ("gzip", ".gz"),
    b"BZh": ("bzip2", ".bz2"),
    b"\xfd7zXZ": ("xz", ".xz"),
    b"\x28\xb5\x2f\xfd": ("zstandard", ".zst"),
}


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Options of every reader of text.

    Attributes:
        encoding: Encoding of the file.
        max_line: Bytes of the longest line to read.
        max_size: Bytes of the largest file to read, decompressed; unlimited by default.
    """

    encoding: str = "utf-8"
    max_line: int = MAX_LINE
    max_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class SentenceOptions(FileOptions):
    """Options of the readers of sentences that go over several lines.

    Attributes:
        max_sentence: Lines of the longest sentence to read.
    """

    max_sentence: int = MAX_SENTENCE


@dataclass(frozen=True, kw_only=True)
class LineOptions(FileOptions):
    """Options of the readers that go on after a malformed line.

    Attributes:
        faults: Collects malformed lines, which are otherwise raised together at the end.
    """

    faults: Faults | None = None


PLAIN = FileOptions()


def _zstandard() -> Any:
    try:
        import zstandard  # an extra: few corpora are compressed so
    except ImportError as error:
        raise ValueError(".zst files need zstandard: pip install ner-crf[zstd]") from error
    return zstandard


class _Unzstd(io.RawIOBase):
    """Decompresses a stream of frames, and unlike zstandard's own reader tells if it is cut short.

    Args:
        file: The compressed bytes.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._fresh = _zstandard().ZstdDecompressor().decompressobj
        self._frame: Any = None  # the frame being read
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            chunk = self._file.read(CHUNK)
            if not chunk:
                if self._frame is not None:
                    raise EOFError("the last frame is cut short")
                return 0
            self._ready = self._decompressed(chunk)
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def _decompressed(self, chunk: bytes) -> bytes:
        found = []
        while chunk:
            self._frame = self._frame or self._fresh()
            found.append(self._frame.decompress(chunk))
            chunk = b""
            if self._frame.eof:
                chunk, self._frame = self._frame.unused_data, None
        return b"".join(found)


def _zstd(file: IO[bytes], mode: str) -> Any:
    if mode == "rb":
        return io.BufferedReader(_Unzstd(file), 1 << 20)
    return _zstandard().open(file, mode, closefd=False)


COMPRESSORS: dict[str, Callable[[IO[bytes], Any], Any]] = {
    ".gz": lambda file, mode: import_module("gzip").GzipFile("", mode, fileobj=file, mtime=0),
    ".bz2": lambda file, mode: import_module("bz2").BZ2File(file, mode),
    ".xz": lambda file, mode: import_module("lzma").LZMAFile(file, mode),
    ".zst": _zstd,
}
COMPRESSED = tuple(COMPRESSORS)


def broken() -> tuple[type[Exception], ...]:
    """Return the exceptions that decompressors raise for damaged or truncated data."""
    import lzma
    import zlib

    zstandard = sys.modules.get("zstandard")
    extra = (zstandard.ZstdError,) if zstandard else ()
    return (EOFError, OSError, zlib.error, lzma.LZMAError, *extra)


def check_encoding(name: str) -> None:
    """Refuse a name that Python knows no text encoding by.

    Raises:
        ValueError: The encoding is unknown.
    """
    try:
        "\n".encode(name)
    except (LookupError, ValueError) as error:
        raise ValueError(f"unknown text encoding {name!r}") from error


@contextlib.contextmanager
def opened(source: str | Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed by its ending, or of standard input (``-``)."""
    if source == STREAM:
        yield sys.stdin.buffer
        return
    if Path(source).is_dir():
        told = f"is a folder; name its files, for example {str(Path(source) / '*.conll')!r}"
        raise IsADirectoryError(errno.EISDIR, told, str(source))
    with Path(source).open("rb") as file:
        unpack = COMPRESSORS.get(Path(source).suffix.lower())
        if unpack is None:
            yield file
            return
        with unpack(file, "rb") as unpacked:
            yield unpacked


@contextlib.contextmanager
def compressing(file: IO[bytes], path: str | Path) -> Iterator[IO[bytes]]:
    """A stream whose bytes reach ``file`` compressed as the ending of ``path`` says."""
    pack = COMPRESSORS.get(Path(path).suffix.lower())
    if pack is None:
        yield file
        return
    with pack(file, "wb") as packed:
        yield packed


@contextlib.contextmanager
def rereadable(source: str | Path) -> Iterator[str | Path]:
    """A path with the content of ``source`` that can be read more than once.

    A regular file is its own; standard input or a pipe is first copied to a temporary file.
    """
    if source != STREAM and (Path(source).is_file() or not Path(source).exists()):
        yield source
        return
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "stream"
        with opened(source) as stream, copy.open("wb") as file:
            shutil.copyfileobj(stream, file, BLOCK)
        yield copy


def taken(held: deque[T]) -> Iterator[T]:
    """Yield what is held, and let go of each item as it is given."""
    while held:
        yield held.popleft()


def numbered(
    source: str | Path, options: FileOptions = PLAIN, faults: Faults | None = None
) -> Iterator[tuple[int, str]]:
    """Read a file line by line, each with its number; see `read_texts`."""
    blocks = read_blocks(source, options, faults)
    return enumerate(itertools.chain.from_iterable(blocks), 1)


def read_blocks(
    source: str | Path, options: FileOptions = PLAIN, faults: Faults | None = None
) -> Iterator[list[str]]:
    """Read a file as blocks of lines, without their ends; see `read_texts`."""
    for text in read_texts(source, options, faults):
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()  # what comes after the last line's end
        yield lines


def read_texts(
    source: str | Path, options: FileOptions = PLAIN, faults: Faults | None = None
) -> Iterator[str]:
    """Read a file as texts of whole lines that end in LF; a BOM at its start is dropped.

    Lines end at LF, CRLF or CR and nowhere else. A line that cannot be decoded is noted in
    ``faults`` and given with its bad bytes escaped.

    Args:
        source: A path or ``"-"``.
        options: Encoding and limits.
        faults: Collects undecodable lines; without it, they are raised at the end.

    Raises:
        DataError: The file is in another encoding, its compression is broken, or it or a line is
            longer than its limit.
        ValueError: The encoding is unknown.
    """
    noted = Faults(source) if faults is None else faults
    check_encoding(options.encoding)
    encoding = options.encoding
    with opened(source) as file:
        chunks = _chunks(file, noted, options.max_size)
        if "\n".encode(encoding) == b"\n":
            decode = partial(_decoded, encoding=encoding, faults=noted)
            texts = _cut(_text_only(chunks, encoding, noted), b"\n", b"\r", decode, options, noted)
        else:
            pieces = _decoding(chunks, encoding)
            texts = _cut(pieces, "\n", "\r", lambda text, _: text, options, noted)
        for number, text in enumerate(texts):
            yield text if number else text.removeprefix("\ufeff")
    if faults is None:
        noted.check()


def _chunks(file: IO[bytes], faults: Faults, max_size: int | None) -> Iterator[bytes]:
    """Yield the data of a stream as soon as it is available."""
    read, size = getattr(file, "read1", file.read), 0
    while True:
        try:
            chunk = read(BLOCK)
        except broken() as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise DataError.of(faults.path, f"the compressed data is broken: {error}") from error
        if not chunk:
            return
        size += len(chunk)
        if max_size is not None and size > max_size:
            faults.refuse(1, f"the file has more than {max_size:,} bytes (max_size)")
        yield chunk


def _cut(
    pieces: Iterable[AnyStr],
    lf: AnyStr,
    cr: AnyStr,
    decode: Callable[[AnyStr, int], str],
    options: FileOptions,
    faults: Faults,
) -> Iterator[str]:
    """Yield texts of whole lines; a line that goes on and on is refused before it fills memory."""
    line, empty = 1, lf[:0]
    rest: list[AnyStr] = [empty]
    try:
        for piece in pieces:
            whole = rest.pop() + piece if rest[-1].endswith(cr) else piece
            # a CR that ends the piece may be half of a CRLF: it waits for the next one
            end = max(whole.rfind(lf), whole.rfind(cr, 0, -1)) + 1
            if not end:
                rest.append(whole)
                if sum(map(len, rest)) > options.max_line:
                    told = f"the line has more than {options.max_line:,} bytes (max_line)"
                    faults.refuse(line, told)
                continue
            rest.append(whole[:end])
            text = _lf(decode(empty.join(rest), line))
            rest = [whole[end:]]
            yield text
            line += text.count("\n")
    except UnicodeError as error:
        faults.refuse(line, f"cannot be read as {options.encoding}: {error}")
    if last := empty.join(rest):
        yield _lf(decode(last, line))


def _text_only(chunks: Iterable[bytes], encoding: str, faults: Faults) -> Iterator[bytes]:
    """Yield the same chunks, the first of which must look like text in its encoding."""
    for number, chunk in enumerate(chunks):
        if number == 0:
            _refuse_foreign(chunk, encoding, faults)
        yield chunk


def _decoding(chunks: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Yield the text of chunks in an encoding such as UTF-16, whose line feed is several bytes."""
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in itertools.chain(chunks, [b""]):
        yield decoder.decode(chunk, final=not chunk)


def _refuse_foreign(start: bytes, encoding: str, faults: Faults) -> None:
    """Raise if the first bytes show that a file is not text in its encoding."""
    for magic, (name, ending) in _PACKED.items():
        if start.startswith(magic) and not start[:SAMPLED].isascii():
            faults.refuse(1, f"this is {name} data; give the file the extension {ending}")
    if not encoding.lower().startswith("utf"):
        return
    wide = "utf-16" if start.startswith(_UTF16) else _wide(start[:SAMPLED])
    if start.startswith(_UTF32):
        wide = "utf-32"
    if wide:
        name = wide[:6].upper()
        faults.refuse(1, f"byte 0x{start[0]:02x}: this looks like {name}; set encoding: {wide}")
    damage = start[:SAMPLED].decode("utf-8", "replace").count("\ufffd")
    if sum(byte < _BELL for byte in start[:SAMPLED]) > (16 if damage > SAMPLED // 20 else 50):
        faults.refuse(1, "this is not text but binary data, or a file with damaged parts")


def _wide(start: bytes) -> str | None:
    """UTF-16 without a mark, of text that is mostly ASCII: every other byte is zero."""
    half = len(start) // 2
    for name, high, low in (
        ("utf-16-le", start[1::2], start[::2]),
        ("utf-16-be", start[::2], start[1::2]),
    ):
        if low.strip(b"\r\n\t ") and 4 * high.count(0) > 3 * half > 3 and not low.count(0):
            return name
    return None


def _decoded(raw: bytes, first: int, encoding: str, faults: Faults) -> str:
    """The text of whole lines; where it cannot be decoded, line by line."""
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    texts = []
    for number, line in enumerate(lines, first):
        try:
            texts.append(line.decode(encoding))
        except UnicodeDecodeError as error:
            faults.add(number, _undecodable(error, encoding))
            texts.append(line.decode(encoding, "backslashreplace"))
    return "\n".join(texts)


def _undecodable(error: UnicodeDecodeError, encoding: str) -> str:
    byte = error.object[error.start]
    eight = "windows-1252" if 0x80 <= byte < 0xA0 else "latin-1"
    other = eight if encoding.lower().replace("-", "").startswith("utf8") else "utf-8"
    return (
        f"byte 0x{byte:02x} at position {error.start + 1} of the line is not valid {encoding}; "
        f"if the file is in another encoding, set it, for example encoding: {other}"
    )


def _lf(text: str) -> str:
    """The same text with LF as the only line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
