"""The application: its routes, requests and responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse

from ner import __version__
from ner.analysis.alternatives import clampable
from ner.redaction import Pattern, Replacer, around, matches, replaced
from ner.sentence import Sentence
from ner.serving.label_studio import TRAINING, Tasks
from ner.serving.middleware import CONTENT_TYPE, GONE, JSON, Backpressure, Metrics, Middleware, left
from ner.serving.page import page, reference
from ner.serving.request import Limits, RedactBody, RefusedError, TagBody, read
from ner.serving.workers import Batcher, SpacyWorker
from ner.streaming.tokenizers import (
    BUILTIN,
    TextTokenizer,
    spacy_language,
    text_tokenizer,
    tokenized,
)

if TYPE_CHECKING:
    from ner.runtime import ExportedTagger
    from ner.tagger import Tagger

LAST = 2.0  # seconds that tagging may go on after all responses, on shutdown


class SpanRecord(BaseModel):
    """An entity; characters are counted as code points of the text."""

    start: int
    end: int
    label: str
    score: float | None = Field(description="its probability")
    text: str
    token_start: int
    token_end: int


class Record(BaseModel):
    """A result in the format of `ner tag --to jsonl`."""

    text: str
    tokens: list[str]
    spans: list[SpanRecord]


class HiddenRecord(BaseModel):
    """A part of a text that was replaced."""

    start: int
    end: int
    label: str
    replacement: str
    score: float | None


class RedactedRecord(BaseModel):
    """A text without its entities; characters are those of the original text."""

    text: str
    hidden: list[HiddenRecord]


class ErrorResponse(BaseModel):
    """The reason why a request failed."""

    error: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": description}
    for status, description in {
        400: "request body is not valid JSON",
        408: "request body did not arrive in time",
        413: "too many bytes, texts, characters or tokens",
        415: "content type is not application/json",
        422: "JSON does not match the schema",
        500: "internal error",
        503: "busy or timed out; see Retry-After",
    }.items()
}


class Service:
    """A tagger and the handlers that use it.

    Args:
        tagger: The tagger.
        limits: The limits of requests.
        tokenizer: The tokenizer of texts in requests that name no language.
        name: The name of the model.
        patterns: What is redacted whatever the model finds.

    Raises:
        ConfigError: The tokenizer is unknown.
    """

    def __init__(
        self,
        tagger: Tagger | ExportedTagger,
        limits: Limits,
        *,
        tokenizer: str,
        name: str,
        patterns: Sequence[Pattern],
    ) -> None:
        text_tokenizer(tokenizer)  # an unknown one fails now
        self.tagger, self.limits, self.name, self.tokenizer = tagger, limits, name, tokenizer
        self.language, self.patterns = spacy_language(tokenizer), patterns
        self.spacy = SpacyWorker(limits.seconds)
        # parsing JSON holds the GIL: a second thread would take it as soon as the first is done
        self.reading = ThreadPoolExecutor(1, "ner-reading")
        self.metrics = Metrics()
        self.backpressure = Backpressure(limits)
        self.batcher = Batcher(tagger, limits, self.metrics)
        watch = self.metrics.watch
        watch("ner_queue_requests", "Requests waiting", lambda: len(self.batcher))
        watch("ner_open_requests", "Requests being processed", lambda: self.backpressure.requests)
        watch("ner_held_bytes", "Bytes of request bodies in memory", lambda: self.backpressure.held)

    @asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """Tag while the block runs; accepted requests are completed."""
        self.batcher.start()
        try:
            yield
        finally:
            self.reading.shutdown(wait=False, cancel_futures=True)
            await asyncio.to_thread(self.spacy.close)
            await asyncio.to_thread(self.batcher.close, LAST)

    async def tag(self, request: Request, kind: type[TagBody] = TagBody) -> Response:
        """Tag or redact a request and return its records.

        Raises:
            RefusedError: The request is refused.
        """
        began = perf_counter()
        with self.backpressure.one():
            async with self.backpressure.body(request) as body:
                loop = asyncio.get_running_loop()
                asked = await loop.run_in_executor(self.reading, read, body, self.limits, kind)
                self._check_given(asked)
                records = await self._records(request, asked)
                if isinstance(asked, RedactBody):
                    hide = partial(_redacted, asked, records, self.patterns)
                    records = await loop.run_in_executor(self.reading, hide)
        self.metrics.answered(perf_counter() - began)
        content = b"[" + b", ".join(records) + b"]" if asked.many else records[0]
        return Response(content, media_type=JSON)

    async def predict(self, request: Request) -> Response:
        """Answer Label Studio: its tasks with predictions around what is annotated.

        Raises:
            RefusedError: The request is refused.
        """
        with self.backpressure.one():
            async with self.backpressure.body(request) as body:
                loop = asyncio.get_running_loop()
                tasks = await loop.run_in_executor(self.reading, Tasks.read, body, self.limits)
                self._check_given(tasks.asked)
                records = await self._records(request, tasks.asked) if tasks.texts else []
        return JSONResponse(tasks.answer(records, self.name))

    def _check_given(self, asked: TagBody) -> None:
        """Check that given spans can be tagged around.

        Raises:
            RefusedError: The model has no such label, or its scheme cannot mark their ends.
        """
        if not asked.spans:
            return
        known = clampable(self.tagger.scheme, self.tagger.labels)
        for number, one in enumerate(asked.spans):
            if one.label and one.label not in known:
                labels = ", ".join(known) or "none, since tags of its scheme have no end"
                raise RefusedError(422, f"spans[{number}].label: expected one of {labels}")

    async def _records(self, request: Request, asked: TagBody) -> list[bytes]:
        cut = await self._cutter(asked)
        if isinstance(asked, RedactBody) and self.patterns:
            cut = partial(self._around_patterns, cut or text_tokenizer(BUILTIN))
        answer = asyncio.wrap_future(self.batcher.submit(asked, cut))
        gone = asyncio.ensure_future(left(request))
        try:
            either: set[asyncio.Future[Any]] = {answer, gone}
            await asyncio.wait(
                either, timeout=self.limits.seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if answer.done():
                return answer.result()
            if gone.done():
                raise RefusedError(GONE, "the client disconnected")
        finally:
            gone.cancel()
            answer.cancel()  # the rest need not be tagged
        raise RefusedError(503, f"timed out after {self.limits.seconds:g} s; try again later")

    async def _cutter(self, asked: TagBody) -> TextTokenizer | None:
        """Return the tokenizer of a request; ``None`` for the built-in one.

        Raises:
            RefusedError: spaCy does not support the language, or timed out.
        """
        language, texts = asked.language or self.language, asked.texts_asked
        if not language or not texts:
            return None
        loop, spacy = asyncio.get_running_loop(), self.spacy
        try:
            async with asyncio.timeout(self.limits.seconds):
                found = await loop.run_in_executor(spacy.thread, spacy.tokenize, language, texts)
        except TimeoutError:
            raise RefusedError(503, "spaCy's tokenizer is busy; try again later") from None
        cut = iter(found)
        return lambda text: tokenized(text, lambda _: next(cut))

    def _around_patterns(self, cut: TextTokenizer, text: str) -> Sentence:
        """Tokenize a text, and annotate what the patterns match in it."""
        known = clampable(self.tagger.scheme, self.tagger.labels)
        return around(cut(text), matches(text, self.patterns), known)

    def about(self) -> dict[str, Any]:
        """Describe the model."""
        return {
            "model": self.name,
            "version": __version__,
            "labels": list(self.tagger.labels),
            "embeddings": list(self.tagger.embeddings),
            "scheme": self.tagger.scheme.name,
            "tokenizer": self.tokenizer,
            "language": self.language,
            "decoding": asdict(self.tagger.decoding),
            "limits": asdict(self.limits),
            "scores": {
                split: {key: scores.get(key) for key in ("precision", "recall", "f1")}
                for split, scores in self.tagger.metrics.items()
                if split in ("development", "test") and isinstance(scores, dict)
            },
        }


def _redacted(
    asked: RedactBody, records: Iterable[bytes], patterns: Sequence[Pattern]
) -> list[bytes]:
    """Replace the entities of records and what patterns match; pseudonyms are by document."""
    replacer, made = Replacer(asked.replacement), []
    for record in map(json.loads, records):
        if not asked.document:
            replacer.new_document()
        found = [(one["start"], one["end"], one["label"], one["score"]) for one in record["spans"]]
        own = matches(record["text"], patterns)
        redacted = replaced(record["text"], [*own, *found], replacer)
        said = {"text": redacted.text, "hidden": [asdict(one) for one in redacted.hidden]}
        made.append(json.dumps(said, ensure_ascii=False).encode())
    return made


def application(
    tagger: Tagger | ExportedTagger,
    *,
    limits: Limits | None = None,
    tokenizer: str = BUILTIN,
    name: str = "model",
    hosts: tuple[str, ...] = (),
    patterns: Sequence[Pattern] = (),
) -> FastAPI:
    """Return the ASGI application that tags.

    Args:
        tagger: The tagger; nothing else may use it at the same time.
        limits: The limits of requests.
        tokenizer: The tokenizer of texts in requests that name no language: ``builtin``, ``spacy``
            or ``spacy:LANGUAGE``.
        name: The name of the model.
        hosts: The accepted host names; empty for any.
        patterns: What ``/redact`` replaces whatever the model finds.

    Raises:
        ConfigError: The tokenizer is unknown.
    """
    service = Service(tagger, limits or Limits(), tokenizer=tokenizer, name=name, patterns=patterns)
    app = FastAPI(
        title="ner",
        version=__version__,
        description="Finds entities in texts.",
        docs_url=None,  # its pages would load scripts from other hosts; /docs is our own
        redoc_url=None,
        lifespan=service.running,
    )
    app.state.service = service
    _add_tagging(app, service)
    _add_label_studio(app, service)
    _add_information(app, service)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(HTTPException, _not_served)
    app.add_middleware(Middleware, limits=service.limits, metrics=service.metrics, hosts=hosts)
    return app


def _add_tagging(app: FastAPI, service: Service) -> None:
    def body(kind: type[TagBody]) -> dict[str, Any]:
        content = {JSON: {"schema": kind.model_json_schema()}}
        return {"requestBody": {"required": True, "content": content}}

    @app.post(
        "/tag",
        summary="Find entities",
        response_model=Record | list[Record],
        response_description="a record, or a list of records for `texts` and `sentences`",
        responses=REFUSALS,
        openapi_extra=body(TagBody),
    )
    async def tag(request: Request) -> Response:
        return await service.tag(request)

    @app.post(
        "/redact",
        summary="Replace entities",
        response_model=RedactedRecord | list[RedactedRecord],
        response_description="a redacted text, or a list of them",
        responses=REFUSALS,
        openapi_extra=body(RedactBody),
    )
    async def redact(request: Request) -> Response:
        return await service.tag(request, RedactBody)


def _add_label_studio(app: FastAPI, service: Service) -> None:
    """Add the protocol of a machine-learning backend of Label Studio."""

    @app.post("/predict", summary="Predict tasks of Label Studio", responses=REFUSALS)
    async def predict(request: Request) -> Response:
        return await service.predict(request)

    @app.post("/setup", summary="Connect Label Studio")
    async def setup() -> dict[str, str]:
        return {"model_version": service.name}

    @app.get("/versions", summary="List the versions of the model for Label Studio")
    async def versions() -> dict[str, list[str]]:
        return {"versions": [service.name]}

    @app.post("/train", summary="Refuse to train", responses={501: {"model": ErrorResponse}})
    @app.post("/webhook", summary="Refuse to train", responses={501: {"model": ErrorResponse}})
    async def train() -> Response:
        raise RefusedError(501, TRAINING)


def _add_information(app: FastAPI, service: Service) -> None:
    about = json.dumps(service.about())
    start = page(service.name, service.tagger.labels, service.language)

    @app.get(
        "/health",
        summary="Check that the server can tag",
        responses={503: {"model": ErrorResponse}},
    )
    async def health() -> dict[str, str]:
        if not service.batcher.alive:
            raise RefusedError(503, "the server cannot tag")
        return {"status": "ok"}

    @app.get("/model", summary="Describe the model", response_model=dict[str, Any])
    async def model() -> Response:
        return Response(about, media_type=JSON)

    @app.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        described = reference(app.openapi())
        return Response(described.html, media_type="text/html", headers=described.headers)

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return Response(start.html, media_type="text/html", headers=start.headers)


def _answer(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    content = json.dumps({"error": message}, ensure_ascii=False)
    # it may quote text of the client that cannot be encoded as UTF-8
    return Response(content.encode("utf-8", "replace"), status, headers, JSON)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError), "it handles no other error"
    return _answer(error.status, error.message, error.headers)


async def _not_served(request: Request, error: Exception) -> Response:
    """Respond to an unknown path or method."""
    assert isinstance(error, HTTPException), "it handles no other error"
    message = str(error.detail)
    if error.status_code == 404:
        message = (
            "use POST /tag or /redact, or GET /, /docs, /health, /metrics, /model, /openapi.json"
        )
    return _answer(error.status_code, message, dict(error.headers or {}))
