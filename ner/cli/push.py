"""``ner push``: share a model at an address."""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

from ner.cli.arguments import add_include, add_model, add_report
from ner.cli.console import Progress
from ner.errors import ConfigError, ModelError
from ner.storage.addresses import is_remote, pin_of, upload
from ner.storage.manifest import is_exported

HUB = "hf://"
_REPOSITORY = re.compile(HUB + r"[\w.-]+/[\w.-]+(@[^@\s]+)?")
EXAMPLE = """\
The Hugging Face hub needs the extra `hub` and a token (`hf auth login`); other addresses are those
of fsspec. What is printed at the end loads exactly this model, from anywhere.

example:
  ner push models/mine hf://user/mine --dry-run
  ner push models/mine hf://user/mine@v2 --private
  ner push models/mine s3://bucket/models/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner push``."""
    add_model(parser)
    add = parser.add_argument
    add(
        "address", metavar="ADDRESS", help="where to: hf://user/name[@branch], s3://..., file://..."
    )
    add("--dry-run", action="store_true", help="check the model and print what would be written")
    add("--private", action="store_true", help="create a private repository on the hub")
    add_include(parser)
    add("--message", default="Upload a model of ner", help="message of the commit on the hub")
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check the model, and upload it."""
    from ner.models import load

    if not is_remote(arguments.address) or "#" in arguments.address:
        raise ConfigError(f"{arguments.address}: expected an address such as hf://user/name")
    if arguments.address.startswith(HUB) and not _REPOSITORY.fullmatch(arguments.address):
        raise ConfigError(f"{arguments.address}: expected hf://user/name or hf://user/name@branch")
    folder = Path(arguments.model)
    tagger = load(folder)  # a damaged model is not shared
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.include_transformer:
            folder = _included(tagger, folder, Path(scratch))
        return _share(folder, arguments)


def _included(tagger: Any, folder: Path, scratch: Path) -> Path:
    """Return a copy of a model with the weights of its transformer; an exported one has them."""
    if is_exported(folder):
        return folder
    tagger.include_transformer()
    names = ("metrics.jsonl", "training.svg", "README.md")
    texts = {name: (folder / name).read_text("utf-8") for name in names if (folder / name).exists()}
    tagger.save(scratch / folder.name, texts=texts)
    return scratch / folder.name


def _share(folder: Path, arguments: argparse.Namespace) -> int:
    files = sorted(file for file in folder.iterdir() if file.is_file())
    sizes = {file.name: file.stat().st_size for file in files}
    show = Progress.of(arguments)
    for name, size in sizes.items():
        show.line(f"  {size:12,}  {name}")
    address = arguments.address
    if not arguments.dry_run:
        address = _push(folder, arguments)
    pinned = f"{address}#sha256={pin_of(folder)}"
    show.line(f"{'would be' if arguments.dry_run else 'is'} at {arguments.address}; load it with")
    show.line(f'  ner.load("{pinned}")')
    show.result({"address": pinned, "files": sizes, "pushed": not arguments.dry_run})
    return 0


def _push(folder: Path, arguments: argparse.Namespace) -> str:
    """Upload a model, and return the address of exactly this version."""
    address: str = arguments.address
    if not address.startswith(HUB):
        upload(folder, address)
        return address
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise ConfigError("hf:// needs huggingface_hub: pip install 'ner-crf[hub]'") from error
    name, _, branch = address.removeprefix(HUB).partition("@")
    api = HfApi()
    try:
        api.create_repo(name, private=arguments.private or None, exist_ok=True)
        if branch:
            api.create_branch(name, branch=branch, exist_ok=True)
        done = api.upload_folder(
            repo_id=name,
            folder_path=str(folder),
            revision=branch or None,
            commit_message=arguments.message,
        )
    except (HfHubHTTPError, ValueError) as error:  # a wrong name is a ValueError
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"{address}: {reason[0]}") from error
    return f"{HUB}{name}@{done.oid}"
