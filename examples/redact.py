"""Redact a text.

Names become numbers that stay the same for the same name. For a promise on the share that is
covered, pass `coverage=`: see the page on redaction.

    python examples/redact.py models/quick
"""

import sys

import ner

tagger = ner.load(sys.argv[1])
redacted = tagger.redact("Ada Obi met Kofi Mensah in Accra. Obi paid.", "pseudonym")
print(redacted.text)
for hidden in redacted.hidden:
    print(hidden.start, hidden.end, hidden.label, hidden.replacement)
