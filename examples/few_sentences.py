"""From a folder of texts and a few annotated sentences to a tagger.

Compares what pretraining on the texts, self-training on them, and more annotation each bring, in F1
on the development sentences. Without arguments it uses the bundled corpus, whose texts are too few
to help: it shows the commands. With your own files:

    python examples/few_sentences.py --train train.conll --development dev.conll \
        --texts 'texts/*.txt'
"""

import argparse
import json
import shlex
import sys
from itertools import groupby
from pathlib import Path

import ner
from ner.cli import main
from ner.sample import path as sample_path

parser = argparse.ArgumentParser(description="compare what pretraining and annotation bring")
parser.add_argument("--train", default=str(sample_path("train")))
parser.add_argument("--development", default=str(sample_path("development")))
parser.add_argument("--texts", nargs="+", help="unannotated text")
parser.add_argument("--sentences", type=int, default=200, help="annotated sentences to begin with")
parser.add_argument("--tokens", type=int, default=300_000, help="tokens of text to learn from")
parser.add_argument("--pretraining", nargs="+", default=[], help="settings of `ner pretrain`")
parser.add_argument("--pretrained", help="what `ner pretrain` has made of the texts before")
parser.add_argument("--epochs", type=int, help="epochs of each training (default: by its size)")
parser.add_argument("--work", default="few-sentences", help="folder for the models")
arguments = parser.parse_args()
work = Path(arguments.work)
work.mkdir(exist_ok=True)
sentences = list(ner.read(arguments.train))


def command(*words: str) -> None:
    """Run a command of ner, and show it."""
    print("$ ner", shlex.join(words), file=sys.stderr)
    if status := main([*words, "--quiet", "--overwrite"]):
        sys.exit(status)


def annotated(count: int) -> str:
    """Write a file of whole documents, until there are that many sentences."""
    chosen: list[ner.Sentence] = []
    for _, document in groupby(sentences, key=lambda one: id(one.document)):
        if len(chosen) < count:
            chosen += document
    file = work / f"train-{count}.conll"
    ner.write(file, chosen)
    return str(file)


def score(name: str, *options: str, count: int = arguments.sentences, verb: str = "train") -> None:
    """Train a tagger, and print its F1 on the development sentences."""
    gold = ["--train", annotated(count), "--development", arguments.development]
    if arguments.epochs:
        gold += ["--epochs", str(arguments.epochs)]
    command(verb, *options, *gold, "--output", str(work / name))
    metrics = json.loads((work / name / "metrics.json").read_text("utf-8"))
    print(f"{count:5} sentences, {name:24} F1 {100 * metrics['development']['f1']:.2f}", flush=True)


texts = arguments.texts
if not texts:  # the bundled sentences, without their annotation
    texts = [str(work / "texts.txt")]
    blocks = (
        "\n".join(" ".join(one.tokens) for one in document)
        for _, document in groupby(sentences, key=lambda one: id(one.document))
    )
    Path(texts[0]).write_text("\n\n".join(blocks), encoding="utf-8")
pretrained = arguments.pretrained or str(work / "knowledge")
if not arguments.pretrained:
    settings = [f"tokens={arguments.tokens}", *arguments.pretraining]
    options = [word for one in settings for word in ("--set", one)]
    command("pretrain", *texts, "--output", pretrained, *options)
with_text = ("--set", f"model.pretrained={pretrained}")

score("alone")
score("pretrained", *with_text)
budget = ("--tokens", str(arguments.tokens))
score("self-trained", str(work / "pretrained"), *texts, *with_text, *budget, verb="distil")
for factor in (2, 4):
    more = factor * arguments.sentences
    score(f"alone-{more}", count=more)
    score(f"pretrained-{more}", *with_text, count=more)
