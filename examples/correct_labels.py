"""Find wrong labels.

Thirty labels of the bundled test split are made wrong. `ner suspects` ranks the annotation by how
improbable the model finds it: the wrong ones should come first.

    python examples/correct_labels.py models/quick
"""

import json
import random
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import ner
from ner.sample import path as sample_path

draw = random.Random(0)
sentences = list(ner.read(sample_path("test")))
places = [(n, k) for n, sentence in enumerate(sentences) for k in range(len(sentence.spans))]
wrong = set(draw.sample(places, 30))
for number, which in wrong:
    spans = list(sentences[number].spans)
    others = sorted({"PER", "ORG", "LOC", "MISC"} - {spans[which].label})
    spans[which] = replace(spans[which], label=draw.choice(others))
    sentences[number] = replace(sentences[number], spans=tuple(spans))

with tempfile.TemporaryDirectory() as folder:
    corpus, ranking = Path(folder, "doubtful.jsonl"), Path(folder, "suspects.json")
    ner.write(corpus, sentences)
    command = ["suspects", sys.argv[1], str(corpus), "--top", "30", "--json", str(ranking)]
    subprocess.run([sys.executable, "-m", "ner", *command, "--quiet"], check=True)
    suspects = json.loads(ranking.read_text("utf-8"))

touched = {number for number, _ in wrong}
for suspect in suspects[:3]:
    print(suspect["line"], suspect["kind"], suspect["gold"], "->", suspect["suggestion"])
hits = sum(suspect["sentence"] in touched for suspect in suspects)
print(f"{hits} of the first {len(suspects)} suspects are in sentences with a wrong label")
