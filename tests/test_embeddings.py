"""Every embedding: fitted, saved, made again, and the same whatever else is in the batch."""

import json
import math
import re

import pytest
import torch
from tiny_transformers import transformer_settings

from ner.config import ConfigError
from ner.embeddings import EMBEDDINGS, ContextEmbedding, TypeEmbedding
from ner.indexers.base import UNKNOWN
from ner.indexers.characters import case, shape
from ner.indexers.document import HEADLINE, TOPIC
from ner.indexers.words import normalise
from ner.network import build
from ner.sentence import Document, Sentence, in_document

ODD = ("", "Ada", "x" * 300_000, "\u200b", "１２", "東京", "İstanbul", "a\u00a0b", "\ud83d\ude00")


def vectors_of(part, sentence):
    """The vectors of a sentence's tokens, from either kind of embedding."""
    if isinstance(part, TypeEmbedding):
        return part(*(torch.from_numpy(array) for array in part.index(sentence.tokens)))
    return part(*(torch.from_numpy(array)[None] for array in part.index(sentence)))[0]


@pytest.fixture(params=EMBEDDINGS)
def part(request, toy, tmp_path_factory):
    torch.manual_seed(0)
    own = transformer_settings(request.param, tmp_path_factory)
    return EMBEDDINGS[request.param].fit(toy, **own).eval()


def test_its_settings_pass_through_json_and_make_it_again(part, toy):
    again = type(part)(**json.loads(json.dumps(part.settings()))).eval()
    again.load_state_dict(part.state_dict())
    assert again.width == part.width
    for sentence in toy:
        torch.testing.assert_close(vectors_of(again, sentence), vectors_of(part, sentence))


def test_it_gives_a_finite_vector_of_its_width_for_any_token(part):
    vectors = vectors_of(part, Sentence(ODD))
    assert vectors.shape == (len(ODD), part.width)
    assert torch.isfinite(vectors).all()


def test_it_is_of_one_kind(part):
    assert isinstance(part, TypeEmbedding) != isinstance(part, ContextEmbedding)


def test_a_token_has_the_same_vector_whatever_tokens_are_beside_it(part, toy):
    if isinstance(part, TypeEmbedding):
        tokens = toy[0].tokens
        together = vectors_of(part, toy[0])
        for row, token in enumerate(tokens):
            alone = vectors_of(part, Sentence((token,)))
            torch.testing.assert_close(alone[0], together[row])
    else:
        apart = Sentence(toy[0].tokens)
        same = vectors_of(part, apart)
        torch.testing.assert_close(vectors_of(part, Sentence(toy[0].tokens)), same)


def test_training_reaches_every_table_with_gradients(part, toy):
    part.train()
    loss = sum(vectors_of(part, sentence).square().sum() for sentence in toy)
    learned = {name: weight for name, weight in part.named_parameters() if weight.requires_grad}
    if not learned:
        pytest.skip("its table is to stay as it is")
    loss.backward()
    for name, weight in learned.items():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name


def test_unknown_words_learn_from_words_seen_once(toy):
    words = EMBEDDINGS["words"].fit(toy, singleton_dropout=1.0, word_dropout=0.0)
    counts = {}
    for sentence in toy:
        for token in sentence.tokens:
            counts[normalise(token)] = counts.get(normalise(token), 0) + 1
    assert words.singletons == sum(count == 1 for count in counts.values())
    (indices,) = words.index(["resigned", "ghana"])  # seen once, seen twice
    vectors = words.train()(torch.from_numpy(indices))
    torch.testing.assert_close(vectors[0], words.vectors.weight[1])
    torch.testing.assert_close(vectors[1], words.vectors.weight[int(indices[1])])


def test_words_of_few_documents_are_the_unknown_word_more_often(toy):
    town = Document((("Tirana",) * 9, ("and", "Tirana")))
    other = Document((("and", "so", "on"),))
    documents = [(town, 0), (town, 1), (other, 0)]
    sentences = [Sentence(d.tokens[n], (), document=d, position=n) for d, n in documents]
    words = EMBEDDINGS["words"].fit(sentences, rare_dropout=1.0).train()
    assert words.rare[:3] == (3, 1, 0)  # tirana, so, on; and
    torch.manual_seed(0)
    (indices,) = words.index(["Tirana"] * 2000 + ["and"] * 2000)
    unknown = (words(torch.from_numpy(indices)) == words.vectors.weight[1]).all(1).float()
    shares = [unknown[:2000].mean().item(), unknown[2000:].mean().item()]
    assert shares == pytest.approx([1 / 2, 1 / 3], abs=0.05)
    again = type(words)(**words.settings())
    assert again.settings() == words.settings()
    assert not (words.eval()(torch.from_numpy(indices)) == words.vectors.weight[1]).all(1).any()


