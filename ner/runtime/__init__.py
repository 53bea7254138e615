"""Tagging with an exported model, using only onnxruntime and numpy.

Neither torch nor spaCy is imported, nor any other package.

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
