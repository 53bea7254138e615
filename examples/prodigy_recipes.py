"""Recipes for Prodigy: correct a model's spans, or accept and reject its most doubtful ones.

    prodigy ner-crf.correct news models/mine news.jsonl -F examples/prodigy_recipes.py
    prodigy ner-crf.teach doubts models/mine news.jsonl -F examples/prodigy_recipes.py

`ner convert` reads what the first collects. The answers of the second are about single spans; this
script writes the accepted ones, with all other tokens left open (missing annotation):

    prodigy db-out doubts > doubts.jsonl
    python examples/prodigy_recipes.py doubts.jsonl doubts.conll
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import ner

try:
    import prodigy
    from prodigy.components.sorters import prefer_uncertain
    from prodigy.components.stream import get_stream
except ImportError:  # it is needed for the recipes only
    prodigy = None

ARGUMENTS = {
    "dataset": ("Dataset to save annotations to", "positional", None, str),
    "model": ("Directory or address of a model", "positional", None, str),
    "source": ("Texts to annotate, such as a JSONL file", "positional", None, str),
}


def tasks(tagger, stream):
    """Yield each sentence of the texts as a task, with the model's spans and their scores."""
    for example in stream:
        for sentence in tagger.tag(example["text"]).sentences:
            places = sentence.offsets
            tokens = [
                {"text": token, "start": start, "end": end, "id": number,
                 "ws": sentence.text[end : end + 1] == " "}
                for number, (token, (start, end)) in enumerate(
                    zip(sentence.tokens, places, strict=True)
                )
            ]  # fmt: skip
            spans = [
                {"start": places[one.start][0], "end": places[one.end - 1][1],
                 "token_start": one.start, "token_end": one.end - 1,  # Prodigy counts it in
                 "label": one.label, "score": one.score}
                for one in sentence.spans
            ]  # fmt: skip
            meta = {"meta": example["meta"]} if "meta" in example else {}
            yield {"text": sentence.text, "tokens": tokens, "spans": spans, **meta}


def correct(dataset, model, source):
    """Show the model's spans, to be corrected."""
    tagger = ner.load(model)
    stream = tasks(tagger, get_stream(source, rehash=True, dedup=True, input_key="text"))
    settings = {"labels": list(tagger.labels), "exclude_by": "input"}
    return {
        "dataset": dataset,
        "view_id": "ner_manual",
        "stream": (prodigy.set_hashes(task) for task in stream),
        "config": settings,
    }


def teach(dataset, model, source):
    """Ask about single spans, those with a probability near 0.5 first."""
    tagger = ner.load(model)
    tagger.decoding = replace(tagger.decoding, decode="posterior", threshold=0.2)
    stream = tasks(tagger, get_stream(source, rehash=True, dedup=True, input_key="text"))
    questions = (
        (
            span["score"],
            prodigy.set_hashes({**task, "spans": [span], "meta": {"score": span["score"]}}),
        )
        for task in stream
        for span in task["spans"]
    )
    return {"dataset": dataset, "view_id": "ner", "stream": prefer_uncertain(questions)}


def accepted(lines):
    """Yield the sentences with the accepted spans; all other tokens are left open."""
    spans = {}
    for task in map(json.loads, lines):
        known = spans.setdefault(tuple(token["text"] for token in task["tokens"]), set())
        if task["answer"] == "accept":
            known.update((s["token_start"], s["token_end"] + 1, s["label"]) for s in task["spans"])
    for tokens, known in spans.items():
        given = tuple(ner.Span(*one) for one in sorted(known))
        marked = {place for one in given for place in range(one.start, one.end)}
        if given:
            yield ner.Sentence(tokens, given, unknown=frozenset(range(len(tokens))) - marked)


if prodigy:
    prodigy.recipe("ner-crf.correct", **ARGUMENTS)(correct)
    prodigy.recipe("ner-crf.teach", **ARGUMENTS)(teach)

if __name__ == "__main__":
    with Path(sys.argv[1]).open(encoding="utf-8") as answers:
        ner.write(sys.argv[2], accepted(answers))
