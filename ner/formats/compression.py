"""Compressed files, by the ending of their name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable
from typing import IO, Any

CHUNK = 1 << 10  # compressed bytes taken at a time, which may be 30,000 times as many


def _zstandard() -> Any:
    try:
        import zstandard  # an extra: few corpora are compressed so
    except ImportError as error:
        raise ValueError(
            "files ending in .zst need zstandard: pip install ner-crf[zstd]"
        ) from error
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
    ".gz": lambda file, mode: gzip.GzipFile("", mode, fileobj=file, mtime=0),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _zstd,
}
COMPRESSED = tuple(COMPRESSORS)


def broken() -> tuple[type[Exception], ...]:
    """What decompressors raise of data that is not whole."""
    zstandard = sys.modules.get("zstandard")
    extra = (zstandard.ZstdError,) if zstandard else ()
    return (EOFError, OSError, zlib.error, lzma.LZMAError, *extra)
