"""A spaCy pipeline.

The model becomes a component; the pipeline is saved and loaded as any other.

    python examples/spacy_pipeline.py models/quick
"""

import sys
import tempfile

import spacy

nlp = spacy.blank("en")
nlp.add_pipe("ner_crf", config={"model": sys.argv[1]})
with tempfile.TemporaryDirectory() as folder:
    nlp.to_disk(folder)
    nlp = spacy.load(folder)
doc = nlp("Ada Obi joined Kestrel Foods in Accra.")
print([(ent.text, ent.label_, round(ent._.score, 2)) for ent in doc.ents])
