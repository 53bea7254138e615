"""Requests to tag: their limits, and from the bytes of a body to sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from ner.config import ConfigError
from ner.sentence import Sentence, Span
from ner.streaming.readers import HELD, TEXT
from ner.streaming.tokenizers import TextTokenizer
from ner.texts import Parts, as_one_document

HIGHEST = {"characters": TEXT, "tokens": HELD}  # `ner tag` splits longer ones into several records


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits beyond which requests are refused.

    Attributes:
        body: The maximum number of bytes of a request body.
        texts: The maximum number of texts or sentences per request.
        characters: The maximum number of characters of a text, or of a sentence's tokens.
        tokens: The maximum number of tokens per request.
        requests: The maximum number of concurrent requests.
        held: The maximum number of bytes of request bodies in memory.
        arrival: The seconds within which a request must arrive.
        seconds: The seconds after which a request times out.

    Raises:
        ConfigError: A limit is not above 0, or too high.
    """

    body: int = 1 << 20
    texts: int = 1000
    characters: int = 100_000
    tokens: int = 50_000
    requests: int = 1024
    held: int = 64 << 20
    arrival: float = 10.0
    seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ConfigError(f"the limit of {field.name} must be above 0, got {value}")
            if value > HIGHEST.get(field.name, value):
                raise ConfigError(
                    f"the limit of {field.name} must be at most {HIGHEST[field.name]:,}, "
                    f"got {value:,}"
                )
        if self.held < self.body:
            raise ConfigError(
                f"the limit of all bodies ({self.held:,} bytes) is below that of one "
                f"({self.body:,} bytes)"
            )

    @classmethod
    def of(cls, **given: Any) -> Self:
        """Return the default limits except for those given; ``held`` grows with ``body``."""
        default = cls()
        return cls(**{"held": max(default.held, 64 * given.get("body", default.body)), **given})


class RefusedError(Exception):
    """A refused request, with the HTTP status and the message for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of the response: ``Retry-After``, if retrying may help."""
        return {"Retry-After": "1"} if self.status in (429, 503) else {}


ONE, MANY = ("text", "tokens"), ("texts", "sentences")
KINDS: Mapping[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}
WANTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "missing": "a value",
    "list_type": "a list",
    "float_type": "a number",
    "greater_than_equal": "a number from 0 to 1",
    "less_than_equal": "a number from 0 to 1",
    "finite_number": "a number from 0 to 1",
    "bool_type": "true or false",
    "model_type": "an object",
}
Token = Annotated[str, Field(min_length=1)]


def _only_one(schema: dict[str, Any]) -> None:
    """Add to the schema what types cannot express: exactly one of the four, never null."""
    for name in (*ONE, *MANY, "language"):
        del schema["properties"][name]["default"]
    schema["oneOf"] = [{"required": [name]} for name in (*ONE, *MANY)]


def _absent(description: str, *examples: Any) -> Any:
    return Field(default=None, description=description, examples=list(examples))


class GivenSpan(BaseModel):
    """An entity that is given, or, without a label, a stretch that is none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    start: int
    end: int
    label: str = ""


GIVEN = {"type": "array", "items": GivenSpan.model_json_schema()}  # inline, without references


class TagBody(BaseModel):
    """A request to tag: exactly one of `text`, `texts`, `tokens` and `sentences`."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_only_one)

    text: str = _absent("one text", "Angela Merkel met Tim Cook in Berlin.")
    texts: list[str] = _absent("several texts", ["Angela Merkel met Tim Cook.", "In Berlin."])
    tokens: list[Token] = _absent("the tokens of one sentence", ["Ada", "Obi", "left", "."])
    sentences: list[list[Token]] = _absent("the tokens of several sentences", [["Hello", "Accra"]])
    language: Annotated[str, Field(pattern="^[a-z]{2,3}$")] = Field(
        default="", description="tokenize with spaCy for this language", examples=["de"]
    )
    min_score: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        default=0.0, description="omit spans less probable than this", examples=[0.5]
    )
    split: bool = Field(default=True, description="split texts into sentences")
    document: bool = Field(
        default=False, description="treat the texts or sentences as one document"
    )

    spans: Annotated[list[GivenSpan], WithJsonSchema(GIVEN)] = Field(
        default_factory=list,
        description="entities that are given, around which the others are found: by characters of "
        "`text` or by `tokens`; no label says that there is no entity",
        examples=[[{"start": 0, "end": 13, "label": "PER"}]],
    )

    @property
    def texts_asked(self) -> list[str]:
        """The texts to tokenize."""
        return [item for item in self.items() if isinstance(item, str)]

    @property
    def many(self) -> bool:
        """Return whether the response is a list of records."""
        return not self.model_fields_set.isdisjoint(MANY)

    def items(self) -> Sequence[str | list[str]]:
        """Return the texts, or the lists of tokens."""
        [name] = self.model_fields_set.intersection((*ONE, *MANY))
        given: Any = getattr(self, name)
        return given if self.many else [given]


