"""The protocol of a machine-learning backend of Label Studio: its tasks, and predictions for them.

As `label-studio-ml` has it: ``POST /predict`` takes ``tasks``, the ``label_config`` of the project
and ``params``, whose ``context`` holds the regions that the annotator has made so far. Those are
given to the tagger, which finds the others around them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from xml.etree import ElementTree

from ner.serving.request import Limits, RefusedError, TagBody, read

TRAINING = (
    "this server does not train: export the annotation, train with `ner train --init-from`, and "
    "serve the new model"
)


@dataclass(frozen=True, slots=True)
class Interface:
    """The names of the parts of a labelling interface.

    Attributes:
        labels: The name of the control with the labels.
        text: The name of the text.
        key: The key of the text in the data of a task.
        known: The labels of the control; empty for any.
    """

    labels: str = "label"
    text: str = "text"
    key: str = "text"
    known: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, config: str) -> Self:
        """Read the XML of a labelling interface.

        Raises:
            RefusedError: It is not XML, or has no labels for a text.
        """
        if not config.strip():
            return cls()
        if "<!" in config.replace("<!--", ""):  # declarations of entities
            raise RefusedError(422, "label_config: declarations are not accepted")
        try:
            root = ElementTree.fromstring(config)
        except ElementTree.ParseError as error:
            raise RefusedError(422, f"label_config: not XML: {error}") from None
        texts = {
            one.get("name", ""): one for one in root.iter() if one.tag in ("Text", "HyperText")
        }
        for control in root.iter("Labels"):
            text = texts.get(control.get("toName", ""))
            if text is not None:
                known = frozenset(one.get("value", "") for one in control.iter("Label"))
                key = text.get("value", "").lstrip("$")
                return cls(control.get("name", ""), control.get("toName", ""), key, known)
        raise RefusedError(422, "label_config: expected <Labels> for a <Text>")


@dataclass(frozen=True, slots=True)
class Tasks:
    """The tasks of a request.

    Attributes:
        interface: The labelling interface.
        texts: Their texts.
        asked: The same as a request to tag.
    """

    interface: Interface
    texts: tuple[str, ...]
    asked: TagBody

    @classmethod
    def read(cls, body: bytes, limits: Limits) -> Self:
        """Parse the body of a request.

        Raises:
            RefusedError: The body is invalid, or exceeds a limit.
        """
        try:
            given = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RefusedError(400, f"request body is not valid JSON: {error}") from None
        tasks = given.get("tasks") if isinstance(given, dict) else None
        if not isinstance(tasks, list):
            raise RefusedError(422, "tasks: expected a list")
        config = given.get("label_config")
        interface = Interface.parse(config if isinstance(config, str) else "")
        texts = tuple(_text(number, task, interface.key) for number, task in enumerate(tasks))
        presets = _presets(given, interface) if len(texts) == 1 else []
        wanted = {"text": texts[0], "spans": presets} if presets else {"texts": texts}
        return cls(interface, texts, read(json.dumps(wanted).encode(), limits))

    def answer(self, records: Iterable[bytes], version: str) -> dict[str, Any]:
        """Return the predictions of tagged tasks, with the given regions among them."""
        return {"results": [self._prediction(json.loads(one), version) for one in records]}

    def _prediction(self, record: Mapping[str, Any], version: str) -> dict[str, Any]:
        names = {"from_name": self.interface.labels, "to_name": self.interface.text}
        known, scores = self.interface.known, list[float]()
        regions: list[dict[str, Any]] = []
        for span in record["spans"]:
            if known and span["label"] not in known:
                continue
            value = {key: span[key] for key in ("start", "end", "text")}
            scores.append(1.0 if span["score"] is None else span["score"])
            regions.append(
                {
                    "id": f"span-{len(regions) + 1}",
                    **names,
                    "type": "labels",
                    "value": value | {"labels": [span["label"]], "score": scores[-1]},
                    "score": scores[-1],
                }
            )
        return {"model_version": version, "score": min(scores, default=1.0), "result": regions}


def _text(number: int, task: Any, key: str) -> str:
    data = task.get("data") if isinstance(task, dict) else None
    text = data.get(key) if isinstance(data, dict) else None
    if not isinstance(text, str):
        raise RefusedError(422, f"tasks[{number}].data.{key}: expected a text")
    return text


def _presets(given: Mapping[str, Any], interface: Interface) -> Sequence[dict[str, Any]]:
    """The regions that the annotator has made so far, as spans of characters."""
    params = given.get("params")
    context = params.get("context") if isinstance(params, dict) else None
    regions = context.get("result") if isinstance(context, dict) else None
    values = [
        region["value"]
        for region in (regions if isinstance(regions, list) else [])
        if isinstance(region, dict) and isinstance(region.get("value"), dict)
        if region.get("from_name", interface.labels) == interface.labels
    ]
    return [
        {"start": value.get("start"), "end": value.get("end"), "label": value["labels"][0]}
        for value in values
        if isinstance(value.get("labels"), list) and value["labels"]
    ]
