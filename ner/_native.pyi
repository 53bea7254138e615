"""The kernels in C; see ``ner.native``. Arrays are contiguous and of the type that is named."""

from typing_extensions import Buffer

interface: int

def instruction_sets() -> tuple[str, ...]: ...
def in_use() -> str: ...
def use(name: str, /) -> None: ...
def pack(width: int, directions: int, recurrent: Buffer, /) -> object: ...
def lstm(
    packed: object,
    direction_stride: int,
    row_stride: int,
    gates: Buffer,
    index: Buffer,
    places: Buffer,
    counts: Buffer,
    outputs: Buffer,
    /,
) -> None: ...
def span_probabilities(chain: tuple[object, ...], spans: Buffer, found: Buffer, /) -> bool: ...
def probable_spans(chain: tuple[object, ...], least: float, /) -> bytes | None: ...
def viterbi(
    batch: int,
    length: int,
    tags: int,
    emissions: Buffer,
    lengths: Buffer,
    transitions: Buffer,
    start: Buffer,
    end: Buffer,
    paths: Buffer,
    /,
) -> bool: ...
def character_maxima(
    words: int,
    length: int,
    known: int,
    width: int,
    window: int,
    characters: Buffer,
    products: Buffer,
    maxima: Buffer,
    places: Buffer,
    /,
) -> None: ...
def character_gradients(
    words: int,
    length: int,
    known: int,
    width: int,
    window: int,
    characters: Buffer,
    products: Buffer,
    gradients: Buffer,
    places: Buffer,
    /,
) -> None: ...
def new_fields() -> object: ...
def cut_lines(
    fields: object, text: str, width: int, token: int, tag: int, /
) -> tuple[tuple[str, ...], tuple[str, ...]] | None: ...
