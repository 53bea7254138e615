"""A page to try the tagger in a browser; it loads nothing from other hosts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
NOTHING = "'none'"


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the headers that prevent it from running or loading anything else."""

    html: str
    headers: Mapping[str, str]


def page(model: str, labels: Sequence[str], language: str) -> Page:
    """Return the page of a model."""
    script = (HERE / "page.js").read_text("utf-8")
    return _rendered("page.html", script, model=model, labels=labels, language=language)


def reference(schema: Mapping[str, Any]) -> Page:
    """Return the HTTP reference, made from the OpenAPI schema."""
    calls = [
        (method.upper(), path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    return _rendered("docs.html", "", schema=schema, calls=calls)


def _rendered(name: str, script: str, **values: Any) -> Page:
    """Return a page with the common style, which may run only this script."""
    style = (HERE / "page.css").read_text("utf-8")
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined
    )
    html = environment.get_template(name).render(style=style, script=script, **values)
    policy = (
        f"default-src 'none'; style-src {_known(style)}; "
        f"script-src {_known(script) if script else NOTHING}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(html, {"Content-Security-Policy": policy})


def _known(source: str) -> str:
    """Return the hash of an allowed style or script for the content security policy."""
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
