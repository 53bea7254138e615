"""Transformer embeddings: subwords, windows, states, and what is saved."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_transformers import TOKENIZERS, tiny_transformer

import ner
from ner.cli import main
from ner.embeddings import TransformerEmbedding
from ner.embeddings import transformer_files as files
from ner.errors import ConfigError, ModelError
from ner.indexers.subwords import MOST, Memory, Subwords, Windows
from ner.indexers.transformer import TransformerIndexer
from ner.network import build
from ner.sentence import Sentence, in_document
from ner.tagger import Tagger
from ner.training import StoppedError

KINDS = sorted(TOKENIZERS)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("transformers")
    return {kind: tiny_transformer(base / kind, kind) for kind in KINDS}


@pytest.fixture
def subwords(folders):
    return Subwords((folders["wordpiece"] / "tokenizer.json").read_text("utf-8"))


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_cut_as_the_tokenizer_cuts_their_text(folders, kind):
    text = (folders[kind] / "tokenizer.json").read_text("utf-8")
    own = Subwords(text)
    from tokenizers import Tokenizer

    words = ["Ada", "joined", "Kestrel", "Foods", "2-1"]
    whole = Tokenizer.from_str(text).encode(
        " " + " ".join(words) if kind == "bytes" else " ".join(words)
    )
    ours = [*own.prefix, *(n for ids in own(words) for n in ids), *own.suffix]
    assert ours == whole.ids


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_has_subwords_and_none_has_too_many(folders, kind):
    own = Subwords((folders[kind] / "tokenizer.json").read_text("utf-8"))
    odd = ["\u200b", "", "\ud800", "\x00", "x" * 10_000, "日本語", "🎉", " "]
    assert all(1 <= len(ids) <= MOST for ids in own(odd))


def test_subwords_that_are_too_many_to_remember_are_still_right(subwords, monkeypatch):
    monkeypatch.setattr("ner.indexers.subwords.WORDS", 3)
    expected = {word: subwords([word])[0] for word in ("Ada", "Obi", "mill", "Ghana", "Peru")}
    assert subwords(list(expected)) == list(expected.values())


DOCUMENTS = st.lists(
    st.lists(st.sampled_from(["Ada", "Obi", "Kestrel", "antidisestablishment"]), max_size=60),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60)
@given(document=DOCUMENTS, size=st.integers(MOST, 90), context=st.integers(0, 40))
def test_every_word_is_answered_for_by_one_window(folders, document, size, context):
    own = Subwords((folders["wordpiece"] / "tokenizer.json").read_text("utf-8"))
    windows = Windows(document, own, size=size, context=context)
    words = [word for sentence in document for word in sentence]
    flat = own(words)
    seen = 0
    for number in range(len(windows.bounds) - 1):
        window = windows[number]
        assert window.counts.sum() <= size
        pieces = window.ids[window.start : window.start + window.counts.sum()]
        expected = [n for ids in flat[seen : seen + len(window)] for n in ids]
        assert pieces.tolist() == expected
        assert tuple(window.ids[:1]) == own.prefix
        assert tuple(window.ids[-1:]) == own.suffix
        seen += len(window)
    assert seen == len(words)
    for start, end in zip(windows.starts, windows.starts[1:], strict=False):
        covered = windows.of(start, end)
        assert len(covered) <= 1 or flat  # and they reach from the first word to the last
        if end > start:
            assert windows.bounds[covered[0]] <= start < windows.bounds[covered[0] + 1]
            assert windows.bounds[covered[-1]] < end <= windows.bounds[covered[-1] + 1]


def sentences(*lines, document=True):
    made = [Sentence(tuple(line.split())) for line in lines]
    return list(in_document(made)) if document else made


LINES = ("Ada Obi joined Kestrel Foods .", "Obi said nothing .", "Ghana beat Peru 2-1 .")


def fitted(folder, tmp_path, **chosen):
    chosen = {"layers": [1, 2], "cache": str(tmp_path / "cache"), **chosen}
    return TransformerEmbedding.fit(sentences(*LINES), model=str(folder), **chosen).eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_states_are_those_of_transformers_itself(folders, tmp_path, kind, pooling):
    part = fitted(folders[kind], tmp_path, pooling=pooling)
    document = sentences(*LINES)
    from transformers import AutoModel

    network = AutoModel.from_pretrained(folders[kind]).eval()
    own = part.indexer.subwords
    cut = own([token for s in document for token in s.tokens])
    ids = torch.tensor([[*own.prefix, *(n for word in cut for n in word), *own.suffix]])
    with torch.inference_mode():
        hidden = network(ids, output_hidden_states=True).hidden_states
    states = ((hidden[1] + hidden[2]) / 2)[0].numpy()
    place, expected = len(own.prefix), []
    for word in cut:
        some = states[place : place + len(word)]
        expected.append(some.mean(0) if pooling == "mean" else some[0])
        place += len(word)
    found = np.concatenate([arrays[0] for arrays in part.index_all(document)])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_states_are_the_same_alone_and_in_any_company(folders, tmp_path):
    part = fitted(folders["wordpiece"], tmp_path)
    part.indexer.features = None  # nothing from the disk
    many = sentences(*LINES) + sentences("Kestrel Foods sold its mill .", document=False)
    together = part.index_all(many)
    for sentence, (expected,) in zip(many, together, strict=True):
        part.indexer.memory.at((1,))
        part.indexer.memory.at((2,))
        np.testing.assert_allclose(part.index(sentence)[0], expected, atol=1e-5)


def test_a_long_sentence_is_read_whole(folders, tmp_path):
    part = fitted(folders["wordpiece"], tmp_path, window=64)
    long = Sentence(("Obi", "said", "antidisestablishmentarianism") * 700)
    (states,) = part.index(long)
    assert len(states) == len(long)
    assert np.isfinite(states).all()
    assert len(part.index(Sentence(()))[0]) == 0


def test_standardised_states_have_mean_0_and_one_size(folders, tmp_path):
    part = fitted(folders["wordpiece"], tmp_path)
    read = np.concatenate([arrays[0] for arrays in part.index_all(sentences(*LINES))])
    vectors = part(torch.from_numpy(read).unsqueeze(0)).squeeze(0).detach().numpy()
    np.testing.assert_allclose(vectors.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(vectors.std(0), 0.25, atol=1e-4)


def test_features_on_disk_are_read_again(folders, tmp_path, monkeypatch):
    first = fitted(folders["wordpiece"], tmp_path)
    monkeypatch.setattr(TransformerIndexer, "_computed", None)  # so it may not be called
    second = fitted(folders["wordpiece"], tmp_path)
    for one, two in zip(
        first.index_all(sentences(*LINES)), second.index_all(sentences(*LINES)), strict=True
    ):
        np.testing.assert_array_equal(one[0], two[0])
    assert isinstance(second.index_all(sentences(*LINES))[0][0].base, np.memmap)


def config(toy_file, folder, tmp_path, **chosen):
    own = {"model": str(folder), "layers": [1, 2], "cache": str(tmp_path / "cache"), **chosen}
    return {
        "data": {"train": str(toy_file), "development": str(toy_file)},
        "model": {"embeddings": {"transformer": own}, "encoder": {"width": 8}},
        "training": {"epochs": 2},
        "output": str(tmp_path / "model"),
    }


@pytest.fixture
def toy_file(toy, tmp_path):
    ner.write(tmp_path / "toy.conll", toy)
    return tmp_path / "toy.conll"


def trained(toy_file, folder, tmp_path, **chosen):
    for _ in ner.train(config(toy_file, folder, tmp_path, **chosen)):
        pass
    return tmp_path / "model"


def test_a_frozen_transformer_stays_outside_the_model(toy, toy_file, folders, tmp_path):
    folder = shutil.copytree(folders["wordpiece"], tmp_path / "bert")
    model = trained(toy_file, folder, tmp_path)
    part = json.loads((model / "tagger.json").read_text())["network"]["embeddings"]["transformer"]
    assert part["checksum"] == files.checksum(folder)
    assert part["tokenizer"] is None
    spans = ner.load(model).predict(toy)
    assert len(spans) == len(toy)

    network = files.load(folder, 3)
    with torch.no_grad():
        next(network.parameters()).add_(1.0)
    network.save_pretrained(folder)
    with pytest.raises(ValueError, match="differs from the one that the model was trained with"):
        ner.load(model)
    shutil.rmtree(folder)
    with pytest.raises((ConfigError, ModelError), match="bert"):
        ner.load(model)


@pytest.mark.parametrize(
    "chosen", [{"tune": True}, {"tune": "top-1"}, {"tune": "lora"}, {"include": True}]
)
def test_a_model_that_holds_its_transformer_needs_no_other_files(
    toy, toy_file, folders, tmp_path, chosen
):
    folder = shutil.copytree(folders["wordpiece"], tmp_path / "bert")
    model = trained(toy_file, folder, tmp_path, **chosen)
    shutil.rmtree(folder)
    tagger = ner.load(model)
    known = tagger.predict(toy)
    again = Tagger.from_bytes(tagger.to_bytes())
    assert again.predict(toy) == known
    assert [tagger.predict([sentence])[0] for sentence in toy] == known


def test_a_model_is_shared_with_its_transformer(toy, toy_file, folders, tmp_path, capsys):
    folder = shutil.copytree(folders["wordpiece"], tmp_path / "bert")
    model = trained(toy_file, folder, tmp_path)
    known = ner.load(model).predict(toy)
    for flags in ([], ["--include-transformer"]):
        address = f"file://{tmp_path}/shared{len(flags)}"
        assert main(["push", str(model), address, "--quiet", *flags]) == 0
    shutil.rmtree(folder)
    with pytest.raises((ConfigError, ModelError), match="bert"):
        ner.load(tmp_path / "shared0")
    whole = tmp_path / "shared1"
    assert ner.load(whole).predict(toy) == known
    assert (whole / "README.md").read_text() == (model / "README.md").read_text()


def test_the_command_line_includes_a_transformer(toy_file, folders, tmp_path, capsys):
    own = config(toy_file, folders["wordpiece"], tmp_path)
    (tmp_path / "run.yaml").write_text(json.dumps(own))
    command = ["train", str(tmp_path / "run.yaml"), "--quiet", "--include-transformer"]
    assert main([*command, "--set", "training.epochs=1"]) == 0
    assert ner.load(tmp_path / "model").network.embeddings["transformer"].include
    without = ["--set", "model.embeddings={}", "--output", str(tmp_path / "other")]
    assert main([*command, *without]) == 2
    assert "has no transformer" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of spacy package
@pytest.mark.parametrize("included", [False, True])
def test_a_spacy_pipeline_is_packed_with_the_transformer_or_without(
    toy_file, folders, tmp_path, included
):
    """Without: installed where the transformer is not, the package says what it lacks."""
    spacy = pytest.importorskip("spacy")
    from spacy.cli.package import package

    folder = shutil.copytree(folders["wordpiece"], tmp_path / "bert")
    model = trained(toy_file, folder, tmp_path, include=included)
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_crf", config={"model": str(model)})
    text = "Ada Obi joined Kestrel Foods in Accra ."
    known = [(ent.text, ent.label_) for ent in nlp(text).ents]
    nlp.to_disk(tmp_path / "pipeline")
    name = f"held{included:d}"
    package(
        tmp_path / "pipeline", tmp_path, name=name, version="1.0.0",
        create_sdist=False, create_wheel=False, silent=True,
    )  # fmt: skip
    shutil.rmtree(model)
    packed = tmp_path / f"en_{name}-1.0.0" / f"en_{name}" / f"en_{name}-1.0.0"
    loaded = spacy.load(packed)
    assert [(ent.text, ent.label_) for ent in loaded(text).ents] == known
    shutil.rmtree(folder)
    if included:
        assert [(e.text, e.label_) for e in spacy.load(packed)(text).ents] == known
    else:
        with pytest.raises(ValueError, match="bert"):
            spacy.load(packed)


@pytest.mark.parametrize(("tune", "changed"), [(True, {0, 1}), ("top-1", {1})])
def test_tuning_changes_the_layers_it_is_to_change(toy, toy_file, folders, tmp_path, tune, changed):
    model = trained(toy_file, folders["wordpiece"], tmp_path, tune=tune)
    part = ner.load(model).network.embeddings["transformer"]
    before = files.load(folders["wordpiece"], 2).state_dict()
    after = part.network.state_dict()
    differs = {name for name in before if not torch.equal(before[name], after[name])}
    assert {int(name.split(".")[2]) for name in differs} == changed
    assert all(name.startswith("encoder.layer.") for name in differs)


def test_the_same_seed_tunes_to_the_same_bytes(toy_file, folders, tmp_path):
    weights = []
    for name in "ab":
        (tmp_path / name).mkdir()
        model = trained(toy_file, folders["wordpiece"], tmp_path / name, tune=True)
        weights.append((model / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_settings_that_cannot_be_are_refused(folders, tmp_path):
    folder = folders["wordpiece"]
    for chosen, said in [
        ({"layers": [4]}, "from 0 to 3"),
        ({"layers": [1, 1]}, "distinct"),
        ({"tune": "bottom-2"}, "top-N"),
        ({"tune": "lora", "rank": 0}, "rank must be at least 1"),
        ({"window": 500}, "window must be"),
        ({"context": -1}, "context"),
    ]:
        with pytest.raises(ValueError, match=said):
            fitted(folder, tmp_path, **chosen)
    with pytest.raises(ConfigError, match="neither a folder nor an available model"):
        fitted("no/such-model", tmp_path)
    with pytest.raises(ConfigError, match="package"):
        fitted("package:nothing_of_this_name/model", tmp_path)


@pytest.mark.parametrize("missing", ["tokenizer.json", "model.safetensors", "config.json"])
def test_a_folder_that_lacks_a_file_is_refused(folders, tmp_path, missing):
    folder = shutil.copytree(folders["wordpiece"], tmp_path / "bert")
    (folder / missing).rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=missing):
        fitted(folder, tmp_path)


def test_a_configuration_that_names_code_runs_none(folders, tmp_path):
    folder = shutil.copytree(folders["wordpiece"], tmp_path / "bert")
    own = json.loads((folder / "config.json").read_text())
    own["auto_map"] = {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}
    (folder / "config.json").write_text(json.dumps(own))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    fitted(folder, tmp_path)
    own["model_type"] = "evil"
    (folder / "config.json").write_text(json.dumps(own))
    with pytest.raises(ConfigError, match="does not support the model type 'evil'"):
        fitted(folder, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_sentence_changed_since_its_document_was_made_is_read_as_it_is(folders, tmp_path):
    part = fitted(folders["wordpiece"], tmp_path)
    first, second, _ = sentences(*LINES)
    changed = replace(second, tokens=("Peru", "said"))
    assert len(part.index(changed)[0]) == 2
    np.testing.assert_allclose(part.index(first)[0], part.index_all([first, changed])[0][0])


@pytest.mark.parametrize("chosen", [{}, {"tune": True}])
def test_members_of_an_ensemble_read_their_own_states(toy, toy_file, folders, tmp_path, chosen):
    own = config(toy_file, folders["wordpiece"], tmp_path, **chosen)
    own["model"]["members"] = 2
    for _ in ner.train(own):
        pass
    tagger = ner.load(own["output"])
    shared = len(tagger.network.context_embeddings) == 3  # document and topic are shared anyway
    assert shared == (not chosen)
    assert [tagger.predict([sentence])[0] for sentence in toy] == tagger.predict(toy)


def test_each_tuned_layer_has_its_learning_rate(toy, folders, tmp_path):
    part = fitted(folders["wordpiece"], tmp_path, tune=True, learning_rate=1e-3, layer_decay=0.5)
    rates = dict(part.learning_rates())
    layers = files.layers_of(part.network)
    assert {rates[weight] for weight in layers[1].parameters()} == {1e-3}
    assert {rates[weight] for weight in layers[0].parameters()} == {5e-4}
    assert part.mean not in rates


def test_tuning_in_bfloat16_goes_about_the_way_float32_goes(toy_file, folders, tmp_path):
    losses = {}
    for precision in ("float32", "bfloat16"):
        own = config(
            toy_file, folders["wordpiece"], tmp_path, tune=True, precision=precision,
            learning_rate=1e-2,
        )  # fmt: skip
        own["training"]["precision"] = precision
        losses[precision] = [epoch.loss for epoch in ner.train(own)]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.1)


def test_a_run_that_tunes_is_resumed_to_the_same_bytes(toy_file, folders, tmp_path):
    def run(name):
        own = config(toy_file, folders["wordpiece"], tmp_path, tune=True)
        own["training"] = {"epochs": 3, "checkpoint_steps": 2}
        return {**own, "output": str(tmp_path / name)}

    for _ in ner.train(run("whole")):
        pass
    for epoch in ner.train(run("cut")):
        if epoch.number == 1:
            break
    for _ in ner.train(run("cut"), resume=True):
        pass
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def staged(toy_file, folder, tmp_path, name="model", **training):
    tune = training.pop("tune", True)
    own = config(toy_file, folder, tmp_path, tune=tune, learning_rate=1e-2)
    fine = {"epochs": 2, **training.pop("fine_tuning", {})}
    own["training"] = {"epochs": 2, "batch_size": 4, "fine_tuning": fine, **training}
    return {**own, "output": str(tmp_path / name)}


def test_the_first_stage_leaves_the_transformer_as_it_is(toy_file, folders, tmp_path, monkeypatch):
    run = ner.train(staged(toy_file, folders["wordpiece"], tmp_path))
    part = run.network.embeddings["transformer"]
    before = {name: w.clone() for name, w in part.network.state_dict().items()}
    assert run.planned == 4
    computed, compute = [], TransformerIndexer._computed
    with monkeypatch.context() as patch:
        patch.setattr(
            TransformerIndexer,
            "_computed",
            lambda own, some: computed.append(some) or compute(own, some),
        )
        list(zip(range(2), run, strict=False))
    assert all(len(window) == 1 for some in computed for window in some.values())  # no sentence
    assert all(torch.equal(w, before[name]) for name, w in part.network.state_dict().items())
    network = run.network
    first = {name: w.clone() for name, w in run._best_weights.items()}
    run._next_stage()
    assert all(torch.equal(network.state_dict()[name], w) for name, w in first.items())
    epochs = list(run)
    assert [epoch.number for epoch in run.epochs] == [1, 2, 3, 4]
    assert epochs[0].learning_rate < 1e-3
    differs = {n for n, w in part.network.state_dict().items() if not torch.equal(w, before[n])}
    assert {int(name.split(".")[2]) for name in differs} == {0, 1}


@pytest.mark.parametrize(
    "chosen", [{}, {"optimizer": "sgd", "average": 0.0, "patience": 1}, {"tune": "lora"}]
)
def test_a_run_of_two_stages_stopped_anywhere_ends_in_the_same_bytes(
    toy, toy_file, folders, tmp_path, chosen
):
    """Stopped after each step, also the last of the first stage and the first of the second."""
    whole = ner.train(staged(toy_file, folders["wordpiece"], tmp_path, "whole", **chosen))
    list(whole)
    settings = staged(toy_file, folders["wordpiece"], tmp_path, "cut", **chosen)
    run, stages = ner.train(settings), set()
    while not run.finished:
        run.stop()
        with pytest.raises(StoppedError):
            run.train_epoch()
        torch.manual_seed(0)  # whatever happens in between
        run = ner.train(settings, resume=True)
        stages.add(run.position.stage)
        if run.position.steps_of_epoch == len(run._data.groups(len(run.epochs))):
            run.train_epoch()
    run.finish()
    assert stages == {0, 1}
    assert [replace(e, seconds=0, tokens_per_second=0) for e in run.epochs] == [
        replace(e, seconds=0, tokens_per_second=0) for e in whole.epochs
    ]
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_the_best_epoch_may_be_one_of_the_first_stage(toy, toy_file, folders, tmp_path):
    ruin = {"learning_rate": 50.0, "epochs": 1, "optimizer": "sgd", "average": 0.0}
    settings = staged(
        toy_file,
        folders["wordpiece"],
        tmp_path,
        epochs=8,
        learning_rate=0.03,
        fine_tuning=ruin,
        average=0.0,
    )
    run = ner.train(settings)
    *_, last = run
    assert run.best is not None
    assert run.best.number < last.number
    part = ner.load(tmp_path / "model").network.embeddings["transformer"]
    pretrained = files.load(folders["wordpiece"], 2).state_dict()
    assert all(torch.equal(w, pretrained[n]) for n, w in part.network.state_dict().items())


def test_patience_ends_the_first_stage_and_begins_anew_in_the_second(toy_file, folders, tmp_path):
    settings = staged(toy_file, folders["wordpiece"], tmp_path, epochs=20, patience=2)
    settings["training"] |= {"learning_rate": 1e-12, "average": 0.0}  # nothing is learnt
    settings["training"]["fine_tuning"] |= {"learning_rate": 1e-12}
    settings["model"]["embeddings"]["transformer"]["learning_rate"] = 1e-12
    run = ner.train(settings)
    assert len(list(run)) == 5  # the first is the best; two without a better one, in each stage
    assert run.position.begun == 3


def test_the_sentences_of_a_window_are_trained_together(toy_file, folders, tmp_path):
    run = ner.train(config(toy_file, folders["wordpiece"], tmp_path, tune=True))
    data, part = run._data, run.network.embeddings["transformer"]
    place = run.network.context_embeddings.index(part)
    slots = [piece.contexts[place][0] for piece in data.pieces]
    windows = [int(part._registry.places(numbers)[0]) for numbers in slots]
    assert len(set(windows)) < len(windows)
    batches = [batch for group in data.groups(0) for batch in group]
    assert sorted(number for batch in batches for number in batch) == list(range(len(windows)))
    for window in set(windows):
        own = {number for number, other in enumerate(windows) if other == window}
        assert sum(bool(own & set(batch)) for batch in batches) == 1


@pytest.mark.parametrize(
    ("chosen", "fine", "said"),
    [
        ({"tune": False}, {}, "needs an embedding to fine-tune"),
        ({"tune": True}, {"seed": 2}, "seed is a setting of the whole run"),
        ({"tune": True}, {"epoch": 2}, "training.fine_tuning has no setting 'epoch'"),
        ({"tune": True}, {"epochs": 0}, "epochs must be more than 0"),
    ],
)
def test_a_second_stage_that_cannot_be_is_refused(toy_file, folders, tmp_path, chosen, fine, said):
    own = config(toy_file, folders["wordpiece"], tmp_path, **chosen)
    own["training"]["fine_tuning"] = fine
    with pytest.raises(ConfigError, match=said):
        ner.train(own)


def test_adapters_are_merged_into_the_matrices_of_a_saved_model(toy, toy_file, folders, tmp_path):
    pytest.importorskip("peft")
    settings = config(toy_file, folders["wordpiece"], tmp_path, tune="lora", learning_rate=0.05)
    run = ner.train(settings)
    list(run)
    trained = [name for name, w in run.network.named_parameters() if w.requires_grad]
    adapters = [name for name in trained if ".transformer." in name and "mixture" not in name]
    assert adapters
    assert all("lora_" in name for name in adapters)
    tagger = ner.load(tmp_path / "model")
    before = files.load(folders["wordpiece"], 2).state_dict()
    after = tagger.network.embeddings["transformer"].network.state_dict()
    differs = {name for name in before if not torch.equal(before[name], after[name])}
    assert differs
    assert all(".layer." in name and name.endswith("weight") for name in differs)
    own = run.network.eval()  # with its adapters apart
    run._stepper.network.load_state_dict(run._best_weights, strict=False)
    batch, expected = tagger.network.batch(toy), own.batch(toy)
    torch.testing.assert_close(
        tagger.network.emissions(batch), own.emissions(expected), atol=1e-5, rtol=1e-4
    )


def test_a_model_with_merged_adapters_is_trained_further(toy_file, folders, tmp_path):
    pytest.importorskip("peft")
    model = trained(toy_file, folders["wordpiece"], tmp_path, tune="lora")
    own = config(toy_file, folders["wordpiece"], tmp_path) | {"output": str(tmp_path / "more")}
    list(ner.train(own, init_from=model))
    assert ner.load(tmp_path / "more").network.embeddings["transformer"].tune == "lora"


@pytest.mark.parametrize("tune", [True, "lora"])
def test_gradients_are_the_same_with_checkpointing(toy, folders, tmp_path, tune, monkeypatch):
    if tune == "lora":
        pytest.importorskip("peft")
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(4)
        part = fitted(folders["wordpiece"], tmp_path, tune=tune, checkpointing=checkpointing)
        layer, runs = files.layers_of(part.network)[0], []
        layer.intermediate.register_forward_hook(lambda *given, runs=runs: runs.append(1))
        part.train()
        slots = [torch.from_numpy(part.index(sentence)[0]) for sentence in toy[:2]]
        torch.manual_seed(5)  # of dropout
        part(torch.nn.utils.rnn.pad_sequence(slots, batch_first=True)).square().sum().backward()
        assert len(runs) == 1 + checkpointing
        found.append({n: w.grad for n, w in part.named_parameters() if w.grad is not None})
    plain, again = found
    assert plain.keys() == again.keys()
    assert any(gradient.any() for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient)


@pytest.mark.parametrize("without", [("encoder",), ("crf",), ("encoder", "crf")])
def test_the_bilstm_or_the_crf_can_be_left_out(toy, toy_file, folders, tmp_path, without):
    own = config(toy_file, folders["wordpiece"], tmp_path)
    own["model"] |= dict.fromkeys(without, False)
    list(ner.train(own))
    tagger = ner.load(tmp_path / "model")
    stack = tagger.network.stacks[0]
    weights = [name for name, _ in stack.encoder.named_parameters() if "weight" in name]
    assert bool(weights) == ("encoder" not in without)
    assert bool(stack.crf.transitions.any()) == ("crf" not in without)
    assert [tagger.predict([sentence])[0] for sentence in toy] == tagger.predict(toy)


@pytest.mark.parametrize("tune", [False, True])
def test_the_emissions_of_a_sentence_are_the_same_alone_and_in_any_batch(
    toy, folders, tmp_path, tune
):
    own = {"model": str(folders["wordpiece"]), "cache": str(tmp_path / "cache"), "tune": tune}
    network = build(toy, embeddings={"transformer": own}, encoder={"width": 8}).eval()
    parts = [part.indexer for part in network.context_embeddings if hasattr(part, "transformer")]
    found: dict[int, list] = {}
    with torch.inference_mode():
        for order in ([*range(len(toy))], [3, 0, 7], *([n] for n in range(len(toy)))):
            for indexer in parts:  # nothing is remembered
                indexer.features, indexer.memory = None, Memory()
            emissions = network.emissions(network.batch([toy[n] for n in order]))
            for n, own_emissions in zip(order, emissions, strict=True):
                found.setdefault(n, []).append(own_emissions[: len(toy[n])])
    for first, *others in found.values():
        for other in others:
            torch.testing.assert_close(other, first, atol=1e-5, rtol=0.0)
