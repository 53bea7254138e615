"""Annotate in Label Studio, with a model's suggestions.

`send` selects sentences of a text, makes a project of them with suggestions, and connects a server
(`ner serve models/mine`) that suggests while people annotate. `fetch` brings the annotation back.

    export LABEL_STUDIO_URL=http://127.0.0.1:8080 LABEL_STUDIO_TOKEN=...
    python examples/label_studio.py send models/mine news.txt tasks.json http://127.0.0.1:8000
    python examples/label_studio.py fetch 1 tasks.json train.conll
"""

import json
import os
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import ner
from ner.cli import main

BUDGET = "200"  # sentences
CONFIG = """<View>
  <Labels name="label" toName="text">{}</Labels>
  <Text name="text" value="$text"/>
</View>"""


def ask(path, body=None):
    """Send a request to Label Studio, and return its answer."""
    token = os.environ["LABEL_STUDIO_TOKEN"]  # the legacy token of a user
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(os.environ["LABEL_STUDIO_URL"] + path, data, headers)) as answer:
        return json.load(answer)


def send(model, text, tasks, server):
    """Make a project of the sentences worth annotating, and connect a server."""
    options = ["--budget", BUDGET, "--suggest", "--to", "labelstudio", "--output", tasks]
    if main(["select", model, text, *options]):
        raise SystemExit(2)
    labels = "".join(f'<Label value="{label}"/>' for label in ner.load(model).labels)
    about = {"title": Path(text).stem, "label_config": CONFIG.format(labels)}
    project = ask("/api/projects/", about)["id"]
    suggested = json.loads(Path(tasks).read_text("utf-8"))
    found = ask(f"/api/projects/{project}/import", suggested)
    ask("/api/ml/", {"project": project, "url": server, "is_interactive": True})
    print(f"project {project}: {found['task_count']} tasks")


def fetch(project, tasks, output):
    """Write the annotation of a project as training data, and report what people changed."""
    export = Path(output).with_suffix(".json")
    export.write_text(json.dumps(ask(f"/api/projects/{project}/export?exportType=JSON")), "utf-8")
    main(["convert", str(export), output, "--reader", "tokenizer=builtin", "--suggestions", tasks])


if __name__ == "__main__":
    {"send": send, "fetch": fetch}[sys.argv[1]](*sys.argv[2:])
