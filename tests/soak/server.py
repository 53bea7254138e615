"""A server under good, slow, broken and poisonous requests: ``server.py MODEL --minutes 60``.

Every honest request must get its own tokens back, `/health` must answer in time, and memory must
stay flat. Prints the figures; the exit status is 1 where one does not hold.
"""

import argparse
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
HEALTH, GROWTH = 0.1, 64  # seconds within which /health answers, MiB by which memory may grow


class Soak:
    """Clients of one server, until the time is over."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port, self.end = port, time.monotonic() + seconds
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
        asked = {"text": text, **({"language": "en"} if chance.random() < 0.1 else {})}
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--minutes", type=float, default=60)
    arguments = parser.parse_args()
    call = [sys.executable, "-m", "ner", "serve", arguments.model, "--port", "0", "--timeout", "20"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        port = int(served.stdout.readline().strip().rstrip("/").rpartition(":")[2])
        soak = Soak(port, 60 * arguments.minutes)
        kinds = ("good", "good", "good", "poisonous", "broken", "slow")
        clients = [
            threading.Thread(target=soak.repeat, args=k) for k in zip(kinds, range(6), strict=True)
        ]
        clients.append(threading.Thread(target=soak.watch))
        for client in clients:
            client.start()
        time.sleep(0.3 * (soak.end - time.monotonic()))
        before = memory(served.pid)
        for client in clients:
            client.join()
        grown = memory(served.pid) - before
        began = time.monotonic()
        served.terminate()
        served.wait(60)
    late = sum(seconds > HEALTH for seconds in soak.health)
    print(json.dumps(dict(soak.counts), indent=1))
    print(f"health: {len(soak.health)} answers, slowest {max(soak.health):.3f} s, {late} too late")
    print(f"memory: {grown:+.1f} MiB after a third; ended in {time.monotonic() - began:.1f} s")
    return int(bool(late) or grown > GROWTH or any("WRONG" in name for name in soak.counts))


if __name__ == "__main__":
    sys.exit(main())
