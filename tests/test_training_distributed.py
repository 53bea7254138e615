"""Processes that train together take the steps that one would."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch
import torch.distributed as distributed

PROBE = """
import os, sys, torch
sys.path.insert(0, {tests!r})
from conftest import parse_line
from training_runs import config
from ner.training import Run, optimisation, read_settings
from ner.training.corpora import Corpora

# every table's gradient is of rows, each process's its own
optimisation.LEAST = optimisation.LEAST_SHARED = 1
lines = ["[PER Ada Obi] joined [ORG Kestrel] .", "[LOC Ghana] beat [LOC Peru] 2-1 .", "It rained .",
         "[PER Lin Ho] resigned in [LOC Lima] .", "Shares of [ORG Tern Bank] fell ."]
toy = tuple(parse_line(line) for line in lines)
settings = read_settings(config(batch_size=5, epochs=2, gradient_clip=1e9), output={output!r})
run = Run(settings, device="cpu", corpora=Corpora(toy, toy, ()))
run.network.eval()
run._take(run._data.groups(0)[0], 0.0)
gradient = torch.cat([p.grad.to_dense().reshape(-1) for p in run.network.parameters()])
run.train_epoch()
score = run.epochs[0].score
run.finish()
weights = torch.cat([p.detach().reshape(-1) for p in run.network.parameters()])
for one in run.processes.gather(weights):
    assert torch.equal(one, weights)
assert run.processes.first(("of", run.processes.rank)) == ("of", 0)
if run.processes.writes:
    torch.save({{"gradient": gradient, "gold": score.gold}}, {result!r})
os._exit(0)  # what torch's threads do while the interpreter ends is not asked here
"""

STAGED = """
import os, sys, torch
sys.path.insert(0, {tests!r})
from conftest import parse_line
from ner.training import Run, read_settings
from ner.training.corpora import Corpora
from ner.sentence import in_document

lines = ["[PER Ada Obi] joined [ORG Kestrel Foods] .", "[PER Obi] said nothing .",
         "[LOC Ghana] beat [LOC Peru] 2-1 .", "Shares fell ."]
toy = tuple(map(parse_line, lines))
toy = (*in_document(toy[:2]), *in_document(toy[2:]))
own = {{"model": {bert!r}, "tune": True, "cache": {output!r} + "-cache", "learning_rate": 1e-2}}
training = {{"epochs": 2, "batch_size": 2, "fine_tuning": {{"epochs": 2}}}}
settings = read_settings({{
    "data": {{"train": "unread"}}, "output": {output!r}, "training": training,
    "model": {{"embeddings": {{"transformer": own}}, "encoder": {{"width": 8}}}},
}})
run = Run(settings, device="cpu", corpora=Corpora(toy, toy, ()))
part = run.network.embeddings["transformer"].network
before = torch.cat([w.detach().reshape(-1).clone() for w in part.parameters()])
list(run)
weights = torch.cat([p.detach().reshape(-1) for p in run.network.parameters()])
for one in run.processes.gather(weights):
    assert torch.equal(one, weights)
after = torch.cat([w.detach().reshape(-1) for w in part.parameters()])
assert run.position.stage == 1 and not torch.equal(before, after)
assert len(run.processes.gather(weights)) == 2
os._exit(0)  # as above
"""


@pytest.mark.skipif(not distributed.is_available(), reason="torch without torch.distributed")
def test_two_processes_fine_tune_a_transformer_alike(tmp_path, request):
    """Frozen first, then tuned: after both stages they hold the same weights."""
    pytest.importorskip("transformers")
    from tiny_transformers import tiny_transformer

    bert = str(tiny_transformer(tmp_path / "bert"))
    probe = tmp_path / "probe.py"
    tests = str(request.path.parent)
    probe.write_text(STAGED.format(tests=tests, bert=bert, output=str(tmp_path / "model")))
    run_together(probe, 2)


@pytest.mark.skipif(not distributed.is_available(), reason="torch without torch.distributed")
def test_two_processes_sum_to_the_gradient_of_one(tmp_path, request):
    found = []
    for count in (1, 2):
        result = tmp_path / f"{count}.pt"
        probe = tmp_path / f"{count}.py"
        probe.write_text(
            textwrap.dedent(PROBE).format(
                tests=str(request.path.parent),
                output=str(tmp_path / f"model-{count}"),
                result=str(result),
            )
        )
        run_together(probe, count)
        found.append(torch.load(result, weights_only=True))
        assert (tmp_path / f"model-{count}" / "tagger.json").exists()
        assert not (tmp_path / f"model-{count}.run").exists()
    one, two = found
    torch.testing.assert_close(one["gradient"], two["gradient"], atol=1e-6, rtol=1e-5)
    assert one["gold"] == two["gold"] == 7


def run_together(probe, count):
    """Run a script in so many processes that see each other, as torchrun starts them.

    Where they meet is held open here, as torchrun does it, so that nobody else takes the port, and
    until the last of them has left.
    """
    meeting = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    rendezvous = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(meeting.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "OMP_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, str(probe)],
            env={**os.environ, **rendezvous, "RANK": str(rank), "WORLD_SIZE": str(count)},
        )
        for rank in range(count)
    ]
    assert [process.wait(timeout=240) for process in processes] == [0] * count