def test_words_of_sentences_without_documents_are_rare_by_sentences():
    sentences = [Sentence(("Oslo", "Oslo"), ()), Sentence(("Bergen",), ()), Sentence(("Oslo",), ())]
    words = EMBEDDINGS["words"].fit(sentences, rare_dropout=0.5)
    assert words.indexer.vocabulary.items == ("oslo", "bergen")
    assert words.rare[:2] == (1, 1)


NO_WIDTHS = (
    ("words", {"width": 0}),
    ("characters", {"width": -1}),
    ("character_lstm", {"character_width": 0}),
    ("affixes", {"width": -1}),
    ("document", {"flag_width": 0}),
    ("topic", {"position_width": 0}),
    ("pairs", {"width": 0}),
    ("pretrained", {"projection": 0}),
    ("columns", {"width": 0}),
    ("gazetteers", {"width": 0}),
)
NO_SHARES = (
    ("words", {"singleton_dropout": 1.5}),
    ("words", {"word_dropout": -0.1}),
    ("characters", {"character_dropout": math.nan}),
    ("document", {"context_dropout": 2}),
    ("topic", {"context_dropout": -1}),
    ("pairs", {"pair_dropout": math.inf}),
    ("columns", {"value_dropout": -0.5}),
    ("gazetteers", {"match_dropout": 1.1}),
)
IMPOSSIBLE = (
    ("words", {"rare_dropout": -0.5}, "rare_dropout must be at least 0, got -0.5"),
    ("words", {"rare_dropout": math.inf}, "rare_dropout must be at least 0, got inf"),
    ("characters", {"window": 2}, "window must be odd and at least 1, got 2"),
    ("characters", {"window": -1}, "window must be odd and at least 1, got -1"),
    ("character_lstm", {"width": 3}, "width must be even (half for each direction), got 3"),
    ("affixes", {"features": []}, "features must name at least one of"),
    ("given", {"width": -1}, "width must be at least 0, got -1"),
    *(
        (kind, own, f"{n} must be at least 1, got {v}")
        for kind, own in NO_WIDTHS
        for n, v in own.items()
    ),
    *(
        (kind, own, f"{n} must be from 0 to 1, got {v}")
        for kind, own in NO_SHARES
        for n, v in own.items()
    ),
)


@pytest.mark.parametrize(("kind", "settings", "complaint"), IMPOSSIBLE)
def test_an_impossible_setting_is_refused_and_named_as_the_configuration_names_it(
    kind, settings, complaint, toy
):
    with pytest.raises(ConfigError, match=f"model.embeddings.mine: {re.escape(complaint)}"):
        build(toy, embeddings={"mine": {"kind": kind, **settings}})


@pytest.mark.parametrize(
    ("token", "expected"),
    [("London", "Xxxx"), ("GPT-4", "XXX-d"), ("1996-08-22", "ddd-dd-dd"), ("", "")],
)
def test_shapes(token, expected):
    assert shape(token) == expected


@pytest.mark.parametrize(
    ("token", "expected"),
    [("1", "number"), ("A", "letter"), ("AB", "upper"), ("ab", "lower"), ("Ab", "title"),
     ("AbC", "capital"), ("aB", "mixed"), ("a1B", "digits"), ("-", "other"), ("", "other")],
)  # fmt: skip
def test_cases(token, expected):
    assert case(token) == expected


def test_document_context_sees_the_other_mentions_and_only_those():
    document = in_document(
        [Sentence(("Blackburn", "won")), Sentence(("the", "Blackburn", "striker"))]
    )
    part = EMBEDDINGS["document"].fit(document, min_count=1, context_dropout=0.0)
    flags, before, after = part.index(document[0])
    assert flags[0].tolist() == [2, 1, 2, 1]  # one other; none lower; one in mid-sentence; no caps
    assert flags[1].tolist() == [0, 0, 0, 0]
    assert before[0][0] == part.indexer.vocabulary["the"]
    assert after[0][0] == part.indexer.vocabulary["striker"]
    alone = part.index(Sentence(("Blackburn", "won")))
    assert alone[0][0].tolist() == [1, 1, 1, 1]
    assert not alone[1].any()
    assert not alone[2].any()


