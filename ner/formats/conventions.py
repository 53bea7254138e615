"""JSON of other tools brought to one form: tokens or a text, with tags or spans beside them.

``expanded`` cuts values that hold many records, ``canonical`` renames what one record says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ner.formats.annotations import task_record
from ner.formats.detection import is_any_tag
from ner.formats.json_values import Object, as_object

CAS_ENTITY = "NamedEntity"  # how the type of an entity of UIMA ends
_CAS_OTHERS = {"Sentence", "Token", "Lemma", "POS", "DocumentMetaData", "DocumentAnnotation"}
_CONTAINERS = ("data", "documents", "examples", "records", "items", "rows", "sentences", "dataset")
LOST = " lost"  # marks a record with entities that its text does not hold
_NO_LABEL = -100  # in place of a tag, where a loss passes over the token
_SPECIAL = re.compile(r"\[(?:CLS|SEP|PAD|MASK)\]|</?s>|<pad>|<mask>|<\|endoftext\|>")
_BEGINNINGS = ("\u2581", "\u0120")  # of a word, in SentencePiece and in byte-level BPE
_TEXTS = ("text", "content", "sentence", "data", "raw_text", "full_text", "source_text")


def expanded(value: Any) -> Iterator[Any]:
    """The records of a value, which may be one itself.

    Raises:
        ValueError: It is of a kind that is known, but not as it should be.
    """
    found = _records(value)
    yield from (value,) if found is None else found


def _records(value: Any) -> Iterator[Any] | None:
    """Yield the records in a value that is not a record itself."""
    if isinstance(value, list):
        return _listed_words(value)
    if not isinstance(value, dict) or "text" in value or "tokens" in value:
        return None
    for key, cut in _CUTS.items():
        if isinstance(value.get(key), list | dict) and (found := cut(value)) is not None:
            return iter(found)
    return None


def _listed_words(value: list[Any]) -> Iterator[Any] | None:
    """A sentence as a list of its words with their tags, in objects (Stanza) or in lists."""
    if all(_is_object(one) and {"text", "ner"} <= one.keys() for one in value):
        pairs = [(one["text"], one["ner"]) for one in value]
    elif all(isinstance(one, list) and len(one) > 1 for one in value):
        pairs = [(one[0], one[-1]) for one in value]
    else:
        return None
    if not (pairs and all(isinstance(tag, str) and is_any_tag(tag) for _, tag in pairs)):
        return None
    return iter([{"tokens": [word for word, _ in pairs], "tags": [tag for _, tag in pairs]}])


def _annotator(value: Object) -> list[Any] | None:
    """NER Annotator: all texts in one object, beside the names of their labels."""
    if "classes" not in value or not isinstance(value["annotations"], list):
        return None
    return [one for one in value["annotations"] if one is not None]


def _rasa(value: Object) -> list[Any] | None:
    given = value["rasa_nlu_data"]
    examples = given.get("common_examples") if isinstance(given, dict) else None
    return examples if isinstance(examples, list) else None


def _azure(value: Object) -> list[Any] | None:
    """Azure Language: utterances with their text; documents only name the files of theirs."""
    assets = value["assets"]
    utterances = assets.get("utterances") if isinstance(assets, dict) else None
    if isinstance(utterances, list):
        return utterances
    raise ValueError(
        "this is a project of Azure Language, whose texts are in other files (see 'location'); "
        "put each text and its entities into one object: {'text': ..., 'entities': [...]}"
    )


def _spacy2(value: Object) -> list[Any]:
    """SpaCy 2: paragraphs of sentences of tokens, each with its tag in BILOU."""
    found: list[Any] = []
    for paragraph in filter(_is_object, value["paragraphs"]):
        for sentence in filter(_is_object, paragraph.get("sentences") or ()):
            tokens = [one for one in sentence.get("tokens") or () if isinstance(one, dict)]
            record: dict[str, Any] = {
                "tokens": [one.get("orth") for one in tokens],
                "document": value.get("id", ""),
                "position": len(found),
            }
            if any("ner" in one for one in tokens):
                record["tags"] = [_or(one.get("ner"), "-", "_") for one in tokens]
            found.append(record)
    return found


def _or(value: Any, other: Any, instead: Any) -> Any:
    return instead if value is None or value == other else value


def _scierc(value: Object) -> list[Any] | None:
    """SciERC and DyGIE: tokens of a document sentence by sentence, counted through, ends in."""
    sentences, spans = value["sentences"], value.get("ner")
    if not (sentences and all(isinstance(one, list) for one in sentences)):
        return None
    if spans is not None and (not isinstance(spans, list) or len(spans) != len(sentences)):
        raise ValueError("'ner' should hold a list of spans for each of the 'sentences'")
    found, base = [], 0
    for position, tokens in enumerate(sentences):
        record = {"tokens": tokens, "document": value.get("doc_key", ""), "position": position}
        if spans is not None:
            record["spans"] = _shifted(spans[position], 1, base)
        found.append(record)
        base += len(tokens)
    return found


def _core_nlp(value: Object) -> list[Any] | None:
    """Stanford CoreNLP: sentences of tokens, and the entities it found."""
    found = []
    for position, sentence in enumerate(value["sentences"]):
        if not (isinstance(sentence, dict) and "entitymentions" in sentence):
            return None
        tokens = sentence.get("tokens")
        words = [one.get("word") for one in tokens or () if isinstance(one, dict)]
        spans = [
            [one.get("tokenBegin"), one.get("tokenEnd"), one.get("ner")]
            for one in sentence["entitymentions"] or ()
            if isinstance(one, dict)
        ]
        found.append(
            {
                "tokens": words,
                "spans": spans,
                "document": value.get("docId", ""),
                "position": position,
            }
        )
    return found


def _bioc(value: Object) -> list[Any] | None:
    """BioC: documents of passages, which count characters from the beginning of the document."""
    found: list[Any] = []
    for document in value["documents"]:
        if not (isinstance(document, dict) and isinstance(document.get("passages"), list)):
            return None
        for passage in filter(_is_object, document["passages"]):
            base, text = passage.get("offset", 0), passage.get("text")
            if not isinstance(text, str):
                raise ValueError(
                    "a passage has no text; BioC with texts in sentences cannot be read"
                )
            spans = [
                {
                    "start": _minus(place.get("offset"), base),
                    "length": place.get("length"),
                    "label": as_object(one.get("infons")).get("type"),
                    "text": one.get("text"),
                }
                for one in filter(_is_object, passage.get("annotations") or ())
                for place in filter(_is_object, one.get("locations") or ())
            ]
            found.append({"text": text, "spans": spans, "id": document.get("id", "")})
    return found


def _container(value: Object) -> list[Any] | None:
    """An object that holds nothing but a list of records, and what applies to them all."""
    lists = [value[key] for key in _CONTAINERS if isinstance(value.get(key), list)]
    if len(lists) != 1 or not all(isinstance(one, dict) for one in lists[0]):
        return None
    if any({"userDefined", "entity", "slot_name"} & one.keys() for one in lists[0]):
        raise ValueError(
            "'data' holds the pieces of one text, as in Dialogflow and Snips; join them under "
            "'text', and write where the entities stand in it under 'spans'"
        )
    rows = [one.get("row", one) for one in lists[0]]
    names = dict(_class_names(value.get("features")))
    return [with_names(one, names) if names else one for one in rows]


def _class_names(features: Any) -> Iterator[tuple[str, list[str]]]:
    """The names of the tags in each column, where a dataset of Hugging Face lists them."""
    listed = features if isinstance(features, list) else []
    given = {one.get("name"): one for one in listed if isinstance(one, dict)} | dict(
        as_object(features)
    )
    for column, feature in given.items():
        kind = as_object(as_object(feature).get("type", feature))
        names = as_object(kind.get("feature", kind)).get("names")
        if isinstance(names, list):
            yield str(column), [str(one) for one in names]


def with_names(value: Any, names: Mapping[str, Sequence[str]]) -> Any:
    """The same record with names of tags instead of their numbers.

    Args:
        value: The record.
        names: The names of each column, in the order of their numbers.

    Raises:
        ValueError: A number has no name.
    """
    if not isinstance(value, dict):
        return value
    return value | {
        column: _tag_names(column, value[column], given)
        for column, given in names.items()
        if isinstance(value.get(column), list) and set(map(type, value[column])) == {int}
    }


def _tag_names(column: str, numbers: Sequence[int], names: Sequence[str]) -> list[Any]:
    for number in numbers:
        if number != _NO_LABEL and not 0 <= number < len(names):
            raise ValueError(f"{column!r} holds {number}, but there are only {len(names)} names")
    return [number if number == _NO_LABEL else names[number] for number in numbers]


def of_words(value: Any, keys: Iterable[str]) -> Any:
    """The same record with words in place of subwords, as a training set of a transformer has them.

    Special tokens are left out and subwords that continue a word are joined to it, of which the
    first has the tag. What else is marked by -100 is not annotated.

    Args:
        value: The record.
        keys: Keys of lists of tags.
    """
    if not isinstance(value, dict):
        return value
    for key in keys:
        tags = value.get(key)
        if isinstance(tags, list) and _NO_LABEL in tags:
            tokens = value.get("tokens")
            if not (isinstance(tokens, list) and len(tokens) == len(tags)):
                return value
            return {**value, **_words(tokens, tags, key)}
    return value


def _words(tokens: list[Any], tags: list[Any], key: str) -> dict[str, list[Any]]:
    words: list[Any] = []
    kept: list[Any] = []
    marked = any(isinstance(one, str) and one.startswith(_BEGINNINGS) for one in tokens)
    for token, tag in zip(tokens, tags, strict=True):
        own = "_" if tag == _NO_LABEL else tag
        if not isinstance(token, str):
            words.append(token)
            kept.append(own)
        elif own == "_" and _SPECIAL.fullmatch(token):
            continue
        elif words and token.startswith("##") and token != "##":
            words[-1] += token[2:]
        elif words and marked and own == "_" and not token.startswith(_BEGINNINGS):
            words[-1] += token
        else:
            words.append(token.lstrip("".join(_BEGINNINGS)) or token if marked else token)
            kept.append(own)
    return {"tokens": words, key: kept}


_CUTS: dict[str, Callable[[Object], list[Any] | None]] = {
    "classes": _annotator,
    "rasa_nlu_data": _rasa,
    "assets": _azure,
    "paragraphs": _spacy2,
    "ner": lambda value: _scierc(value) if isinstance(value.get("sentences"), list) else None,
    "sentences": lambda value: _scierc(value) or _core_nlp(value) or _container(value),
    "documents": lambda value: _bioc(value) or _container(value),
    "PubTator3": lambda value: _bioc({"documents": value["PubTator3"]}),
    "passages": lambda value: _bioc({"documents": [value]}) if "infons" in value else None,
    **dict.fromkeys(("data", "examples", "records", "items", "rows", "dataset"), _container),
}


def canonical(value: Any) -> Any:
    """A record with its text under ``text``, its tokens under ``tokens``, its spans beside them.

    Raises:
        ValueError: It is of a kind that is known, but not as it should be.
    """
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict):
        return {"text": value[0], **value[1]}  # ["text", {"entities": ...}], as spaCy 2 wrote
    if not isinstance(value, dict):
        return value
    for key, rename in _RENAMES.items():
        if key in value and (found := rename(value)) is not None:
            return found
    if "text" not in value and "tokens" not in value and "words" not in value:
        text = next((key for key in _TEXTS if isinstance(value.get(key), str)), None)
        if text is None:
            _refuse_foreign(value)
        return value if text is None else {"text": value[text], **value}
    return value


def _refuse_foreign(value: Object) -> None:
    """Call a record without a text by its name, where that is known."""
    for key, told in _FOREIGN.items():
        if key in value:
            raise ValueError(told)


_ELSEWHERE = "the text is in another file, which {!r} names; put it beside its spans, under 'text'"
_FOREIGN = {
    "subj_type": "this is TACRED, which marks relations; write its 'token' as 'tokens', and its "
    "'stanford_ner' with prefixes (B-PERSON, I-PERSON) as 'tags'",
    "input_ids": "'input_ids' are numbers of subwords; write the words as 'tokens' and one tag for "
    "each as 'tags'",
    "annotatable": _ELSEWHERE.format("annotatable"),
    "spanLabels": "this is a project of Datasaur; export it as CoNLL",
    "source-ref": _ELSEWHERE.format("source-ref"),
    "textGcsUri": _ELSEWHERE.format("textGcsUri"),
}


def _auto_ml(value: Object) -> Object | None:
    """Google AutoML, which leaves out a start of 0."""
    if not isinstance(value["text_snippet"], dict):
        return None
    spans = [
        {
            "start_offset": 0,
            **as_object(as_object(one["text_extraction"]).get("text_segment")),
            "label": one.get("display_name"),
        }
        for one in _listed(value.get("annotations"))
        if "text_extraction" in one
    ]
    text = {"text": value["text_snippet"].get("content")}
    return text | {"spans": spans} if "annotations" in value else text


def _vertex(value: Object) -> Object:
    """Google Vertex AI, likewise."""
    given = value.get("textSegmentAnnotations")
    text = {"text": value["textContent"]}
    if given is None:
        return text
    spans = [{"startOffset": 0, **one, "label": one.get("displayName")} for one in _listed(given)]
    return text | {"spans": spans}


def _ground_truth(value: Object) -> Object | None:
    """Amazon SageMaker Ground Truth: the annotation is under the name of the labelling job."""
    jobs = {
        name: as_object(one.get("annotations")).get("entities")
        for name, one in value.items()
        if isinstance(one, dict)
    }
    found = {name: spans for name, spans in jobs.items() if isinstance(spans, list)}
    if len(found) > 1:
        raise ValueError(f"several labelling jobs annotated this: {', '.join(found)}; keep one")
    return {"text": value["source"], "spans": next(iter(found.values()))} if found else None


def _ubiai(value: Object) -> Object | None:
    """UBIAI: what it calls tokens are the entities."""
    if not isinstance(value.get("document"), str):
        return None
    spans = value.get("annotation")
    if not isinstance(spans, list):
        spans = [{**one, "label": one.get("entityLabel")} for one in _listed(value.get("tokens"))]
    return {"text": value["document"], "spans": spans, "id": value["documentName"]}


def _gliner(value: Object) -> Object | None:
    """GLiNER: ends are the last token."""
    spans = value.get("ner")
    return {
        "tokens": value["tokenized_text"],
        **({} if spans is None else {"spans": _shifted(spans, 1, 0)}),
    }


def _cas(value: Object) -> Object | None:
    """UIMA CAS: one text, and what annotates it; offsets count UTF-16 units."""
    given = value["%FEATURE_STRUCTURES"]
    items = list(given.values()) if isinstance(given, dict) else given
    structures = [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []
    texts = [one["sofaString"] for one in structures if isinstance(one.get("sofaString"), str)]
    if len(texts) != 1:
        raise ValueError(f"expected a CAS with one text, found {len(texts)}")
    placed = [one for one in structures if "begin" in one and "end" in one]
    entities = [one for one in placed if str(one.get("%TYPE", "")).endswith(CAS_ENTITY)]
    kinds = {str(one.get("%TYPE")) for one in placed}
    others = sorted(one for one in kinds if one.rpartition(".")[2] not in _CAS_OTHERS)
    if others and not entities:
        raise ValueError(
            f"no annotation is of a type that ends in {CAS_ENTITY}, which is what is read; found "
            + ", ".join(others)
        )
    spans = [
        {"start": one["begin"], "end": one["end"], "label": one.get("value") or "_"}
        for one in entities
    ]
    return {"text": texts[0], "spans": spans, "offsets": "utf-16"}


def _argilla(value: Object) -> Object | None:
    """Argilla: the text is a field, the spans are a response or else a suggestion."""
    fields = value["fields"]
    if not isinstance(fields, dict):
        return None
    texts = [one for one in fields.values() if isinstance(one, str)]
    if "text" not in fields and len(texts) != 1:
        raise ValueError(
            "expected a record with one field of text, or one called 'text', found "
            + (", ".join(map(repr, fields)) or "nothing")
        )
    record = {"text": fields.get("text", texts[0] if texts else None), "id": value.get("id", "")}
    for key, name in (("responses", "spans"), ("suggestions", "predictions")):
        answers = [one for given in as_object(value.get(key)).values() for one in _listed(given)]
        found = [_scored(one) for one in answers if isinstance(one.get("value"), list)]
        spans = [one for one in found if all(map(_is_object, one))]
        if spans:
            return {**record, name: spans[0]}
    return record


def _scored(answer: Object) -> list[Any]:
    """The spans of an answer of Argilla, each with its score where the answer lists them."""
    spans, scores = answer["value"], answer.get("score")
    if not isinstance(scores, list) or len(scores) != len(spans) or not all(map(_is_object, spans)):
        return list(spans)
    return [{**one, "score": score} for one, score in zip(spans, scores, strict=True)]


def _located(value: Object) -> Object | None:
    """Tokens that say where they stand in their text, but not what they are."""
    text, tokens = value.get("text"), value["tokens"]
    if not (isinstance(text, str) and isinstance(tokens, list)):
        return None
    if not all(isinstance(one, dict) and "text" not in one for one in tokens):
        return None
    places = [(one.get("start"), one.get("end")) for one in tokens]
    if not all(type(start) is int and type(end) is int for start, end in places):
        return None
    words = [
        {**one, "text": text[start:end]} for one, (start, end) in zip(tokens, places, strict=True)
    ]
    return {**value, "tokens": words}


def _quoted(value: Object) -> Object | None:
    """Entities in words, as language models answer; they stand for all places in the text."""
    text, given = value["text"], value.get("entities")
    if isinstance(given, dict):
        lists = {label: x if isinstance(x, list) else [x] for label, x in given.items()}
        given = [{"text": one, "label": label} for label, some in lists.items() for one in some]
    if not isinstance(text, str) or not isinstance(given, list):
        return None
    if not all(_is_object(x) and {"text"} <= set(x) <= {"text", "label", "type"} for x in given):
        return None
    if not all(isinstance(one["text"], str) for one in given):
        return None
    labels = {one["text"]: one.get("label", one.get("type")) for one in given}
    spans = [
        {"start": found.start(), "end": found.end(), "label": labels[words]}
        for words in labels
        for found in re.finditer(rf"(?<!\w){re.escape(words)}(?!\w)", text)
    ]
    lost = any(words not in text for words in labels)
    return {**value, "entities": spans, **({LOST: True} if lost else {})}


_RENAMES: dict[str, Callable[[Object], Object | None]] = {
    "tokenized_text": _gliner,
    "%FEATURE_STRUCTURES": _cas,
    "fields": _argilla,
    "data": lambda value: task_record(value) if isinstance(value["data"], dict) else None,
    "documentName": _ubiai,
    "text_snippet": _auto_ml,
    "textContent": _vertex,
    "source": _ground_truth,
    "tokens": _located,
    "text": _quoted,
}


def _shifted(spans: Any, last: int, base: int) -> list[Any]:
    """Spans of tokens whose ends are one past the last, counted from their sentence."""
    return [
        [_minus(one[0], base), _minus(one[1], base - last), *one[2:]]
        if isinstance(one, list) and len(one) >= 2
        else one
        for one in (spans if isinstance(spans, list) else [spans])
    ]


def _minus(value: Any, base: Any) -> Any:
    return value - base if type(value) is type(base) is int else value


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _listed(value: Any) -> list[Object]:
    return [one for one in (value if isinstance(value, list) else [value]) if _is_object(one)]
