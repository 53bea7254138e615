"""Many requests at once to `ner serve`: none lost, none mixed up, and memory that stays flat.

    python benchmarks/serving.py MODEL [--requests 1000] [--rounds 20] [--file FILE]

Starts `ner serve MODEL` as users do and sends so many requests at once, each a sentence of FILE
(the bundled test split) or some of them run together, one in a hundred of them broken: cut off,
no JSON, the wrong type, too long. Every good one must come back with its own tokens and the spans
of `Tagger.predict`, every broken one with its 4xx. Memory and CPU seconds are what the server
itself tells at `/metrics`; the rest is wall-clock time of a machine on which the client works
too. First the same requests go one after the other, for comparison. The exit status is 1 if
anything was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import ner
from ner.sample import path as sample_path
from ner.sentence import Span

BROKEN = {b"": 400, b'{"tokens": [': 400, b'{"text": 5}': 422, b" " * (1 << 20) + b"{": 413}
CUT_OFF = b"cut off"


@dataclass(slots=True)
class Case:
    """A request and what must come back: a status, and for a good one its spans."""

    body: bytes
    status: int = 200
    tokens: Sequence[str] = ()
    spans: Sequence[Span] = ()


@dataclass(slots=True)
class Round:
    """What became of some requests."""

    seconds: float = 0.0
    took: list[float] = field(default_factory=list)
    lost: int = 0
    wrong: int = 0

    def percentile(self, share: float) -> float:
        """How long at most so many of the requests took, in milliseconds."""
        return 1e3 * sorted(self.took)[int(share * (len(self.took) - 1))]


async def posted(port: int, body: bytes) -> tuple[int, bytes]:
    """Send one request over a connection of its own; the status and the body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    length = len(body) + (body == CUT_OFF)
    writer.write(
        b"POST /tag HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (length, body)
    )
    if body == CUT_OFF:
        writer.close()
        return 0, b""
    answer = await reader.read()
    writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), content


def right(case: Case, content: bytes) -> bool:
    """Whether a good request was answered with its own tokens and spans."""
    record = json.loads(content)
    found = [(s["token_start"], s["token_end"], s["label"]) for s in record["spans"]]
    scores = [s["score"] for s in record["spans"]]
    return (
        record["tokens"] == list(case.tokens)
        and found == [(s.start, s.end, s.label) for s in case.spans]
        and all(abs(a - (b.score or 0.0)) < 1e-5 for a, b in zip(scores, case.spans, strict=True))
    )


async def sent(port: int, cases: Sequence[Case], at_once: int) -> Round:
    """Send requests, so many at a time, and look at the answers."""
    told, free = Round(), asyncio.Semaphore(at_once)

    async def one(case: Case) -> None:
        async with free:
            began = time.perf_counter()
            try:
                status, content = await posted(port, case.body)
            except (OSError, IndexError, ValueError) as error:
                told.lost += 1
                print(f"lost {case.body[:40]!r}: {error!r}", file=sys.stderr)
                return
            told.took.append(time.perf_counter() - began)
        good = status == case.status and (status != 200 or right(case, content))
        told.wrong += not good

    began = time.perf_counter()
    await asyncio.gather(*map(one, cases))
    told.seconds = time.perf_counter() - began
    return told


def cases_of(tagger: ner.Tagger, file: str, count: int, broken: float) -> list[Case]:
    """Requests of all lengths, some broken, and their answers."""
    rng = random.Random(0)
    sentences = [sentence.tokens for sentence in ner.read(file)]
    asked = [
        [token for _ in range(rng.choice((1, 1, 1, 2, 8))) for token in rng.choice(sentences)]
        for _ in range(count)
    ]
    cases = [
        Case(json.dumps({"tokens": tokens}).encode(), 200, tokens, spans)
        for tokens, spans in zip(asked, tagger.predict(asked), strict=True)
    ]
    kinds = [*BROKEN.items(), (CUT_OFF, 0)]
    for turn, number in enumerate(rng.sample(range(count), round(broken * count))):
        cases[number] = Case(*kinds[turn % len(kinds)])
    return cases


async def process(port: int) -> tuple[float, float]:
    """The CPU seconds and the MiB of memory that the server has taken, as it says itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    told = dict(re.findall(rb"^(process_\w+) (\S+)", answer, re.MULTILINE))
    seconds = float(told.get(b"process_cpu_seconds_total", 0))
    return seconds, float(told.get(b"process_resident_memory_bytes", 0)) / (1 << 20)


def main() -> int:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--broken", type=float, default=0.01)
    parser.add_argument("--file", default=str(sample_path("test")))
    arguments = parser.parse_args()
    cases = cases_of(
        ner.load(arguments.model), arguments.file, arguments.requests, arguments.broken
    )
    command = [sys.executable, "-m", "ner", "serve", arguments.model, "--port", "0"]
    command += ["--timeout", "300", "--arrival-timeout", "300"]  # the machine may be busy
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline().rstrip("/\n").rpartition(":")[2])
            bad = asyncio.run(measured(port, cases, arguments.rounds))
        finally:
            process.send_signal(signal.SIGTERM)
        print(f"the server ended with {process.wait(60)}")
    return bool(bad or process.returncode)


async def measured(port: int, cases: Sequence[Case], rounds: int) -> int:
    """Print a line for each round; how many answers were lost or wrong."""
    good = [case for case in cases if case.status == 200]
    print(f"{len(cases):,} requests, {len(cases) - len(good)} of them broken")
    print(" at once  requests/s   p50 ms   p99 ms  lost  wrong   CPU s    MiB")
    bad = 0
    for at_once in (1, *[len(cases)] * rounds):
        before, _ = await process(port)
        told = await sent(port, cases, at_once)
        seconds, memory = await process(port)
        bad += told.lost + told.wrong
        print(
            f"{at_once:8,}{len(told.took) / told.seconds:12,.0f}{told.percentile(0.5):9,.0f}"
            f"{told.percentile(0.99):9,.0f}{told.lost:6}{told.wrong:7}{seconds - before:8.2f}"
            f"{memory:7,.0f}",
            flush=True,
        )
    return bad


if __name__ == "__main__":
    raise SystemExit(main())
