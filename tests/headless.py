"""What a headless browser makes of an address."""

from __future__ import annotations

import shutil
import subprocess

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def dom_of(address, profile):
    """The document once its scripts have run; the test is skipped where there is no browser."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser found ({', '.join(BROWSERS)})")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    options += [f"--user-data-dir={profile}", "--window-size=1000,800"]
    done = subprocess.run(
        [program, *options, "--dump-dom", address],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def framed(page):
    """A page that tells how much wider than 360 pixels another is, in its title, and that other."""
    tell = (
        "<script>const { scrollWidth, clientWidth } = document.documentElement;"
        " parent.postMessage(`${scrollWidth - clientWidth} of ${clientWidth > 300}`, '*')</script>"
    )
    frame = (
        "<!doctype html><title>?</title><script>addEventListener('message', (event) =>"
        " { document.title = `beyond ${event.data}`; })</script>"
        '<iframe src="page.html" width="360" height="800" style="border:0"></iframe>'
    )
    return frame, page.replace("</body>", f"{tell}</body>")