def test_document_context_takes_the_same_time_for_each_mention():
    """A form with 20,000 mentions is summed up once, not once for each of them."""
    document = Document(tuple(("Obi", "won") for _ in range(20_000)))
    part = EMBEDDINGS["document"].fit([])
    for position in (0, 19_999):
        sentence = Sentence(("Obi", "won"), document=document, position=position)
        flags, before, _ = part.index(sentence)
        assert flags[0].tolist() == [4, 1, 1, 1]
        assert before.shape == (2, 6)


def test_hidden_documents_look_like_no_document():
    document = in_document([Sentence(("Obi", "won")), Sentence(("Mr", "Obi"))])
    part = EMBEDDINGS["document"].fit(document, min_count=1, context_dropout=1.0 - 1e-9).train()
    hidden = vectors_of(part, document[0])
    alone = vectors_of(part.eval(), Sentence(("Obi", "won")))
    torch.testing.assert_close(hidden, alone)


def test_topic_is_the_same_for_all_tokens_of_a_document_but_for_the_position():
    document = in_document(
        [Sentence(("SOCCER", "RESULTS")), Sentence(("Blackburn", "3")), Sentence(("Leeds", "1"))]
    )
    part = EMBEDDINGS["topic"].fit(document, min_count=1).eval()
    (rows,) = part.index(document[1])
    assert rows[0].tolist() == rows[1].tolist()
    assert rows[0, 0] == 2  # the second sentence; 0 would be none
    first = [part.indexer.vocabulary[word] for word in ("soccer", "results", "blackburn", "0")]
    assert rows[0, 1:5].tolist() == first
    later = part.index(document[2])[0]
    assert later[0, 1:].tolist() == rows[0, 1:].tolist()
    vectors = vectors_of(part, document[1])
    torch.testing.assert_close(vectors[0], vectors[1])


def test_a_long_document_fills_the_topic_with_its_rare_words():
    common = tuple(
        Sentence(("the", f"word{chr(97 + n // 26)}{chr(97 + n % 26)}")) for n in range(200)
    )
    document = in_document([*common, Sentence(("the",) * 20)])
    part = EMBEDDINGS["topic"].fit(document, min_count=1)
    (rows,) = part.index(document[0])
    topic = rows[0, 1 + HEADLINE :]
    assert len(topic) == TOPIC
    assert topic.all()
    assert part.indexer.vocabulary["the"] not in topic
    assert len(set(topic.tolist())) == TOPIC


@pytest.mark.parametrize("sentences", [0, 1])
def test_without_a_document_there_is_no_topic(sentences):
    document = in_document([Sentence(("Obi", "won"))]) if sentences else [Sentence(("Obi", "won"))]
    part = EMBEDDINGS["topic"].fit(document, min_count=1).eval()
    (rows,) = part.index(document[0])
    assert not rows.any()


def test_a_hidden_document_has_no_topic():
    document = in_document([Sentence(("Obi", "won")), Sentence(("Mr", "Obi"))])
    part = EMBEDDINGS["topic"].fit(document, min_count=1, context_dropout=1.0 - 1e-9).train()
    hidden = vectors_of(part, document[0])
    torch.testing.assert_close(hidden, vectors_of(part.eval(), Sentence(("Obi", "won"))))


def test_pairs_are_of_the_token_before_and_of_the_token_after():
    sentence = Sentence(("中", "国", "人"))
    part = EMBEDDINGS["pairs"].fit([sentence, Sentence(("中", "国"))], min_count=1)
    (indices,) = part.index(sentence)
    known = part.indexer.vocabulary
    assert indices.tolist() == [
        [known["\t中"], known["中\t国"]],
        [known["中\t国"], known["国\t人"]],
        [known["国\t人"], known["人\t"]],
    ]
    (other,) = part.index(Sentence(("人", "中")))
    assert other[0].tolist() == [UNKNOWN, UNKNOWN]
    assert part.index(Sentence(()))[0].shape == (0, 2)


def test_dropped_pairs_are_unknown():
    sentence = Sentence(("中", "国", "人"))
    part = EMBEDDINGS["pairs"].fit([sentence], min_count=1, pair_dropout=1.0 - 1e-9).train()
    vectors = vectors_of(part, sentence)
    unknown = part.vectors.weight[UNKNOWN]
    torch.testing.assert_close(vectors, torch.cat([unknown, unknown]).expand(3, -1))
