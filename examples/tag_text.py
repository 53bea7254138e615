"""Tag a text.

Three lines: load a model, tag, look at the entities. In a notebook, `doc` alone shows them marked.

    python examples/tag_text.py models/quick
"""

import sys

import ner

tagger = ner.load(sys.argv[1])
doc = tagger.tag("Ada Obi joined Kestrel Foods in Accra. She was born in Kumasi.")
for entity in doc.entities:
    print(f"{entity.text:15} {entity.label:5} {entity.score:.2f}  at {entity.start_char}")
