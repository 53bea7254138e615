"""The verb ``ner train``, for people who work from a checkout: the same arguments, the same output."""

import sys

from ner.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["train", *sys.argv[1:]]))
