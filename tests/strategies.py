"""What hypothesis draws in tests all over the house: labels, tokens, spans, sentences."""

from __future__ import annotations

from hypothesis import strategies as st

from ner.sentence import Sentence, Span

LABELS = ("PER", "ORG", "creative-work", "Multi-tissue_structure", "人名", "O", "_", "B", "I-PER")
ODD = (  # what the readers of other toolkits split, strip, skip or take for something else
    *("\u00a0", "\u3000", "\u2028", "\u0085", "\x0b", "\x0c", "\x1c", "\x1f", "\u200b", "\ufeff"),
    *("#", "##", "# x", "-", "_", "O", "B-PER", '"', "'", "[", "]", "\\", "(PER*", "*", "|", "="),
    *("-DOCSTART-x", "<s>", "0", "\u0644\u0646\u062f\u0646", "\U0001f600", "e\u0301", "\x00"),
)

labels = st.sampled_from(LABELS)
plain_tokens = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="\ufeff"),
    min_size=1,
    max_size=6,
)
odd_tokens = st.sampled_from(ODD) | st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\n\r\t "), min_size=1, max_size=4
)
tokens = plain_tokens | odd_tokens


@st.composite
def spans(draw: st.DrawFn, length: int) -> tuple[Span, ...]:
    """Spans of a sentence of that length, none of which overlap."""
    found = []
    start = 0
    while start < length:
        start += draw(st.integers(0, 2))
        end = start + draw(st.integers(1, 3))
        if end > length:
            break
        found.append(Span(start, end, draw(labels)))
        start = end
    return tuple(found)


@st.composite
def sentences(
    draw: st.DrawFn, of: st.SearchStrategy[str] = tokens, *, partial: bool = True
) -> Sentence:
    """A sentence, annotated, in part annotated or not at all."""
    words = tuple(draw(st.lists(of, min_size=1, max_size=8)))
    if partial and draw(st.integers(0, 9)) == 0:
        return Sentence(words)
    found = draw(spans(len(words)))
    inside = {place for span in found for place in range(span.start, span.end)}
    outside = [place for place in range(len(words)) if place not in inside]
    unknown: frozenset[int] = frozenset()
    if partial and found and outside:
        unknown = draw(st.frozensets(st.sampled_from(outside)))
    return Sentence(words, found, unknown=unknown)
