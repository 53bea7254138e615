"""A server under good, slow, broken and poisonous requests: ``server.py MODEL --minutes 60``.

Every honest request must get its own tokens back, `/health` must answer in time, and memory must
stay flat. Then ``--flood`` poisonous requests come at once, twice: beside the first, honest ones
must be answered and `/health` be in time; the second time, SIGTERM must end the server. Prints the
figures; the exit status is 1 where one does not hold.
"""

import argparse
import contextlib
import json
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

POISON = ["$", "<", "'", '"', ")", "\U0001f600", "a.", "://", "\u0301", "[", "{"]
SPACY = 0.01  # of the poisonous requests go to spaCy's tokenizer, which works on them until TIMEOUT
HEALTH, GROWTH = 0.1, 64  # seconds within which /health answers, MiB by which memory may grow
FLOODED = 0.2  # seconds within which /health answers beside a flood
TIMEOUT, GRACE = 20, 5  # seconds for a request, and for the end of the server after that


class Soak:
    """Clients of one server, until the time is over."""

    def __init__(self, port: int, seconds: float, pause: float = 0.0) -> None:
        self.port, self.end, self.pause = port, time.monotonic() + seconds, pause
        self.counts: Counter[str] = Counter()
        self.health: list[float] = []

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Answer of the server, whatever its status."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def good(self, chance: random.Random) -> None:
        words = [f"w{chance.randrange(10**6)}" for _ in range(chance.randrange(1, 40))]
        body = json.dumps({"text": " ".join(words)}).encode()
        status, content = self.ask("/tag", body)
        right = status == 200 and json.loads(content)["tokens"] == words
        self.counts["right" if right else f"WRONG {status}"] += 1

    def poisonous(self, chance: random.Random) -> None:
        text = (chance.choice(POISON) * 16_000)[:16_000]
        asked = {"text": text, **({"language": "en"} if chance.random() < SPACY else {})}
        status, _ = self.ask("/tag", json.dumps(asked).encode())
        self.counts[f"poison {status}"] += 1

    def broken(self, chance: random.Random) -> None:
        status, _ = self.ask("/tag", chance.randbytes(chance.randrange(200)))
        self.counts["broken" if 400 <= status < 500 else f"WRONG broken {status}"] += 1

    def slow(self, chance: random.Random) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"POST /tag HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n")
            time.sleep(chance.random() * 3)
        self.counts["slow"] += 1

    def repeat(self, action: str, seed: int) -> None:
        """One client."""
        chance = random.Random(seed)
        while time.monotonic() < self.end:
            try:
                getattr(self, action)(chance)
            except OSError as error:
                self.counts[f"WRONG {action} {type(error).__name__}"] += 1
            time.sleep(2 * self.pause * chance.random())

    def flood(self, size: int) -> list[threading.Thread]:
        """Start poisonous requests at once, each of a thread."""
        chances = [random.Random(number) for number in range(size)]
        clients = [threading.Thread(target=self._drown, args=(chance,)) for chance in chances]
        for client in clients:
            client.start()
        return clients

    def _drown(self, chance: random.Random) -> None:
        with contextlib.suppress(OSError):  # the server may have ended
            self.poisonous(chance)

    def watch(self) -> None:
        """Ask after the server's health."""
        while time.monotonic() < self.end:
            began = time.monotonic()
            status, _ = self.ask("/health")
            self.health.append(time.monotonic() - began)
            self.counts["health" if status == 200 else "WRONG health"] += 1
            time.sleep(0.2)


def memory(process: int) -> float:
    """MiB of a process."""
    lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def mixed(soak: Soak, process: int) -> float:
    """Run clients of every kind to the end; return the MiB by which memory grew."""
    kinds = ("good", "good", "good", "poisonous", "broken", "slow")
    clients = [
        threading.Thread(target=soak.repeat, args=k) for k in zip(kinds, range(6), strict=True)
    ]
    clients.append(threading.Thread(target=soak.watch))
    for client in clients:
        client.start()
    time.sleep(0.3 * (soak.end - time.monotonic()))
    before = memory(process)
    for client in clients:
        client.join()
    return memory(process) - before


def flooded(port: int, size: int) -> Soak:
    """Honest requests and `/health` beside a flood of poisonous ones, until it is answered."""
    soak = Soak(port, float("inf"))
    honest = [threading.Thread(target=soak.repeat, args=("good", seed)) for seed in range(3)]
    watching = [threading.Thread(target=soak.watch), *honest]
    poison = soak.flood(size)
    for client in watching:
        client.start()
    for client in poison:
        client.join()
    soak.end = 0.0
    for client in watching:
        client.join()
    return soak


def shown(soak: Soak, bound: float) -> bool:
    """Print the figures of clients; return whether all held."""
    late = sum(seconds > bound for seconds in soak.health)
    print(json.dumps(dict(soak.counts), indent=1))
    print(f"health: {len(soak.health)} answers, slowest {max(soak.health):.3f} s, {late} too late")
    return not late and not any("WRONG" in name for name in soak.counts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--pause", type=float, default=0.0, help="mean seconds between requests")
    parser.add_argument("--flood", type=int, default=100)
    arguments = parser.parse_args()
    call = [sys.executable, "-m", "ner", "serve", arguments.model]
    call += ["--port", "0", "--timeout", str(TIMEOUT)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        port = int(served.stdout.readline().strip().rstrip("/").rpartition(":")[2])
        soak = Soak(port, 60 * arguments.minutes, arguments.pause)
        grown = mixed(soak, served.pid)
        beside = flooded(port, arguments.flood)
        Soak(port, 0.0).flood(arguments.flood)
        time.sleep(1.0)  # they are being answered
        began = time.monotonic()
        served.terminate()
        served.wait(2 * (TIMEOUT + GRACE))
        took = time.monotonic() - began
    held = [shown(soak, HEALTH), shown(beside, FLOODED), grown <= GROWTH, took <= TIMEOUT + GRACE]
    print(f"memory: {grown:+.1f} MiB after a third; ended in {took:.1f} s")
    return int(not all(held))


if __name__ == "__main__":
    sys.exit(main())
