"""Pages of the documentation site that are made, not written: a hook of mkdocs.

The front page is README.md; the command line is read off its parsers, the API off
``ner.__all__``, the examples off their files. None of them is kept twice.
"""

from __future__ import annotations

import argparse
import ast
import re
from html import escape
from pathlib import Path
from posixpath import normpath
from textwrap import dedent

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import ner
from ner.cli import VERBS, parser_of

ROOT = Path(__file__).parents[1]
FROM_ROOT = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
PIPES = re.compile(r"`([^`\n]*\\\|[^`\n]*)`")  # code in a table, with pipes escaped for GitHub
LIST = re.compile(r"^((?![-*#|<`]|\d+\. )\S.*)\n(?=[-*] )", re.MULTILINE)  # right after a text
EXAMPLES = ("tag_text", "own_conll", "spacy_pipeline")  # come first
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])+)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {"commands.md": commands(), "api.md": api(), "examples.md": examples()}
    for source, name in FROM_ROOT.items():
        made[name] = (ROOT / source).read_text("utf-8").replace("](docs/", "](")
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to the repository's other files to its public address, if it has one."""
    from_root = page.file.src_uri in FROM_ROOT.values()

    def led(found: re.Match[str]) -> str:
        text, target, part = found[1], found[2], found[3] or ""
        if files.get_file_from_path(normpath(target)):
            return found[0]
        inside = target if from_root else normpath(f"docs/{target}")
        if inside in FROM_ROOT:
            return f"[{text}]({FROM_ROOT[inside]}{part})"
        if not (ROOT / inside).exists():
            return found[0]  # mkdocs reports it
        return f"[{text}]({config.repo_url}/blob/main/{inside}{part})" if config.repo_url else text

    return LINK.sub(led, PIPES.sub(_piped, LIST.sub(r"\1\n\n", markdown)))


def _piped(found: re.Match[str]) -> str:
    code = escape(found[1].replace("\\|", "|")).replace("|", "&#124;")
    return f"<code>{code}</code>"


def commands() -> str:
    """Return the reference of the command line, read off its parsers."""
    head = "# Command line\n\nThe same as `ner VERB --help` prints.\n"
    return head + "".join(_verb(verb) for verb in VERBS)


def _verb(verb: str) -> str:
    parser = parser_of(verb)
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    parts = [f"\n## ner {verb}\n\n{parser.description}\n\n```sh\n{usage}\n```\n"]
    actions = [one for group in parser._action_groups for one in group._group_actions]
    rows = [_row(one) for one in actions if one.dest != "help"]
    parts += ["\n| argument | meaning |\n|---|---|\n", *rows]
    parts += map(_section, (parser.epilog or "").strip().split("\n\n"))
    return "".join(parts)


def _section(text: str) -> str:
    """Return a part of what follows the options: examples, another list, or sentences."""
    title, _, rest = text.partition(":\n")
    if not rest:
        return f"\n{text}\n"
    language = "sh" if title == "example" else "text"
    return f"\n{title.capitalize()}:\n\n```{language}\n{dedent(rest)}\n```\n"


def _row(action: argparse.Action) -> str:
    """Return a row of the table of arguments."""
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else "")
    value = value if isinstance(value, str) else " ".join(value)
    names = [f"{name} {value}" if action.nargs != 0 else name for name in action.option_strings]
    shown = ", ".join(names) or value
    told = (action.help or "") % {"default": action.default}
    name = (shown.strip() or action.dest).replace("|", "\\|")
    return f"| `{name}` | {escape(told, quote=False).replace('|', '&#124;')} |\n"


def api() -> str:
    """Return the page of the public names, which mkdocstrings fills."""
    names = "".join(f"\n::: ner.{name}\n" for name in ner.__all__)
    crf = "\n## The CRF alone\n\n::: ner.crf.CRF\n"
    return f"# Python\n\nThe names of `import ner`, and the CRF layer.\n\n## ner\n{names}{crf}"


def examples() -> str:
    """Return the page of the scripts in ``examples/``: what each says of itself, and its code."""
    head = "# Examples\n\nThe scripts of `examples/`, run by the tests on the bundled corpus.\n"
    paths = {path.stem: path for path in (ROOT / "examples").iterdir() if path.is_file()}
    order = [*EXAMPLES, *sorted(paths.keys() - set(EXAMPLES))]
    return head + "".join(_example(paths[name]) for name in order)


def _example(path: Path) -> str:
    """Return the section of an example; a shell script says what it does in its first comment."""
    text = path.read_text("utf-8")
    if path.suffix == ".sh":
        title, code, language = *text.removeprefix("# ").split("\n", 1), "sh"
        told = ""
    else:
        title, _, told = (ast.get_docstring(ast.parse(text)) or path.name).partition("\n")
        code, language = text.split('"""', 2)[2], "python"
    file = f"`examples/{path.name}`"
    return f"\n## {title.rstrip('.')}\n{told}\n\n{file}\n\n```{language}\n{code.strip()}\n```\n"
