"""Tag a document through a spaCy pipeline and leave a page to look at: ``demo.py MODEL [PAGE]``."""

import sys
from html import escape
from pathlib import Path

import spacy
from spacy import displacy
from spacy.tokens import Doc

from ner.cli.console import printable

TEXT = """\
ACCRA 2031-06-02. Kestrel Foods said on Monday that Ada Obi would lead its Ghanaian business \
from July. Obi, who was born in Kumasi, spent nine years at Tern Bank in London.
"She knows every mill between here and Tamale," said Kofi Mensah, chairman of Kestrel. \
The company also pays for the Harbour Cup, which was won last year by Lagos Rovers.
"""


def main(model: str, page: str = "models/quick.html") -> None:
    """Tag the text, print its entities, write the page."""
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_crf", config={"model": model})
    doc = nlp(TEXT)
    for ent in doc.ents:
        line = f"{ent.start_char:4}-{ent.end_char:<4} {ent.label_:5} {ent._.score:.2f}  {ent.text}"
        print(printable(line))
    Path(page).parent.mkdir(parents=True, exist_ok=True)
    Path(page).write_text(page_of(doc), encoding="utf-8")
    print(f"the page: {Path(page).resolve()}")


def page_of(doc: Doc) -> str:
    """Return a page of the entities; displaCy escapes texts, but no labels."""
    ents = [
        {"start": ent.start_char, "end": ent.end_char, "label": escape(ent.label_)}
        for ent in doc.ents
    ]
    made = {"text": doc.text, "ents": ents}
    return str(displacy.render(made, style="ent", manual=True, page=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
