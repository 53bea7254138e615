"""Which files are opened while a hostile directory is loaded and tagged with: seen by ``strace``.

``opened_files.py hostile --count 1000`` runs that check of ``reliability.py`` and reads every
system call that opens a file, of any library. Between the marks that the check makes, nothing may
be opened but what lies in the directory, what is installed, and what the system says of itself.
"""

from __future__ import annotations

import contextlib
import re
import site
import subprocess
import sys
import sysconfig
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

MARK = "/opened-files-mark"  # does not exist; that it is asked for stands in the trace
OPENED = re.compile(r'^(\d+) +(?:open|openat|openat2|creat)\((?:[\w-]+, )?"((?:[^"\\]|\\.)*)"')
SYSTEM = ("/proc/self/", "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/sys/")


@contextlib.contextmanager
def marked(directory: Path) -> Iterator[None]:
    """Mark in the trace where something is done with a directory."""
    with contextlib.suppress(OSError):
        Path(f"{MARK}{directory.resolve()}").open().close()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            Path(MARK).open().close()


def outside(trace: Path) -> tuple[int, set[str]]:
    """Return how many directories were marked, and what was opened outside of them."""
    installed = {*site.getsitepackages(), *sysconfig.get_paths().values(), *sys.path}
    allowed = (*SYSTEM, *(str(Path(one).resolve()) + "/" for one in installed if one))
    within: dict[str, str] = defaultdict(str)  # by the process
    count, found = 0, set()
    with trace.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            call = OPENED.match(line)
            if call is None:
                continue
            process, name = call.groups()
            if name.startswith(MARK):
                within[process] = name.removeprefix(MARK)
                count += bool(within[process])
            elif (
                (own := within[process]) and not _inside(name, own) and not name.startswith(allowed)
            ):
                found.add(name)
    return count, found


def _inside(name: str, directory: str) -> bool:
    folder = Path(directory)
    return Path(folder.parent, name).resolve().is_relative_to(folder)


def main() -> int:
    """Run a check of reliability.py under strace."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        script = Path(__file__).with_name("reliability.py")
        traced = ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=open,openat,openat2,creat"]
        call = [*traced, "-o", trace, sys.executable, script, *sys.argv[1:]]
        checked = subprocess.run(call, check=False)
        count, found = outside(trace)
    print(f"opened: {count} directories, {len(found)} files outside of them")
    for name in sorted(found)[:50]:
        print(f"  {name}")
    return int(checked.returncode != 0 or bool(found) or not count)


if __name__ == "__main__":
    raise SystemExit(main())
