"""Systems that lack what Linux has, simulated by taking it away: storage and locks still hold."""

import subprocess
import sys

import pytest

MISSING = {
    "nothing": "",
    "renameat2": "from ner.storage import atomic; atomic._swap = lambda one, other: False",
    "fcntl": "sys.modules['fcntl'] = None",
    "fork": "del os.fork, os.register_at_fork",
    "SIGPIPE": "del signal.SIGPIPE",
    "O_NOFOLLOW": "del os.O_NOFOLLOW",
    "folders that can be opened": """
real = os.open
def refuse(path, *rest, **more):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return real(path, *rest, **more)
os.open = refuse
""",
}
WORK = """
import os, signal, subprocess, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
{missing}
from ner.storage.atomic import atomic_directory, atomic_write, remove_stale, write_text
from ner.storage.locks import run_lock
from ner.storage.manifest import read_consistently

def save(content):
    with atomic_directory(Path("model"), holds="a") as folder:
        (folder / "a").write_text(content)

if sys.argv[1:] == ["other"]:
    try:
        run_lock(Path("run"))
    except BlockingIOError:
        sys.exit(3)
    sys.exit(0)
if sys.argv[1:] == ["killed"]:
    with atomic_write(Path("file")) as file, atomic_directory(Path("model"), holds="a"):
        file.write("half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

def another(what):
    return subprocess.run([sys.executable, __file__, what]).returncode

for content in ("old", "new"):
    write_text(Path("file"), content)
    save(content)
assert Path("file").read_text() == (Path("model") / "a").read_text() == "new"
try:
    with atomic_directory(Path("model"), holds="a") as folder:
        raise KeyboardInterrupt
except KeyboardInterrupt:
    pass
assert read_consistently(Path("model"), lambda: (Path("model") / "a").read_text()) == "new"
ours = run_lock(Path("run"))
assert another("other") == 3
del ours
assert another("other") == 0
assert another("killed") < 0
assert Path(".file.part").exists()
write_text(Path("file"), "after")
save("after")
remove_stale(Path("."))
assert sorted(os.listdir()) == ["file", "model", "run", "work.py"], os.listdir()
"""


@pytest.mark.parametrize("missing", MISSING)
def test_files_are_whole_and_runs_alone_without(missing, tmp_path):
    script = tmp_path / "work.py"
    script.write_text(WORK.replace("{missing}", MISSING[missing]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", ["fcntl", "fork", "SIGPIPE"])
def test_files_are_converted_without(missing, tmp_path):
    (tmp_path / "in.conll").write_text("Ada\tB-PER\n", encoding="utf-8")
    code = (
        f"import os, signal, sys, warnings\nwarnings.simplefilter('ignore')\n{MISSING[missing]}\n"
        "from ner.cli import main\nsys.exit(main(['convert', 'in.conll', 'out.jsonl']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"Ada"' in (tmp_path / "out.jsonl").read_text("utf-8")
