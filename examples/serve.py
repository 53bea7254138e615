"""Ask a server.

Start `ner serve` on a free port, send it two texts, stop it.

    python examples/serve.py models/quick
"""

import json
import subprocess
import sys
from urllib.request import Request, urlopen

command = [sys.executable, "-m", "ner", "serve", sys.argv[1], "--port", "0"]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
    try:
        address = server.stdout.readline().strip()  # printed once it listens
        body = json.dumps({"texts": ["Ada Obi left Accra.", "Kestrel Foods grew."]}).encode()
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"{address}tag", body, headers)) as answer:
            for record in json.load(answer):
                print(record["text"], [(span["text"], span["label"]) for span in record["spans"]])
    finally:
        server.terminate()
