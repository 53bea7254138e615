"""`ner_crf` against spaCy's own `ner`, trained on the same file for the same time.

Both are trained by `spacy train` side by side, one thread each, from the same corpus reader; `ner`
is stopped once it has had as much processor time as `ner_crf` took, and its best model by
development F1 is kept. Then both are scored on the test documents, with the corpus's tokens and
sentences and with spaCy's, and both tag them, in turn, so that the speeds are a ratio within one
run. Pipelines that are in the folder already are not trained again.

    python benchmarks/spacy_ner.py TRAIN DEVELOPMENT TEST [--epochs N] [--work FOLDER] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import spacy
    from spacy.tokens import Doc
    from spacy.training import Example

CONFIG = Path(__file__).parents[1] / "configs" / "spacy.cfg"
NAMES = ("ner_crf", "ner")
STEPS = 440  # of an epoch of CoNLL-2003, in the batches of the configuration
DROPPED = ("max_length", "gold_preproc", "augmenter")  # settings of spaCy's reader


def main() -> None:
    """Train both, score both, time both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("development")
    parser.add_argument("test")
    parser.add_argument("--work", type=Path, default=None, help="keep the models here")
    parser.add_argument("--epochs", type=int, default=5, help="of ner_crf")
    parser.add_argument("--rounds", type=int, default=5, help="of timing")
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    there = all((work / name / "model-best").is_dir() for name in NAMES)
    seconds = dict.fromkeys(NAMES, 0.0) if there else train(given, work)
    report(given.test, work, seconds, given.rounds)


def train(given: argparse.Namespace, work: Path) -> dict[str, float]:
    """Train both; the processor seconds of each."""
    processes = {
        name: start(config, given, work / name, work / f"{name}.log")
        for name, config in (("ner_crf", CONFIG), ("ner", own_config(work / "ner.cfg")))
    }
    seconds = dict.fromkeys(NAMES, 0.0)
    while processes["ner_crf"].poll() is None:
        seconds["ner_crf"] = processor_seconds(processes["ner_crf"].pid)
        time.sleep(0.5)
    while processes["ner"].poll() is None and seconds["ner"] < seconds["ner_crf"]:
        seconds["ner"] = processor_seconds(processes["ner"].pid)
        time.sleep(0.5)
    if processes["ner"].poll() is None:
        processes["ner"].terminate()  # its best model is written at each evaluation
    processes["ner"].wait()
    return seconds


def own_config(path: Path) -> Path:
    """The configuration spaCy itself makes for its `ner`, reading with our reader."""
    spacy_command("init", "config", str(path), "--pipeline", "ner", "--force")
    kept = [
        line
        for line in path.read_text("utf-8").splitlines()
        if not line.startswith(tuple(f"{name} =" for name in DROPPED))
    ]
    text = "\n".join(kept).replace("spacy.Corpus.v1", "ner_crf.Corpus.v1")
    path.write_text(text, "utf-8")
    return path


def start(config: Path, given: argparse.Namespace, output: Path, log: Path) -> subprocess.Popen:
    """Begin `spacy train` with one thread."""
    command = [sys.executable, "-m", "spacy", "train", str(config), "--output", str(output)]
    command += ["--paths.train", given.train, "--paths.dev", given.development]
    settings = dict.fromkeys(("max_epochs", "max_steps", "patience"), 0)  # until it is stopped
    if config == CONFIG:
        rate = {"warmup_steps": STEPS * given.epochs // 10, "total_steps": STEPS * given.epochs}
        settings = {f"optimizer.learn_rate.{name}": value for name, value in rate.items()}
        settings |= {"max_epochs": given.epochs, "eval_frequency": STEPS}
    for name, value in settings.items():
        command += [f"--training.{name}", str(value)]
    with log.open("w") as file:
        return subprocess.Popen(
            command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=file, stderr=file
        )


def spacy_command(*arguments: str) -> None:
    """Run a command of spaCy's."""
    subprocess.run([sys.executable, "-m", "spacy", *arguments], check=True, capture_output=True)


def processor_seconds(pid: int) -> float:
    """The processor time a process has had; as before where it is gone (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def texts_f1(nlp: spacy.Language, examples: list[Example]) -> float:
    """F1 by characters of what is found in texts, with spaCy's own tokens."""
    gold = [_ents(eg.reference) for eg in examples]
    found = [_ents(doc) for doc in nlp.pipe([eg.reference.text for eg in examples])]
    correct = sum(len(one & other) for one, other in zip(gold, found, strict=True))
    return 200 * correct / (sum(map(len, gold)) + sum(map(len, found)))


def _ents(doc: Doc) -> set[tuple[int, int, str]]:
    return {(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents}


def report(test: str, work: Path, seconds: dict[str, float], rounds: int) -> None:
    """Score both and time both in turn."""
    import spacy
    import torch

    torch.set_num_threads(1)
    reader = spacy.registry.readers.get("ner_crf.Corpus.v1")(test)
    pipelines = {name: spacy.load(work / name / "model-best") for name in NAMES}
    rates: dict[str, dict[str, list[float]]] = {name: {"texts": [], "tokens": []} for name in NAMES}
    for number in range(1 + rounds):
        for name, nlp in pipelines.items():
            examples = list(reader(nlp))
            texts = [eg.reference.text for eg in examples]
            words = sum(len(eg.reference) for eg in examples)
            for kind, inputs in (("texts", texts), ("tokens", [eg.predicted for eg in examples])):
                began = time.process_time()
                for _doc in nlp.pipe(inputs):
                    pass
                if number:  # the first round is to warm up
                    rates[name][kind].append(words / (time.process_time() - began))
    print("| component | processor s | test F1 | of texts | words/s, texts | words/s, tokens |")
    print("|---|---|---|---|---|---|")
    for name, nlp in pipelines.items():
        examples = list(reader(nlp))
        own = texts_f1(nlp, examples)
        f1 = 100 * nlp.evaluate(examples)["ents_f"]
        speeds = [statistics.median(rates[name][kind]) for kind in ("texts", "tokens")]
        print(
            f"| `{name}` | {seconds[name]:.0f} | {f1:.2f} | {own:.2f} | {speeds[0]:,.0f} "
            f"| {speeds[1]:,.0f} |"
        )
    for kind in ("texts", "tokens"):
        ratio = statistics.median(
            ours / own for ours, own in zip(rates["ner_crf"][kind], rates["ner"][kind], strict=True)
        )
        print(f"ner_crf / ner, {kind}: {ratio:.2f}")


if __name__ == "__main__":
    main()
