"""Knowledge from outside: vectors of a file, other columns, lists of names."""

import copy
import gzip
import json
import os
import pickle
import struct

import numpy as np
import pytest
import spacy
import torch
from safetensors.torch import save_file
from training_runs import config

import ner
from ner.embeddings.columns import ColumnEmbedding, GazetteerEmbedding
from ner.embeddings.pretrained import PretrainedEmbedding, ReferencedEmbedding
from ner.embeddings.vector_files import read
from ner.errors import ConfigError, ModelError
from ner.formats import DataWarning
from ner.indexers.vectors import FastText, hashed
from ner.network import build
from ner.sentence import Sentence, Span
from ner.tagger import Tagger
from ner.training import Run, read_settings
from ner.training.corpora import Corpora

WORDS = ["the", "New York", "Üä", "00"]
ROWS = np.arange(12, dtype=np.float32).reshape(4, 3) / 8
LINES = [f"{word} {' '.join(map(str, row))}" for word, row in zip(WORDS, ROWS, strict=True)]


def write_vectors(folder, kind):
    """The same four vectors in each kind of file."""
    names = {"binary": "v.bin", "numpy": "v.npy", "safetensors": "v.safetensors", "spacy": "v"}
    name = names.get(kind, "v.txt")
    if kind == "binary":
        words = [word.replace(" ", "_") for word in WORDS]
        body = b"".join(
            word.encode() + b" " + row.astype("<f4").tobytes() + b"\n"
            for word, row in zip(words, ROWS, strict=True)
        )
        (folder / name).write_bytes(b"4 3\n" + body)
    elif kind == "spacy":
        pipeline = spacy.blank("en")
        for word, row in zip(WORDS, ROWS, strict=True):
            pipeline.vocab.set_vector(word, row)
        pipeline.to_disk(folder / name)
    elif kind in ("numpy", "safetensors"):
        if kind == "numpy":
            np.save(folder / name, ROWS)
        else:
            save_file({"vectors": torch.from_numpy(ROWS)}, folder / name)
        (folder / "v.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    else:
        header = "4 3\n" if kind == "header" else ""
        (folder / name).write_text(header + "\n".join(LINES) + "\n", encoding="utf-8")
    return folder / name


@pytest.mark.parametrize("kind", ["plain", "header", "binary", "numpy", "safetensors", "spacy"])
def test_every_kind_of_file_gives_the_same_vectors(tmp_path, kind):
    words, vectors, _ = read(write_vectors(tmp_path, kind))
    found = {word.replace("_", " "): row for word, row in zip(words, vectors, strict=True)}
    assert sorted(found) == sorted(WORDS)
    np.testing.assert_array_equal(np.stack([found[word] for word in WORDS]), ROWS)


def lying_array(rows):
    """An array of numpy that says it has so many rows."""
    said = str({"descr": "<f4", "fortran_order": False, "shape": (rows, 3)}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(said).to_bytes(2, "little") + said.encode() + b"\0" * 12


@pytest.mark.parametrize(
    ("before", "separator", "end"),
    [("", " ", "\r\n"), ("", "\t", "\n"), ("\ufeff4 3\n", " ", "\n"), ("", " ", " \n")],
)
def test_texts_that_others_write_differently_are_read_the_same(tmp_path, before, separator, end):
    lines = [
        f"{word}{separator}{separator.join(map(str, row))}"
        for word, row in zip(WORDS, ROWS, strict=True)
    ]
    (tmp_path / "v.txt").write_text(before + end.join(lines) + end, encoding="utf-8", newline="")
    words, vectors, _ = read(tmp_path / "v.txt")
    assert words == WORDS
    np.testing.assert_array_equal(vectors, ROWS)


def test_a_text_shorter_than_it_promises_is_remarked_upon(tmp_path):
    (tmp_path / "v.vec").write_text("\n".join(["9 3", *LINES, "odd x"]) + "\n", encoding="utf-8")
    whole = pytest.warns(
        DataWarning, match="the header announces 9 vectors, found 5; is the file complete"
    )
    with (
        pytest.warns(DataWarning, match="skipped lines that are not a word and 3 numbers: 1"),
        whole,
    ):
        assert len(read(tmp_path / "v.vec")[0]) == 4


def test_a_list_of_words_that_is_missing_or_in_another_encoding_is_named(tmp_path):
    np.save(tmp_path / "v.npy", ROWS)
    with pytest.raises(FileNotFoundError, match=r"it must list the words of v\.npy, one per line"):
        read(tmp_path / "v.npy")
    (tmp_path / "v.txt").write_bytes(b"\xe9\n")
    with pytest.raises(ValueError, match=r"v\.txt is not UTF-8"):
        read(tmp_path / "v.npy")


def test_lines_of_another_width_are_left_out_and_counted(tmp_path):
    file = tmp_path / "v.vec"
    file.write_text(
        "\n".join(["4 3", LINES[0], "short 1 2", "odd x y z", LINES[2]]) + "\n", "utf-8"
    )
    with pytest.warns(DataWarning, match="skipped lines that are not a word and 3 numbers: 2"):
        words, _, _ = read(file)
    assert words == ["the", "Üä"]


def test_a_number_too_many_is_no_part_of_a_word(tmp_path):
    file = tmp_path / "glove.txt"
    file.write_text(
        "New York .1 .2\n. . . 1.5 2\n1 000 3 4\nlong 0.25 1 2\nlong -1.5e-3 1 2\n", "utf-8"
    )
    with pytest.warns(DataWarning, match="skipped lines that are not a word and 2 numbers: 2"):
        words, vectors, _ = read(file)
    assert words == ["New York", ". . .", "1 000"]
    np.testing.assert_array_equal(vectors, np.float32([[0.1, 0.2], [1.5, 2], [3, 4]]))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("v.txt", b"", "contains no vectors in the format 'text'"),
        ("v.bin", b"what\n", "no header `COUNT WIDTH`"),
        ("v.bin", b"9 9999\nx", "truncated: the header announces 9 vectors"),
        ("v.bin", b"1 1\n" + b"x" * 2000, "a word is longer than 1000 bytes"),
        ("v.bin", b"1000000000000 0\n", "the header announces vectors of width 0"),
        ("v.bin", b"1 1\nx \x00\x00\xc0\x7f", "the vector of 'x' contains NaN or infinity"),
        ("v.npy", b"what", "not a numpy array file"),
        ("v.npy", b"\x93NUMPY\x01\x00\x06\x00{(((  ", "not a numpy array file"),
        ("v.npy", lying_array(10**30), "not a numpy array file"),
        ("v.npy", lying_array(10**12), "not a numpy array file"),
        ("v.safetensors", b"what", "not a safetensors file"),
        ("v.vec.gz", b"what", "the compressed data is broken"),
    ],
)
def test_files_without_vectors_are_named(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=complaint):
        read(tmp_path / name)


