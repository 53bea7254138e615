"""Take the pictures of the documentation: a tagged text, and the page of an evaluation.

    python scripts/pictures.py models/quick

A headless Chromium is needed, and pillow. The texts are those of the bundled corpus.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from ner.cli import main as ner
from ner.sample import path as sample_path

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
SENTENCES = 15  # of the first document of the test split, with the line that begins it
COLOURS = 64


def main(model: str) -> None:
    """Write both pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(model).resolve())
        os.chdir(folder)
        shutil.copy(sample_path("test"), "test.conll")
        document = "\n\n".join(Path("test.conll").read_text("utf-8").split("\n\n")[:SENTENCES])
        Path("document.conll").write_text(document + "\n", "utf-8")
        ner(["tag", model, "document.conll", "--output", "tagged.html", "--quiet"])
        ner(["evaluate", "test.conll", "--model", model, "--html", "report.html", "--quiet"])
        take(Path("tagged.html"), PICTURES / "tagged.png", 1000, 405)
        take(Path("report.html"), PICTURES / "evaluation.png", 1200, 900)


def take(page: Path, picture: Path, width: int, height: int) -> None:
    """Take a picture of the top of a page."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"no browser found ({', '.join(BROWSERS)})")
    with tempfile.TemporaryDirectory() as profile:
        size = (f"--window-size={width},{height}", f"--screenshot={picture}")
        command = [browser, *FLAGS, f"--user-data-dir={profile}", *size, page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    with Image.open(picture) as taken:
        taken.convert("RGB").quantize(COLOURS).save(picture, optimize=True)
    print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
