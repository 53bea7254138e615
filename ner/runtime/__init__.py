"""Tagging with an exported model, by onnxruntime and numpy alone.

Neither torch nor spaCy is imported, nor anything else that is not in Python's own library.

```python
import ner.runtime

tagger = ner.runtime.load("models/exported")
tagger.predict([["Angela", "Merkel", "met", "Tim", "Cook"]])
```
"""

from __future__ import annotations

from ner.errors import ModelError
from ner.runtime.tagger import ExportedTagger, load
from ner.storage.manifest import is_exported

__all__ = ["ExportedTagger", "ModelError", "is_exported", "load"]