def test_a_token_is_looked_up_as_written_then_lower_cased_then_without_digits(tmp_path):
    sentences = [Sentence(("The", "the", "47", "Üä", "cat"))]
    part = PretrainedEmbedding.fit(sentences, file=str(write_vectors(tmp_path, "plain")))
    vectors = part(torch.from_numpy(part.index(sentences[0].tokens)[0]))
    expected = np.stack([ROWS[0], ROWS[0], ROWS[3], ROWS[2], np.zeros(3)])
    np.testing.assert_array_equal(vectors.numpy(), expected.astype(np.float32))
    assert "they cover 80.0 % of the distinct training words" in part.remarks[0]


def test_only_the_words_of_training_can_be_kept(tmp_path):
    file = str(write_vectors(tmp_path, "plain"))
    part = PretrainedEmbedding.fit([Sentence(("The", "12"))], file=file, only_training_words=True)
    assert part.indexer.vocabulary.items == ("the", "00")


@pytest.mark.parametrize("settings", [{}, {"tuned": True}, {"projection": 2}])
def test_training_changes_vectors_only_where_told(toy, tmp_path, settings):
    """And the model that is saved has them, without the file, also with averaging and resuming."""
    tokens = sorted({token for sentence in toy for token in sentence.tokens})
    vectors = np.random.default_rng(1).normal(size=(len(tokens), 3)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    (tmp_path / "v.txt").write_text("\n".join(tokens), encoding="utf-8")
    raw = config(epochs=2, average=0.9)
    given = {"kind": "pretrained", "file": str(tmp_path / "v.npy"), **settings}
    raw["model"] = {**raw["model"], "embeddings": {**raw["model"]["embeddings"], "glove": given}}
    run_settings = read_settings(raw, output=str(tmp_path / "model"))
    run = Run(run_settings, device="cpu", corpora=Corpora(toy, toy, ()))
    assert "100.0 % of the tokens" in run.remarks[0]
    run.train_epoch()
    list(Run(run_settings, device="cpu", corpora=Corpora(toy, toy, ()), resume=True))
    (tmp_path / "v.npy").unlink()
    part = ner.load(tmp_path / "model").network.embeddings["glove"]
    same = np.array_equal(part.vectors.weight[2:].detach().numpy(), vectors)
    assert same == (not settings.get("tuned", False))


def test_columns_are_read_by_name_and_missing_ones_are_unknown():
    sentence = Sentence(("a", "b"), columns={"pos": ("NN", "VB"), "chunk": ("I", "O")})
    part = ColumnEmbedding.fit([sentence], columns=["pos"], width=4).eval()
    again = ColumnEmbedding(**json.loads(json.dumps(part.settings())))
    again.load_state_dict(part.state_dict())
    assert part.index(sentence)[0].tolist() == again.index(sentence)[0].tolist() == [[2], [3]]
    assert part.index(Sentence(("a", "b", "c")))[0].tolist() == [[1], [1], [1]]
    assert part(torch.tensor([[[2], [1]]])).shape == (1, 2, 4)
    assert ColumnEmbedding.fit([sentence]).width == 40
    with pytest.raises(
        ValueError, match=r"column 'ps' besides token and tag; their columns are chunk, pos"
    ):
        ColumnEmbedding.fit([sentence], columns=["ps"])


def test_a_network_learns_from_a_column(toy):
    """Tokens that say nothing, a column that says all: only the column can tell."""
    sentences = tuple(
        Sentence(("x",) * 4, tuple(Span(n, n + 1, "A") for n in range(4) if row & 1 << n),
                 {"flag": tuple("ny"[row >> n & 1] for n in range(4))})
        for row in range(16)
    )  # fmt: skip
    raw = config(epochs=30, learning_rate=0.05)
    off = {"document": False, "topic": False, "affixes": False}
    raw["model"] = {"embeddings": {**off, "columns": {"columns": ["flag"], "value_dropout": 0.0}},
                    "encoder": {"width": 8, "dropout": 0.0}}  # fmt: skip
    run = Run(read_settings(raw), device="cpu", corpora=Corpora(sentences, sentences, ()))
    list(run)
    assert run.best.score.f1 == 1.0


def test_the_longest_name_of_each_list_is_marked(tmp_path):
    (tmp_path / "places").write_text("New York\nNew York City\nYork\n\nyork\n", encoding="utf-8")
    (tmp_path / "teams").write_text("City\n", encoding="utf-8")
    files = {"places": str(tmp_path / "places"), "teams": str(tmp_path / "teams")}
    part = GazetteerEmbedding.fit([], files=files, width=3).eval()
    tokens = ("new", "YORK", "City", "in", "New", "York", "york", "new")
    marks = part.index(Sentence(tokens))[0]
    assert marks[:, 0].tolist() == [1, 2, 3, 0, 1, 3, 4, 0]
    assert marks[:, 1].tolist() == [0, 0, 4, 0, 0, 0, 0, 0]
    again = GazetteerEmbedding(**json.loads(json.dumps(part.settings())))
    assert np.array_equal(again.index(Sentence(tokens))[0], marks)
    assert part(torch.from_numpy(marks)[None]).shape == (1, 8, 6)


def test_a_list_without_names_is_refused(tmp_path):
    (tmp_path / "empty").write_text("\n \n")
    with pytest.raises(ValueError, match="contains no names"):
        GazetteerEmbedding.fit([], files={"x": str(tmp_path / "empty")})


def test_a_folder_that_is_no_pipeline_and_a_name_of_none_are_named(tmp_path):
    with pytest.raises(ValueError, match="is not a spaCy pipeline: it has no folder `vocab`"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match="neither a folder nor an installed spaCy pipeline"):
        read("xx_nothing_sm", "spacy")


def test_a_safetensors_file_of_several_tensors_is_refused(tmp_path):
    tensors = {"a": torch.zeros(1, 2), "b": torch.zeros(1, 2)}
    save_file(tensors, tmp_path / "v.safetensors")
    with pytest.raises(ValueError, match=r"expected one tensor, got 2 \(a, b\)"):
        read(tmp_path / "v.safetensors")


def test_the_format_of_a_part_of_another_name_can_be_given(tmp_path):
    """Whose ``kind`` says what part it is."""
    file = write_vectors(tmp_path, "binary").rename(tmp_path / "news.vectors")
    given = {"kind": "pretrained", "file": str(file), "format": "binary"}
    network = build([Sentence(("the",), (Span(0, 1, "X"),))], embeddings={"news": given})
    assert network.embeddings["news"].width == 3


def test_several_sets_stand_side_by_side(tmp_path):
    """Each is a part of its own, of another name; their vectors are concatenated."""
    file = str(write_vectors(tmp_path, "plain"))
    sets = {name: {"kind": "pretrained", "file": file} for name in ("glove", "other")}
    sets["other"]["projection"] = 2
    network = build([Sentence(("the", "Üä"), (Span(1, 2, "X"),))],
                    embeddings={"words": False, "document": False, "topic": False,
                                "characters": False, "affixes": False, **sets})  # fmt: skip
    network.eval()
    (stack,) = network.stacks
    vectors = stack.vectors(network.batch([Sentence(("the", "Üä"))]))
    assert vectors.shape == (1, 2, 3 + 2)
    np.testing.assert_array_equal(vectors[0, :, :3].detach().numpy(), ROWS[[0, 2]])


@pytest.mark.parametrize("kind", ["plain", "binary"])
def test_compressed_files_are_read_like_others(tmp_path, kind):
    file = write_vectors(tmp_path, kind)
    packed = file.with_name(file.name + ".gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    np.testing.assert_array_equal(read(packed).vectors, ROWS)
    packed.write_bytes(packed.read_bytes()[:-12])
    with pytest.raises(ValueError, match="compressed data is broken"):
        read(packed)


def write_fasttext(path, words, rows, *, shortest=3, longest=4, quantised=0):
    """A model as fastText 0.9 writes it; words first, then buckets."""
    buckets, width = len(rows) - len(words), rows.shape[1]
    numbers = (width, 5, 5, 1, 5, 1, 1, 1, buckets, shortest, longest, 100)
    content = struct.pack("<14i", 793712314, 12, *numbers) + struct.pack("<d", 1e-4)
    content += struct.pack("<3i2q", len(words), len(words), 0, 99, -1)
    for word in words:
        content += word.encode() + b"\0" + struct.pack("<qb", 7, 0)
    content += struct.pack("<b2q", quantised, *rows.shape)
    path.write_bytes(content + rows.astype("<f4").tobytes())
    return path


def test_the_hash_of_fasttext_is_fnv_with_signed_bytes():
    assert hashed("hello") == 0x4F9F2CAB
    assert hashed("") == 0x811C9DC5
    signed = (0x811C9DC5 ^ 0xFFFFFFC3) * 0x01000193 & 0xFFFFFFFF
    assert hashed("é") == (signed ^ 0xFFFFFFA9) * 0x01000193 & 0xFFFFFFFF


def test_a_word_of_fasttext_is_the_mean_of_itself_and_its_parts(tmp_path):
    rows = np.random.default_rng(1).normal(size=(2 + 13, 5)).astype(np.float32)
    file = write_fasttext(tmp_path / "m.bin", ["</s>", "cat"], rows)
    model = FastText(file)
    parts = ["<ca", "<cat", "cat", "cat>", "at>"]
    buckets = [2 + hashed(part) % 13 for part in parts]
    expected = rows[[1, *buckets]].mean(axis=0)
    np.testing.assert_allclose(model.vectors_of(["cat"])[0], expected, rtol=1e-5)
    np.testing.assert_allclose(model.vectors_of(["</s>"])[0], rows[0], rtol=1e-6)
    unknown = [2 + hashed(part) % 13 for part in ("<do", "<do>", "do>")]
    np.testing.assert_allclose(model.vectors_of(["do"])[0], rows[unknown].mean(axis=0), rtol=1e-5)
    assert read(file).words == ["</s>", "cat"]


def test_training_words_that_fasttext_lacks_are_composed(tmp_path):
    rows = np.random.default_rng(1).normal(size=(3 + 50, 4)).astype(np.float32)
    file = write_fasttext(tmp_path / "m.bin", ["cat", "dog", "sun"], rows)
    sentences = [Sentence(("Dogs", "cat"))]
    part = PretrainedEmbedding.fit(sentences, file=str(file), prune=1)
    assert part.indexer.vocabulary.items == ("cat", "Dogs")
    assert "100.0 % of the distinct" in part.remarks[0]
    found = part(torch.from_numpy(part.index(["Dogs"])[0]))
    expected = FastText(file).vectors_of(["Dogs"])
    np.testing.assert_array_equal(found.numpy(), expected)


def test_models_of_fasttext_that_cannot_be_read_are_named(tmp_path):
    rows = np.zeros((5, 2), np.float32)
    file = write_fasttext(tmp_path / "m.bin", ["a"], rows, quantised=1)
    with pytest.raises(ValueError, match="quantised"):
        read(file)
    write_fasttext(file, ["a"], rows)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ValueError, match="truncated"):
        read(file)
    file.write_bytes(file.read_bytes()[:30])
    with pytest.raises(ValueError, match="truncated or not a fastText model"):
        read(file)


def test_words_that_share_a_vector_share_its_row(tmp_path):
    pipeline = spacy.blank("en")
    for word, row in zip(WORDS, ROWS, strict=True):
        pipeline.vocab.set_vector(word, row)
    row = pipeline.vocab.vectors.key2row[pipeline.vocab.strings["the"]]
    for word in ("The", "THE", "tHe"):
        pipeline.vocab.strings.add(word)
        pipeline.vocab.vectors.add(word, row=row)
    pipeline.to_disk(tmp_path / "v")
    sentences = [Sentence(("THE", "Üä"))]
    part = PretrainedEmbedding.fit(sentences, file=str(tmp_path / "v"))
    assert len(part.indexer.vocabulary.items) == 7
    assert part.vectors.num_embeddings == 2 + 4
    found = part(torch.from_numpy(part.index(["THE", "the", "00", "no"])[0]))
    np.testing.assert_array_equal(found.numpy(), [ROWS[0], ROWS[0], ROWS[3], [0, 0, 0]])
    again = PretrainedEmbedding(**part.settings())
    assert again.settings() == part.settings()
    assert again.vectors.weight.shape == part.vectors.weight.shape
    few = PretrainedEmbedding.fit(sentences, file=str(tmp_path / "v"), only_training_words=True)
    assert few.vectors.num_embeddings == 2 + 2
    assert set(few.indexer.vocabulary.items) == {"THE", "the", "Üä"}


def test_the_first_words_and_those_of_training_are_kept(tmp_path):
    file = write_vectors(tmp_path, "plain")
    for settings in ({"prune": 2}, {"vectors": "prune 2"}):
        part = PretrainedEmbedding.fit([Sentence(("00",))], file=str(file), **settings)
        assert part.indexer.vocabulary.items == ("the", "New York", "00")
    with pytest.raises(ValueError, match="prune must be at least 0"):
        PretrainedEmbedding.fit([], file=str(file), prune=-1)


MAPPABLE = ["plain", "header", "binary", "numpy", "safetensors", "fasttext"]
ASKED = ("the", "THE", "New York", "New_York", "Üä", "47", "no", "\ud800")


def referenced_and_contained(folder, kind):
    """The same file, referred to by one embedding and contained in another."""
    if kind == "fasttext":
        rows = np.random.default_rng(1).normal(size=(4 + 50, 3)).astype(np.float32)
        file = write_fasttext(folder / "m.bin", [word.replace(" ", "_") for word in WORDS], rows)
    else:
        file = write_vectors(folder, kind)
    sentences = [Sentence(ASKED)]
    return [
        PretrainedEmbedding.fit(sentences, file=str(file), vectors=vectors)
        for vectors in ("reference", "pack")
    ]


def vectors_in(part, tokens):
    return part(*map(torch.from_numpy, part.index(tokens))).detach().numpy()


@pytest.mark.parametrize("kind", MAPPABLE)
def test_a_file_that_is_referred_to_gives_the_vectors_that_a_model_would_contain(tmp_path, kind):
    referenced, contained = referenced_and_contained(tmp_path, kind)
    assert isinstance(referenced, ReferencedEmbedding)
    assert not referenced.state_dict()
    expected = vectors_in(contained, ASKED)
    assert expected.any()
    np.testing.assert_allclose(vectors_in(referenced, ASKED), expected, rtol=1e-6)
    assert not vectors_in(referenced, [""]).any()
    again = ReferencedEmbedding(**json.loads(json.dumps(referenced.settings())))
    np.testing.assert_allclose(vectors_in(again, ASKED), expected, rtol=1e-6)
    for copied in (copy.deepcopy(again), pickle.loads(pickle.dumps(again))):
        np.testing.assert_allclose(vectors_in(copied, ASKED), expected, rtol=1e-6)
    covered = [part.remarks[0].partition("they cover")[2] for part in (referenced, contained)]
    assert covered[0] == covered[1]


def test_odd_texts_are_referred_to_as_they_are_read(tmp_path):
    file = tmp_path / "glove.txt"
    file.write_text(
        "\ufeffNew York .1 .2\r\n. . . 1.5 2\nthe\t3\t4\nshort 1\nodd x y\nthe 5 6\nlast 7 8",
        "utf-8",
    )
    part = PretrainedEmbedding.fit([], file=str(file), vectors="reference")
    found = vectors_in(part, ["New York", ". . .", "the", "short", "odd", "last"])
    expected = [[0.1, 0.2], [1.5, 2], [3, 4], [0, 0], [0, 0], [7, 8]]
    np.testing.assert_array_equal(found, np.float32(expected))


def test_a_network_learns_from_a_file_that_it_refers_to(toy, tmp_path):
    """A resumed run refuses another file."""
    tokens = sorted({token for sentence in toy for token in sentence.tokens})
    np.save(tmp_path / "v.npy", np.random.default_rng(1).normal(size=(len(tokens), 3)))
    (tmp_path / "v.txt").write_text("\n".join(tokens), encoding="utf-8")
    raw = config(epochs=2)
    given = {"kind": "pretrained", "file": str(tmp_path / "v.npy"), "vectors": "reference"}
    raw["model"] = {**raw["model"], "embeddings": {**raw["model"]["embeddings"], "glove": given}}
    settings = read_settings(raw, output=str(tmp_path / "model"))
    corpora = Corpora(toy, toy, ())
    run = Run(settings, device="cpu", corpora=corpora)
    assert "100.0 % of the tokens" in run.remarks[0]
    run.train_epoch()
    np.save(tmp_path / "v.npy", np.ones((len(tokens), 3)))
    with pytest.raises(ConfigError, match="vocabularies and lists"):
        Run(settings, device="cpu", corpora=corpora, resume=True)


def test_a_file_that_has_changed_is_refused(toy, tmp_path, monkeypatch):
    """So is one that is missing, or that may never end; a model says which file it needs."""
    monkeypatch.chdir(tmp_path)
    file = write_vectors(tmp_path, "numpy")
    given = {"kind": "pretrained", "file": "v.npy", "vectors": "reference", "projection": 2}
    network = build(toy, embeddings={"glove": given})
    Tagger(network).save("model")
    assert ner.load("model").predict(toy) == Tagger(network.eval()).predict(toy)
    (tmp_path / "v.txt").write_text("\n".join([*WORDS[:3], "11"]) + "\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"v\.npy differs from the file of vectors .* restore"):
        ner.load("model")
    file.unlink()
    with pytest.raises(ModelError, match=r"file of vectors v\.npy does not exist"):
        ner.load("model")
    os.mkfifo(file)
    with pytest.raises(ModelError, match=r"v\.npy does not exist or is not a regular file"):
        ner.load("model")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"vectors": "reference", "tuned": True}, "vectors that are tuned belong to the model"),
        ({"vectors": "some"}, "vectors must be all, pack, prune N or reference, got 'some'"),
        ({"vectors": "pack", "prune": 3}, "give `vectors` alone"),
        ({"vectors": "reference", "format": "spacy"}, "cannot refer to vectors in the format"),
        ({"vectors": "reference", "format": "numpy"}, "cannot be mapped into memory"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path, settings, complaint):
    file = write_vectors(tmp_path, "plain")
    with pytest.raises(ValueError, match=complaint):
        PretrainedEmbedding.fit([], file=str(file), **settings)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v.safetensors", b"what"),
        ("v.safetensors", (10**6).to_bytes(8, "little") + b"[" * 10**6),
        ("v.safetensors", (2).to_bytes(8, "little") + b"[]"),
        ("v.safetensors", (13).to_bytes(8, "little") + b'{"x":{"y":1}}'),
        ("v.npy", lying_array(10**12)),
        ("v.bin", b"9 9999\nx"),
        ("v.bin", b"what\n"),
        ("v.txt", b""),
        ("v.txt", b"word\n"),
    ],
)
def test_a_file_without_vectors_is_not_referred_to(tmp_path, name, content):
    (tmp_path / "v.txt").write_bytes(b"x\n")
    (tmp_path / name).write_bytes(content)
    complaint = "cannot be mapped|truncated|no header|contains no vectors"
    with pytest.raises(ValueError, match=complaint):
        PretrainedEmbedding.fit([], file=str(tmp_path / name), vectors="reference")


def test_a_compressed_file_is_not_referred_to(tmp_path):
    file = tmp_path / "v.txt.gz"
    file.write_bytes(gzip.compress("\n".join(LINES).encode()))
    with pytest.raises(ConfigError, match="decompress it first"):
        PretrainedEmbedding.fit([], file=str(file), vectors="reference")


def test_a_lower_cased_fasttext_model_knows_capitalised_words(tmp_path):
    """They are not composed of n-grams that it has never seen."""
    rows = np.random.default_rng(1).normal(size=(2 + 50, 4)).astype(np.float32)
    file = write_fasttext(tmp_path / "m.bin", ["cat", "dog"], rows)
    part = PretrainedEmbedding.fit([Sentence(("Dog",))], file=str(file), vectors="pack")
    assert part.indexer.vocabulary.items == ("dog",)
    np.testing.assert_array_equal(vectors_in(part, ["Dog"]), FastText(file).vectors_of(["dog"]))
