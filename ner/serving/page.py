"""A page to try the tagger in a browser: one answer, which asks nothing of other hosts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Page:
    """A page and the headers that keep it from running or loading anything else."""

    html: str
    headers: Mapping[str, str]


def page(model: str, labels: Sequence[str], language: str) -> Page:
    """The page of a model."""
    style, script = ((HERE / name).read_text("utf-8") for name in ("page.css", "page.js"))
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined
    )
    html = environment.get_template("page.html").render(
        model=model, labels=labels, language=language, style=style, script=script
    )
    policy = (
        f"default-src 'none'; style-src {_known(style)}; script-src {_known(script)}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(html, {"Content-Security-Policy": policy})


def _known(source: str) -> str:
    """How a policy names a style or script that may be used."""
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
