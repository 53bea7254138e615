"""Write the output under the blocks of README.md, by running what the page says.

    python scripts/readme_outputs.py

A comment before a block of output names the command: `<!-- output: ner check train.conll -->`;
`python` stands for the Python block before it. All of it runs in a folder with the bundled corpus
as train.conll, dev.conll and test.conll. Training takes a minute; `--model` takes a trained model.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ner.sample import path as sample_path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
OUTPUT = re.compile(
    r"(<!-- output: (?P<command>.*?) -->\n```text\n).*?(?=^```$)",
    re.DOTALL | re.MULTILINE,
)
FILES = {"train": "train", "dev": "development", "test": "test"}
LETTERS = "Ada Obi joined Kestrel Foods in Accra.\nShe was born in Kumasi.\n"


def main() -> None:
    """Run every command, and write what it prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, help="a model that configs/quick.yaml made")
    model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as folder:
        place = furnished(Path(folder))
        if model is None:
            printed(f"ner train {ROOT}/configs/quick.yaml", place)
            model = place / "models" / "quick"
        for path in (place / "models" / "mine", place / "models" / "quick"):
            if path != model:
                shutil.copytree(model, path, dirs_exist_ok=True)
        page = README.read_text("utf-8")
        made = OUTPUT.sub(lambda found: found[1] + printed(command_of(found), place), page)
    README.write_text(made, "utf-8", newline="\n")


def command_of(found: re.Match[str]) -> str:
    """Return the command that makes an output."""
    if found["command"] != "python":
        return found["command"]
    blocks = re.findall(r"```python\n(.*?)```", found.string[: found.start()], re.DOTALL)
    return f"{sys.executable} - <<'END'\n{blocks[-1]}END"


def furnished(folder: Path) -> Path:
    """Fill a folder with the files that the README names."""
    for name, split in FILES.items():
        shutil.copy(sample_path(split), folder / f"{name}.conll")
    (folder / "letters.txt").write_text(LETTERS, "utf-8")
    return folder


def printed(command: str, folder: Path) -> str:
    """Return what a command prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


if __name__ == "__main__":
    main()
