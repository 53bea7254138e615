"""The network: from sentences to the distribution over their tags."""

import itertools
import json
from dataclasses import replace

import pytest
import torch

from ner.config import ConfigError
from ner.crf import viterbi
from ner.embeddings import EMBEDDINGS
from ner.network import Network, build
from ner.schemes import WRITABLE
from ner.sentence import Document, Sentence, Span


@pytest.fixture(params=WRITABLE)
def network(request, toy):
    torch.manual_seed(0)
    return build(toy, scheme=request.param).eval()


@torch.no_grad()
def test_emissions_are_the_same_alone_in_any_batch_with_any_padding(network, toy):
    together = network.emissions(network.batch(toy))
    for row, sentence in enumerate(toy):
        alone = network.emissions(network.batch([sentence]))[0]
        torch.testing.assert_close(together[row, : len(sentence)], alone, atol=1e-6, rtol=0)


@torch.no_grad()
def test_an_untrained_network_decodes_only_legal_sequences(network):
    sentences = [Sentence(tuple("abcdefgh"[:n])) for n in range(1, 9)] * 20
    torch.nn.init.normal_(network.projection.weight, std=5.0)
    chain = network(network.batch(sentences))
    for row, path in enumerate(viterbi(chain).tags.tolist()):
        tags = ["O", *(network.tags[n] for n in path[: len(sentences[row])]), "O"]
        for before, after in itertools.pairwise(tags):
            assert network.scheme.allows(before, after), (before, after)


def test_its_settings_pass_through_json_and_make_it_again(network, toy):
    again = Network.from_settings(json.loads(json.dumps(network.settings()))).eval()
    again.load_state_dict(network.state_dict())
    batch = network.batch(toy)
    torch.testing.assert_close(again.emissions(batch), network.emissions(batch))


def test_the_loss_is_the_mean_of_the_sentences_losses(network, toy):
    alone = [network.loss(network.batch([sentence])) for sentence in toy]
    torch.testing.assert_close(network.loss(network.batch(toy)), torch.stack(alone).mean())
    assert all(loss > 0 for loss in alone)


def test_what_nobody_annotated_costs_nothing(network, toy):
    """Partial annotation: a sentence with nothing known has loss 0; some known, some loss."""
    sentence = toy[0]
    blank = Sentence(sentence.tokens, (), unknown=frozenset(range(len(sentence))))
    assert network.loss(network.batch([blank])).item() == pytest.approx(0.0, abs=1e-5)
    partly = Sentence(sentence.tokens, sentence.spans, unknown=frozenset({5}))
    whole = network.loss(network.batch([sentence])).item()
    assert 0 < network.loss(network.batch([partly])).item() < whole


def test_a_span_the_network_has_no_label_for_is_named(network, toy):
    odd = Sentence(("a",), (Span(0, 1, "DRUG"),))
    with pytest.raises(ValueError, match=r"no tag '.*DRUG'; its labels are LOC, MISC"):
        network.batch([odd])


def test_the_loss_needs_annotation(network):
    with pytest.raises(ValueError, match="annotated"):
        network.loss(network.batch([Sentence(("a",))]))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"scheme": "IOB1"}, "^model.scheme: IOB1 can only be read; use one of BIO, BIOES, BILOU"),
        ({"scheme": "BIEOS"}, "^model.scheme: unknown scheme 'BIEOS'; use one of BIO, BIOES"),
        ({"embeddings": {"word": {}}}, "did you mean 'words'"),
        ({"embeddings": {"words": {"widht": 1}}}, "model.embeddings.words has no setting 'widht'"),
        ({"embeddings": dict.fromkeys(("words", "characters", "affixes"), False)}, "at least one"),
        ({"crf": {"constrain": True}}, "model.crf has no setting 'constrain'"),
    ],
)
def test_bad_settings_are_named(toy, settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        build(toy, **settings)


def test_a_part_is_left_out_by_false(toy):
    network = build(toy, embeddings={"document": False, "characters": {"kind": "character_lstm"}})
    assert "document" not in network.embeddings
    assert type(network.embeddings["characters"]) is EMBEDDINGS["character_lstm"]


def test_training_text_without_entities_is_refused():
    with pytest.raises(ValueError, match="no training sentence has an entity"):
        build([Sentence(("a",), ())])


def test_a_label_that_cannot_be_written_is_no_fault_of_a_setting():
    with pytest.raises(ValueError, match=r"^the label 'A\\x07' contains a control character"):
        build([Sentence(("a",), (Span(0, 1, "A\a"),))])


def test_the_recipe_suits_the_sentences(toy):
    letters = [Sentence(tuple("王小明在北京"), (Span(0, 3, "PER"),))]
    document = Document((letters[0].tokens, ("a",)))
    known = [replace(letters[0], document=document)]
    assert list(build(letters).embeddings) == ["words", "pairs", "affixes"]
    assert list(build(known).embeddings) == ["words", "pairs", "affixes", "document", "topic"]
    assert "pairs" not in build(letters, embeddings={"pairs": False}).embeddings
    alone = [replace(sentence, document=None, position=0) for sentence in toy]
    assert list(build(alone).embeddings) == ["words", "characters", "affixes"]
