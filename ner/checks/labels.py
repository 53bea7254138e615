"""What the labels of all files together give away."""

from __future__ import annotations

from ner.checks.characters import skeleton, spelled
from ner.checks.survey import Survey, written
from ner.checks.tables import Use
from ner.options import nearest

RARE, RARE_SHARE = 10, 0.05  # a label is rare that has fewer spans than both say
BELIEVED = 0.9  # the share of a mention's labels that makes the others look like slips


def check_labels(survey: Survey) -> None:
    """Note labels that hardly differ, labels that are rare, mentions with several."""
    _check_case(survey)
    _check_rare(survey)
    _check_conflicts(survey)


def _check_case(survey: Survey) -> None:
    groups: dict[str, list[str]] = {}
    for label in survey.labels:
        groups.setdefault(skeleton(label), []).append(label)
    for labels in groups.values():
        usual, *others = sorted(labels, key=lambda label: -survey.labels[label].count)
        for label in others:
            use = survey.labels[label]
            case = label.casefold() == usual.casefold()
            told = f"the label {label!r} ({_times(use)}) "
            told += "differs by case from " if case else "looks like "
            told += f"{usual!r} ({_times(survey.labels[usual])})"
            told += "" if case else f": {spelled(label) or spelled(usual)}"
            kind = "label-case" if case else "label-alike"
            survey.findings.add(kind, *use.places[0], told + _also(use))


def _check_rare(survey: Survey) -> None:
    total = sum(use.count for use in survey.labels.values())
    for label, use in sorted(survey.labels.items(), key=lambda item: item[1].count):
        if use.count >= RARE or use.count > RARE_SHARE * total:
            continue
        told = f"the label {label!r} occurs {_times(use)} among {total:,} spans"
        others = [other for other in survey.labels if survey.labels[other].count > use.count]
        near = nearest(label, others, cutoff=0.7)
        told += f"; is it {near!r}?" if near else ""
        survey.findings.add("rare-label", *use.places[0], told + _also(use))


def _check_conflicts(survey: Survey) -> None:
    """Note mentions with several labels, those first whose rarer labels look like slips."""
    found = []
    for form, uses in survey.mentions.conflicts():
        ranked = sorted(uses.items(), key=lambda item: -item[1].count)
        total = sum(use.count for _, use in ranked)
        share = ranked[0][1].count / total
        found.append((share < BELIEVED, -total, written(form), ranked))
    for _, _, words, ranked in sorted(found, key=lambda one: one[:3]):
        told = ", ".join(f"{label} {_times(use)}{_places(use)}" for label, use in ranked)
        place = ranked[-1][1].places[0]
        survey.findings.add("label-conflict", *place, f"{words!r} is {told}")


def _times(use: Use) -> str:
    return "once" if use.count == 1 else f"{use.count:,} times"


def _places(use: Use) -> str:
    return f" ({_named(use, 0)})"


def _also(use: Use) -> str:
    """Where else a label stands, beyond the first place."""
    return f"; also {_named(use, 1)}" if len(use.places) > 1 else ""


def _named(use: Use, first: int) -> str:
    """The places that are remembered, the name of a file not repeated."""
    shown, before = [], ""
    for path, line in use.places[first:]:
        shown.append(str(line) if path == before else f"{path}:{line}")
        before = path
    return ", ".join([*shown, "..."] if use.count > len(use.places) else shown)
