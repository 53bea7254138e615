"""The verb ``ner evaluate`` for people who work from a checkout: same arguments, same output."""

import sys

from ner.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["evaluate", *sys.argv[1:]]))
