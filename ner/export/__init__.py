"""Writing a tagger so that it runs without torch; ``ner.runtime`` reads it.

The libraries of a format are imported when it is written.
"""

from __future__ import annotations

from ner.export.directory import FORMATS, write

__all__ = ["FORMATS", "write"]
