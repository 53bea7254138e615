"""``ner serve``: tag over HTTP, with the records of ``ner tag`` as responses."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import sys
from pathlib import Path

from ner.cli.arguments import (
    add_model,
    add_tagging,
    check_decoding,
    load_tagger,
    tokenizer_of,
)
from ner.cli.console import note
from ner.config import ConfigError

EXAMPLE = """\
example:
  ner serve models/conll2003
  curl -H 'Content-Type: application/json' http://127.0.0.1:8000/tag \\
       -d '{"text": "Angela Merkel met Tim Cook in Berlin."}'
"""
OPTIONS = {  # the limit that an option sets, its type, and its help
    "--max-body": ("body", int, "maximum number of bytes per request"),
    "--max-texts": ("texts", int, "maximum number of texts or sentences per request"),
    "--max-characters": ("characters", int, "maximum number of characters per text or sentence"),
    "--max-tokens": ("tokens", int, "maximum number of tokens per request"),
    "--max-requests": ("requests", int, "maximum number of concurrent requests"),
    "--timeout": ("seconds", float, "seconds until a request times out"),
    "--arrival-timeout": ("arrival", float, "seconds within which a request must arrive"),
}
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner serve``."""
    add = parser.add_argument
    add_model(parser)
    add("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    add("--port", type=int, default=8000, help="port; 0 picks a free one (default: 8000)")
    text = "accepted Host header (default: localhost for this machine only, else any)"
    add("--allow-host", action="append", metavar="NAME", help=text)
    add_tagging(parser)
    add("--patterns", metavar="FILE", help="patterns that /redact always hides, as in ner redact")
    for option, (limit, kind, text) in OPTIONS.items():
        add(option, dest=limit, type=kind, metavar="N", help=text)
    add("--quiet", action="store_true", help="print only errors")


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    check_decoding(arguments)
    try:
        from ner.redaction import read_patterns
        from ner.serving import Limits, application, serve
        from ner.serving.server import listen
    except ModuleNotFoundError as error:
        raise ConfigError(f"ner serve needs {error.name}: pip install 'ner-crf[serve]'") from error
    chosen = {limit: getattr(arguments, limit) for limit, *_ in OPTIONS.values()}
    limits = Limits.of(**{limit: value for limit, value in chosen.items() if value is not None})
    with listen(arguments.host, arguments.port) as listening:
        tagger = load_tagger(arguments)
        tokenizer = tokenizer_of(arguments, tagger)
        given = arguments.patterns
        app = application(
            tagger,
            limits=limits,
            tokenizer=tokenizer,
            patterns=read_patterns(given, tokenizer) if given else (),
            name=Path(arguments.model).resolve().name,
            hosts=_hosts(arguments),
        )
        _allow_files()
        if not arguments.quiet:
            print(f"http://{_shown(arguments.host)}:{listening.getsockname()[1]}/", flush=True)
            note("Ctrl-C to stop")
        serve(app, listening, limits)
    if app.state.service.batcher.alive:  # still tagging a long sentence whose client has left
        sys.stdout.flush()
        os._exit(0)
    return 0


def _hosts(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the accepted host names; empty for any."""
    if arguments.allow_host:
        return (*arguments.allow_host, *LOOPBACK)
    local = arguments.host == "localhost"
    with contextlib.suppress(ValueError):
        local = ipaddress.ip_address(arguments.host).is_loopback
    return (*LOOPBACK, _shown(arguments.host)) if local else ()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _allow_files() -> None:
    """Raise the limit of open files, usually 1,024, as far as the system permits."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = 1 << 16 if hard == resource.RLIM_INFINITY else min(hard, 1 << 16)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