class RedactBody(TagBody):
    """Something to redact."""

    replacement: Literal["label", "mask", "pseudonym"] = Field(
        default="label", description="what stands in place of an entity"
    )


def read(body: bytes, limits: Limits, kind: type[TagBody] = TagBody) -> TagBody:
    """Parse the body of a request.

    Raises:
        RefusedError: The body is invalid, or exceeds a limit.
    """
    try:
        asked = kind.model_validate_json(body)
    except ValidationError as error:
        raise RefusedError(*_complaint(error)) from None
    given = sorted(asked.model_fields_set.intersection((*ONE, *MANY)))
    if len(given) != 1:
        got = " and ".join(given) or "none"
        raise RefusedError(422, f"expected exactly one of {', '.join((*ONE, *MANY))}; got {got}")
    if asked.spans and asked.many:
        raise RefusedError(422, f"spans: expected text or tokens beside them, got {given[0]}")
    items = asked.items()
    if len(items) > limits.texts:
        raise RefusedError(413, f"{given[0]}: at most {limits.texts:,}, got {len(items):,}")
    for number, item in enumerate(items):
        size = len(item) if isinstance(item, str) else sum(map(len, item))
        if size > limits.characters:
            place = f"{given[0]}[{number}]" if asked.many else given[0]
            raise RefusedError(
                413, f"{place}: at most {limits.characters:,} characters, got {size:,}"
            )
    if given[0] in ("tokens", "sentences"):
        _check_tokens(sum(map(len, items)), limits)
    return asked


def _check_tokens(count: int, limits: Limits) -> None:
    if count > limits.tokens:
        raise RefusedError(413, f"at most {limits.tokens:,} tokens, got {count:,}")


def parts_of(asked: TagBody, cut: TextTokenizer, limits: Limits) -> Iterator[Parts]:
    """Yield the texts or sentences of a request, tokenizing each only when it is needed.

    Raises:
        RefusedError: There are too many tokens.
    """
    parts = (Parts.of(one, split=asked.split) for one in _each(asked, cut, limits))
    yield from as_one_document(list(parts)) if asked.document else parts


def _each(asked: TagBody, cut: TextTokenizer, limits: Limits) -> Iterator[Sentence]:
    tokens = 0
    for item in asked.items():
        sentence = cut(item) if isinstance(item, str) else Sentence(tuple(item))
        tokens += len(sentence)
        _check_tokens(tokens, limits)
        yield clamped(sentence, asked.spans) if asked.spans else sentence


def clamped(sentence: Sentence, given: Sequence[GivenSpan]) -> Sentence:
    """Return a sentence with given spans, by characters of its text if it has one.

    Raises:
        RefusedError: A span does not begin and end with a token, or two overlap.
    """
    offsets = sentence.offsets or [(place, place + 1) for place in range(len(sentence))]
    starts = {start: place for place, (start, _) in enumerate(offsets)}
    ends = {end: place + 1 for place, (_, end) in enumerate(offsets)}
    spans, taken = [], set[int]()
    for number, one in enumerate(given):
        if one.start not in starts or one.end not in ends or one.end <= one.start:
            raise RefusedError(422, f"spans[{number}]: does not begin and end with a token")
        own = range(starts[one.start], ends[one.end])
        if not taken.isdisjoint(own):
            raise RefusedError(422, f"spans[{number}]: overlaps another one")
        taken.update(own)
        if one.label:
            spans.append(Span(own.start, own.stop, one.label))
    unknown = frozenset(range(len(sentence))) - taken
    return replace(sentence, spans=tuple(sorted(spans)), unknown=unknown)


def _complaint(error: ValidationError) -> tuple[int, str]:
    """Return the status and the message for an invalid body."""
    first = error.errors(include_url=False)[0]
    kind, place = first["type"], _place(first["loc"])
    if kind == "json_invalid":
        return 400, f"request body is not valid JSON: {first['ctx']['error']}"
    if kind == "extra_forbidden":
        known = ", ".join(TagBody.model_fields)
        return 422, f"unknown field {place!r}; expected {known}"
    if kind == "string_pattern_mismatch":
        return 422, f"{place}: expected a language code of two or three letters"
    if kind == "string_too_short":
        return 422, f"{place}: expected a token, got an empty string"
    got = KINDS.get(type(first["input"]), "another type")
    return 422, f"{place or 'request body'}: expected {WANTED.get(kind, kind)}, got {got}"


def _place(steps: tuple[int | str, ...]) -> str:
    """Return the place of a value in the body: ``sentences[3][1]``."""
    shown = "".join(f"[{step}]" if isinstance(step, int) else step for step in steps)
    return shown if len(shown) <= 80 else f"{shown[:80]}..."
