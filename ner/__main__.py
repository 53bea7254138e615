"""``python -m ner`` is the console script ``ner``."""

from ner.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
