"""The rules of the script ``conlleval`` (version 2004-01-26), as a reference to hold ours against.

Written from its published behaviour: chunks begin and end by pairs of neighbouring tags, a chunk
is right if it begins, ends and is labelled as in the gold tags, and figures are per cent with two
decimals.
"""

from collections import Counter

OUTSIDE = ("O", "")


def parse(tag):
    prefix, hyphen, label = tag.partition("-")
    return (prefix, label) if hyphen else (tag, "")


def ends(before, after):
    (prefix, label), (new, new_label) = before, after
    return (
        (prefix in "BI" and new in "BO" and prefix != "")
        or (prefix == "E" and new in ("E", "I", "O"))
        or (prefix not in ("O", ".") and label != new_label)
    )


def starts(before, after):
    (prefix, label), (new, new_label) = before, after
    return (
        (new == "B" and prefix in ("B", "I", "O"))
        or (new == "I" and prefix == "O")
        or (new == "E" and prefix in ("E", "O"))
        or (prefix == "E" and new == "I")
        or (new not in ("O", ".") and label != new_label)
    )


def counts(gold, predicted):
    """The correct, found and gold chunks of each label, the right tags, and all tokens."""
    correct, found, right = Counter(), Counter(), Counter()
    tags = tokens = 0
    inside = False
    last, last_said = OUTSIDE, OUTSIDE
    stream = []
    for one, other in zip(gold, predicted, strict=True):
        stream += [(parse(a), parse(b), True) for a, b in zip(one, other, strict=True)]
        stream.append((OUTSIDE, OUTSIDE, False))
    for tag, said, is_token in stream:
        gold_ends, said_ends = ends(last, tag), ends(last_said, said)
        if inside:
            if gold_ends and said_ends and last[1] == last_said[1]:
                inside = False
                correct[last[1]] += 1
            elif gold_ends != said_ends or tag[1] != said[1]:
                inside = False
        gold_starts, said_starts = starts(last, tag), starts(last_said, said)
        if gold_starts and said_starts and tag[1] == said[1]:
            inside = True
        right[tag[1]] += gold_starts
        found[said[1]] += said_starts
        if is_token:
            tags += tag == said
            tokens += 1
        last, last_said = tag, said
    return correct, found, right, tags, tokens


def percentages(correct, found, right):
    precision = 100 * correct / found if found else 0.0
    recall = 100 * correct / right if right else 0.0
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


def report(gold, predicted):
    """What the script prints."""
    correct, found, right, tags, tokens = counts(gold, predicted)
    said, gold_number, hits = found.total(), right.total(), correct.total()
    lines = [
        f"processed {tokens} tokens with {gold_number} phrases; found: {said} phrases; "
        f"correct: {hits}."
    ]
    if tokens:
        lines.append(f"accuracy: {100 * tags / tokens:6.2f}%; " + _figures(hits, said, gold_number))
    for label in sorted(set(found) | set(right)):
        if found[label] or right[label]:
            figures = _figures(correct[label], found[label], right[label])
            lines.append(f"{label:>17}: {figures}  {found[label]}")
    return "\n".join(lines) + "\n"


def _figures(correct, found, right):
    precision, recall, f1 = percentages(correct, found, right)
    return f"precision: {precision:6.2f}%; recall: {recall:6.2f}%; FB1: {f1:6.2f}"
