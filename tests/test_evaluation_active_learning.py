"""What to annotate next: unsure sentences, and not all of them the same."""

from itertools import combinations
from random import Random

import pytest

from ner.evaluation.agreement import corrections
from ner.evaluation.review import HALVED, Uncertainty, choose_sentences
from ner.sentence import Sentence, Span


def unsure(text, entropy, tokens=None):
    words = tuple(text.split())
    return Uncertainty(Sentence(words), entropy, tuple(tokens or [1.0] * len(words)))


def numbers(chosen):
    return [choice.number for choice in chosen]


def test_the_least_sure_come_first():
    given = [unsure("a b", 0.5), unsure("c d", 2.0), unsure("e f", 1.0)]
    assert numbers(choose_sentences(given, 2)) == [1, 2]


def test_a_copy_of_a_chosen_sentence_waits():
    given = [unsure("a b", 2.0), unsure("A b", 1.9), unsure("c d", 1.5)]
    assert numbers(choose_sentences(given, 3)) == [0, 2, 1]
    assert [choice.gain for choice in choose_sentences(given, 3)] == [2.0, 1.5, HALVED * 1.9]


def test_only_the_tokens_in_doubt_count():
    given = [
        unsure("the cat", 2.0, [0.0, 1.0]),
        unsure("the dog", 1.9, [0.0, 1.0]),
        unsure("a cat", 1.9, [0.0, 1.0]),
    ]
    assert numbers(choose_sentences(given, 3)) == [0, 1, 2]


def test_a_budget_may_count_tokens():
    given = [unsure("a b c d e f", 3.0), unsure("g", 1.0), unsure("h i", 1.5)]
    assert numbers(choose_sentences(given, 3, unit="tokens")) == [1, 2]
    assert numbers(choose_sentences(given, 1)) == [0]


def worth(given, chosen):
    """The worth of a set, from its definition."""
    total, seen = 0.0, {}
    for number in chosen:
        one = given[number]
        for token, share in zip(one.sentence.tokens, one.shares(), strict=True):
            total += share * HALVED ** seen.get(token, 0)
            seen[token] = seen.get(token, 0) + 1
    return total


def test_choices_are_nearly_as_good_as_the_best_set():
    rng = Random(3)
    for _ in range(30):
        given = [unsure(" ".join(rng.choices("abcdef", k=3)), rng.random()) for _ in range(7)]
        found = numbers(choose_sentences(given, 3))
        best = max(worth(given, some) for some in combinations(range(7), 3))
        assert worth(given, found) >= 0.63 * best


def test_a_gain_is_looked_at_anew_after_every_choice():
    """The lazy way gives what looking at all sentences every time gives."""
    rng = Random(4)
    for _ in range(50):
        given = [
            unsure(" ".join(rng.choices("abcde", k=rng.randint(1, 4))), rng.random())
            for _ in range(8)
        ]
        plain, rest = [], set(range(8))
        while len(plain) < 4:
            best = max(rest, key=lambda n: (worth(given, [*plain, n]) - worth(given, plain), -n))
            plain.append(best)
            rest.discard(best)
        found = numbers(choose_sentences(given, 4))
        assert worth(given, found) == pytest.approx(worth(given, plain))


def test_sentences_without_tokens_or_doubt_are_no_trouble():
    given = [unsure("", 0.0), unsure("a", 0.0, [0.0]), unsure("b", 0.1)]
    assert numbers(choose_sentences(given, 5)) == [2, 1]
    assert choose_sentences([], 5) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"budget": 0}, "at least 1"), ({"budget": 1, "unit": "pages"}, "sentences or tokens")],
)
def test_an_impossible_budget_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        choose_sentences([], **settings)


def test_new_words_are_what_diversity_looks_for():
    given = [unsure("a b a", 9.0), unsure("c d e", 0.0), unsure("a c", 5.0)]
    assert numbers(choose_sentences(given, 3, strategy="diversity")) == [1, 0, 2]


def test_random_choices_are_drawn_without_regard_to_doubt():
    given = [unsure(word, float(n)) for n, word in enumerate("abcdefgh")]
    drawn = [numbers(choose_sentences(given, 8, strategy="random", seed=n)) for n in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert sorted(drawn[0]) == list(range(8))
    with pytest.raises(ValueError, match="strategy must be one of"):
        choose_sentences([], 1, strategy="luck")


def test_corrections_count_what_people_changed():
    def sentence(text, *spans):
        return Sentence(tuple(text.split()), spans)

    suggested = [
        sentence("Ada left", Span(0, 1, "LOC", 0.6)),
        sentence("Bern fell", Span(0, 1, "LOC", 0.9)),
        sentence("It rained", Span(0, 1, "ORG", 0.5)),
        sentence("Not yet seen"),
    ]
    corrected = [
        sentence("It rained"),
        sentence("Ada left", Span(0, 1, "PER")),
        sentence("Bern fell", Span(0, 1, "LOC")),
        Sentence(("Not", "yet", "seen")),
        sentence("Another", Span(0, 1, "ORG")),
    ]
    found = corrections(suggested, corrected)
    assert (found.suggested, found.reviewed, found.unchanged) == (4, 3, 1)
    assert (found.score.correct, found.score.predicted, found.score.gold) == (1, 3, 2)
    assert found.changes == (
        ("label", "LOC Ada", "PER Ada", 1),
        ("removed", "ORG It", "nothing", 1),
    )
    assert found.as_json()["changes"][1]["kind"] == "removed"
    with pytest.raises(ValueError, match="same tokenizer"):
        corrections(suggested, [sentence("Other")])
