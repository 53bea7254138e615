"""Every block of code in the README and the documentation is run, or checked with a reason."""

from __future__ import annotations

import re
import runpy
import shutil

import httpx
import pytest
import yaml
from documented import ROOT, blocks, check, furnish, lines_of, pipelines, run
from fastapi.testclient import TestClient

import ner
from ner.cli import VERBS, parser_of
from ner.serving import application
from ner.training import read_settings

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = {  # what is checked but not run, and why
    r"\bvenv\b|\.venv/bin/|^\.ci/run": "installs, or is CI itself",
    r"^(\S+/)?pip install": "asks for the network",
    r"mlflow|WANDB": "asks for a tracking server",
    r"hf://": "asks for the network",
    r"python -m pytest": "runs tests",
    r"python benchmarks/": "takes minutes",
    r"python -m spacy|^mkdir|pipeline/model-best": "run by test_spacy_commands.py",
    r"--engine ray|ray\.data": "needs Ray",
    r"^ner serve": "runs until it is stopped",
    r"^curl": "needs a server",
    r"^torchrun": "starts processes",
    r"conll2003-fast\.yaml|shared/|models/conll ": "needs CoNLL-2003",
}


@pytest.fixture(scope="module")
def furnished(trained_model, tmp_path_factory):
    from ner.export import write

    folder = tmp_path_factory.mktemp("documented")
    write(ner.load(trained_model), folder / "exported")
    furnish(folder, trained_model, folder / "exported")
    return folder


@pytest.fixture
def here(furnished, tmp_path, monkeypatch):
    """A folder of its own that holds all that the pages name."""
    shutil.copytree(furnished, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    app = application(ner.load("models/mine"))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        monkeypatch.setattr(httpx, "post", client.post)
        yield tmp_path / "here"


def smaller(text):
    """What a model of few sentences can do, too: it promises no coverage of 0.99."""
    return re.sub(r"(coverage[ =])0\.99", r"\g<1>0.2", text)


def shell(block, names, monkeypatch):
    for line in lines_of(smaller(block.text)):
        for pipeline in pipelines(line):
            if any(re.search(pattern, line) for pattern in NOT_RUN):
                check(pipeline[-1])
            else:
                run(pipeline, monkeypatch)


def python(block, names, monkeypatch):
    code = compile(smaller(block.text), str(block), "exec")
    if not any(re.search(pattern, block.text) for pattern in NOT_RUN):
        exec(code, names)


def settings(block, names, monkeypatch):
    given = yaml.safe_load(block.text)
    read_settings({"data": {"train": "train.conll"}, **given})


def shown(block, names, monkeypatch):
    """What a command printed: that of the last block, or its own after ``$ ner``."""
    assert not block.text.startswith(("ner ", "python ", "pip ")), "a command is ```sh"


HOLDS = {"sh": shell, "console": shell, "python": python, "yaml": settings, "text": shown}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_block_of_a_page_holds(page, here, monkeypatch):
    names = {"sentences": list(ner.read("test.conll"))}
    for block in blocks(page):
        assert block.language in HOLDS, f"{block}: its language is none of {', '.join(HOLDS)}"
        try:
            HOLDS[block.language](block, names, monkeypatch)
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{block}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("verb", VERBS)
def test_every_example_of_a_help_is_understood(verb):
    examples = re.search(r"example:\n((?:  .*\n?)+)", parser_of(verb).epilog or "")
    assert examples
    for line in lines_of(examples[1]):
        for stage in (stage for pipeline in pipelines(line.strip()) for stage in pipeline):
            if stage[0] == "ner":
                words = stage[1 : stage.index(">")] if ">" in stage else stage[1:]
                parser_of(words[0]).parse_intermixed_args(words[1:])


README_OUTPUTS = runpy.run_path(str(ROOT / "scripts" / "readme_outputs.py"))


def test_the_readme_shows_what_ner_check_prints(tmp_path):
    page = (ROOT / "README.md").read_text("utf-8")
    shown = {found["command"]: found[0] for found in README_OUTPUTS["OUTPUT"].finditer(page)}
    assert all(text.count("\n") > 2 for text in shown.values()), "an output without lines"
    (command,) = (command for command in shown if command.startswith("ner check"))
    place = README_OUTPUTS["furnished"](tmp_path)
    made = README_OUTPUTS["printed"](command, place)
    assert shown[command].endswith(f"```text\n{made}")


@pytest.mark.slow
def test_the_readme_shows_what_its_commands_print(tmp_path, monkeypatch):
    """But for digits: another processor may round otherwise."""
    copy = tmp_path / "README.md"
    shutil.copy(ROOT / "README.md", copy)
    monkeypatch.setitem(README_OUTPUTS["main"].__globals__, "README", copy)
    monkeypatch.setattr("sys.argv", ["readme_outputs.py"])
    README_OUTPUTS["main"]()
    now, then = (re.sub(r"\d", "0", p.read_text("utf-8")) for p in (copy, ROOT / "README.md"))
    assert now == then


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/**/*.yml")), ids=lambda p: p.name)
def test_the_files_of_a_public_host_are_yaml_and_name_what_is_there(path):
    text = path.read_text("utf-8")
    assert yaml.safe_load(text)
    for command in re.findall(r"run: (\.ci/\w+)", text):
        assert (ROOT / command).exists(), command


def flags_of(verb):
    return {flag for action in parser_of(verb)._actions for flag in action.option_strings}


def test_every_verb_option_and_setting_named_in_a_sentence_exists():
    scripts = [
        path
        for folder in ("benchmarks", "scripts", "tests/soak")
        for path in ROOT.glob(f"{folder}/*")
    ]
    known = {flag for verb in VERBS for flag in flags_of(verb)} | OF_OTHERS
    known |= set(
        re.findall(r'"(--[\w-]+)"', "".join(p.read_text("utf-8") for p in scripts if p.is_file()))
    )
    described = (ROOT / "docs" / "settings.md").read_text("utf-8")
    for page in (*PAGES, ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"):
        prose = re.sub(r"(?ms)^( *)```.*?^\1```$", "", page.read_text("utf-8"))
        for code in (" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose)):
            flags = set(re.findall(r"(?<!\S)--[a-z][\w-]*", code) if OURS.match(code) else ())
            assert flags <= known, f"{page.name}: `{code}`"
            if verb := re.match(r"ner ([a-z]+)\b", code):
                assert verb[1] in VERBS, f"{page.name}: `{code}`"
                assert flags <= flags_of(verb[1]), f"{page.name}: `{code}`"
            for name in re.findall(r"(?<![\w.-])(?:data|training|decoding)\.[a-z_]+", code):
                is_file = name.endswith((".py", ".svg"))
                assert is_file or f"`{name}`" in described, f"{page.name}: `{code}`"


OURS = re.compile(r"--|ner [a-z]")
OF_OTHERS = {
    "--gold-preproc",
    "--paths",
    "--training",
    "--nnodes",
    "--node-rank",
    "--rdzv-endpoint",
}  # spaCy's, torchrun's


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_table_is_whole(page):
    """A row after a blank line begins a table: the line of dashes follows it."""
    lines = page.read_text("utf-8").splitlines()
    for before, line, after in zip(["", *lines[:-1]], lines, [*lines[1:], ""], strict=True):
        begins = line.startswith("| ") and not before.startswith("|")
        assert not begins or after.startswith("|--"), f"{page.name}: {line}"
