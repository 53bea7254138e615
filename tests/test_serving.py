"""The server: the records of ``ner tag``, nothing lost, nothing mixed up, every refusal clean."""

import asyncio
import http.client
import io
import json
import re
import runpy
import socket
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving_client import all_of, running, wait_for

import ner
from ner.cli import main
from ner.config import ConfigError
from ner.sample import path as sample_path
from ner.sentence import Sentence, Span, in_document
from ner.serving import Limits
from ner.serving.middleware import Metrics
from ner.serving.request import RefusedError, read
from ner.serving.workers import BATCH, LONG, Batcher, _record
from ner.streaming.tokenizers import SpacyTokenizer, tokenized
from ner.streaming.writers import Tagged, as_record

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "serving.py"
PATIENT = {"arrival": 300.0, "seconds": 300.0}  # for a machine that is busy with other things
LIMITS = Limits(body=20_000, texts=50, characters=2000, tokens=600, **PATIENT)
TEXTS = ["Ada Obi  joined\tKestrel Foods.", "", "  Lin Ho \U0001f600 left Lima. \u00a0", "\x00"]


@pytest.fixture(scope="module")
def tagger(small_model):
    return ner.load(small_model)


@pytest.fixture(scope="module")
def served(tagger):
    with running(tagger, LIMITS, name="small") as it:
        yield it


@pytest.fixture(scope="module")
def client(served):
    return served.client


JSON = {"Content-Type": "application/json"}


def tag(client, **asked):
    answer = client.post("/tag", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def error_of(answer):
    """What a refusal says; it is one line of JSON without anything of our inside."""
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    said = answer.json()["error"]
    assert "\n" not in said
    assert not re.search(r"Traceback|\.py|pydantic|0x[0-9a-f]{6}", said)
    return said


def test_the_records_are_those_of_ner_tag(client, small_model, toy, monkeypatch, capsys):
    def written(text, kind):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert main(["tag", small_model, "--from", kind, "--quiet"]) == 0
        return capsys.readouterr().out.splitlines()

    texts = written("".join(f"{text}\n" for text in TEXTS), "text")
    assert_alike([client.post("/tag", json={"text": text}).text for text in TEXTS], texts)
    assert_alike([client.post("/tag", json={"texts": TEXTS}).text], [f"[{', '.join(texts)}]"])
    sentences = written("\n\n".join("\n".join(s.tokens) for s in toy), "conll")
    assert_alike([client.post("/tag", json={"tokens": s.tokens}).text for s in toy], sentences)


def assert_alike(ours, theirs):
    """The same to the last sign but for scores, whose last digit depends on the batch."""
    pattern = r'(?<="score": )[\d.e-]+'
    texts = ["\n".join(lines) for lines in (ours, theirs)]
    assert re.sub(pattern, "?", texts[0]) == re.sub(pattern, "?", texts[1])
    found, wanted = ([float(score) for score in re.findall(pattern, text)] for text in texts)
    assert found == pytest.approx(wanted, abs=2e-6)


def test_one_is_answered_by_one_and_many_by_many(client):
    assert tag(client, text="") == {"text": "", "tokens": [], "spans": []}
    assert tag(client, tokens=[]) == {"text": "", "tokens": [], "spans": []}
    assert tag(client, texts=[]) == tag(client, sentences=[]) == []
    assert [r["tokens"] for r in tag(client, sentences=[["a b"], [], [" "]])] == [
        ["a b"],
        [],
        [" "],
    ]


def test_sentences_of_a_document_know_each_other(client, tagger, toy):
    alone, together = tagger.predict(toy[:4]), tagger.predict(in_document(toy[:4]))
    tokens = [s.tokens for s in toy[:4]]
    for document, spans in ((False, tagger.predict(tokens)), (True, together)):
        records = tag(client, sentences=tokens, document=document)
        assert [scored(r["spans"]) for r in records] == [
            [(s.start, s.end, s.label, pytest.approx(s.score, abs=1e-5)) for s in own]
            for own in spans
        ]
    assert scores(alone) != scores(together)


def scored(spans):
    return [(s["token_start"], s["token_end"], s["label"], s["score"]) for s in spans]


def scores(found):
    return [round(span.score, 4) for spans in found for span in spans]


def test_the_language_is_that_of_the_tokenizer(client):
    assert tag(client, text="z.B. don't")["tokens"] == ["z.B.", "do", "n't"]
    assert tag(client, text="z.B. don't", language="en")["tokens"] == ["z.", "B.", "do", "n't"]
    assert tag(client, text="z.B. don't", language="de")["tokens"] == ["z.B.", "don't"]


POISON = ["$", "<", "'", '"', ")", "\U0001f600", "a.", "://"]  # spaCy's tokenizer is quadratic on


def test_no_text_keeps_the_server_from_answering(tagger):
    """Each of these was half an hour of CPU, during which nothing else was answered."""
    with running(tagger, Limits(**PATIENT)) as it:
        answers = []
        texts = [(sign * 20_000)[:20_000] for sign in POISON]
        threads = [posting(it.client, answers, text=text) for text in texts]
        assert it.client.get("/health").status_code == 200
        assert tag(it.client, text="Ada Obi")["tokens"] == ["Ada", "Obi"]
        for thread in threads:
            thread.join(300)
    assert [answer.status_code for answer in answers] == [200] * len(POISON)


def test_spacy_is_ended_where_it_takes_too_long(tagger):
    with running(tagger, Limits(arrival=300.0, seconds=15.0)) as it:

        def asked(text):
            return it.client.post("/tag", json={"text": text, "language": "en"})

        wait_for(lambda: asked("Ada").status_code == 200)  # once it has begun
        answers = []
        poisoned = posting(it.client, answers, text="$" * 100_000, language="en")
        wait_for(lambda: it.service.backpressure.requests)
        assert it.client.get("/health").status_code == 200
        assert tag(it.client, text="Ada Obi")["tokens"] == ["Ada", "Obi"]
        poisoned.join(300)
        wait_for(lambda: asked("Ada").status_code == 200)  # by another process
    assert answers[0].status_code == 503
    assert "spaCy" in error_of(answers[0])


BROKEN = {
    b"": (400, "not valid JSON: EOF"),
    b'{"text"': (400, "line 1 column 7"),
    b'{"text": "\xff"}': (400, "not valid JSON"),
    b'\xff\xfe{\x00"\x00': (400, "not valid JSON"),
    b'{"text": "\\ud800"}': (400, "not valid JSON"),
    b'{"text": "\xed\xa0\x80"}': (400, "not valid JSON"),
    b'{"text": NaN}': (422, "text: expected a string, got a number"),
    b"[" * 10_000: (400, "recursion limit"),
    b'{"text":' + b"[" * 150 + b"]" * 150 + b"}": (422, "text: expected a string, got a list"),
    b'{"text": ' + b"9" * 9999 + b"}": (400, "out of range"),
    b'{"text": 1e99999}': (422, "text: expected a string, got a number"),
    b"[]": (422, "request body: expected an object, got a list"),
    b"null": (422, "request body: expected an object, got null"),
    b'"text"': (422, "request body: expected an object, got a string"),
    b"{}": (422, "expected exactly one of text, tokens, texts, sentences; got none"),
    b'{"text": "a", "tokens": []}': (422, "got text and tokens"),
    b'{"text": null}': (422, "text: expected a string, got null"),
    b'{"texts": "a"}': (422, "texts: expected a list, got a string"),
    b'{"texts": ["a", true]}': (422, "texts[1]: expected a string, got true or false"),
    b'{"tokens": [["a"]]}': (422, "tokens[0]: expected a string, got a list"),
    b'{"tokens": ["a", ""]}': (422, "tokens[1]: expected a token, got an empty string"),
    b'{"sentences": [["a"], ["", "b"]]}': (422, "sentences[1][0]: expected a token, got an empty"),
    b'{"sentences": [["a"], ["b", {}]]}': (422, "sentences[1][1]: expected a string, got an obj"),
    b'{"text": "a", "document": 1}': (422, "document: expected true or false, got a number"),
    b'{"text": "a", "langauge": "de"}': (422, "unknown field 'langauge'; expected text, "),
    b'{"text": "a", "language": "zq"}': (422, "spaCy has no language 'zq'"),
    b'{"text": "a", "language": "en.tag_map"}': (422, "two or three letters"),
    b'{"text": "a", "language": "../.."}': (422, "two or three letters"),
    b'{"text": "' + b"a" * 2001 + b'"}': (413, "text: at most 2,000 characters, got 2,001"),
    b'{"texts": ["", "' + b"a" * 2001 + b'"]}': (413, "texts[1]: at most 2,000"),
    b'{"tokens": ["' + b"a" * 2001 + b'"]}': (413, "tokens: at most 2,000"),
    b'{"texts": [' + b'"",' * 50 + b'""]}': (413, "texts: at most 50, got 51"),
    b'{"tokens": [' + b'"a",' * 600 + b'"a"]}': (413, "at most 600 tokens, got 601"),
    b'{"texts": ["' + b"a " * 400 + b'", "' + b"a " * 400 + b'"]}': (413, "at most 600 tokens"),
    b" " * 20_001: (413, "more than 20,000 bytes"),
}


@pytest.mark.parametrize("body", BROKEN, ids=lambda body: repr(body[:40]))
def test_what_cannot_be_tagged_is_refused_in_a_line(client, body):
    status, said = BROKEN[body]
    answer = client.post("/tag", content=body, headers=JSON)
    assert (answer.status_code, error_of(answer)) == (status, AnyWith(said))
    assert "retry-after" not in answer.headers


class AnyWith(str):
    """Equal to any text that has it in it."""

    __hash__ = None

    def __eq__(self, other):
        return str(self) in other


def test_other_ways_and_paths_are_refused_too(client):
    for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/jsonp"}):
        answer = client.post("/tag", content=b'{"text": "a"}', headers=headers)
        assert answer.status_code == 415
        assert "expected Content-Type: application/json" in error_of(answer)
    packed = {**JSON, "Content-Encoding": "gzip"}
    assert client.post("/tag", content=b"a", headers=packed).status_code == 415
    utf8 = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/tag", content=b'{"text": "a"}', headers=utf8).status_code == 200
    assert client.get("/tag").status_code == 405
    assert error_of(client.get("/tag"))
    assert client.get("/../etc/passwd").status_code == 404
    assert "POST /tag" in error_of(client.get("/documents"))


def test_the_body_is_measured_while_it_is_read(served):
    """It is refused before it ends, though it never says how long it is."""
    with served.connect() as connection:
        connection.sendall(
            b"POST /tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + 3 * (b"2000\r\n" + b" " * 0x2000 + b"\r\n")
        )
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
    assert served.service.backpressure.held == 0


def test_malformed_http_is_no_trouble(served, client):
    for junk in (b"\x00\xff", b"GET / HTTP/1.1\r\nContent-Length: x", b"GET / HTTP/1.1\r\n: "):
        with served.connect() as connection:
            connection.sendall(junk + b"\r\n\r\n")
            assert all_of(connection).startswith(b"HTTP/1.1 400 ")
    with served.connect() as connection:  # headers without end
        connection.sendall(b"GET / HTTP/1.1\r\nA: " + b"a" * 70_000)
        assert all_of(connection).startswith(b"HTTP/1.1 400 ")
    assert client.get("/health").json() == {"status": "ok"}


def test_slow_clients_are_let_go(tagger):
    limits = Limits(arrival=1.5)  # longer than a busy machine takes between two lines below
    head = b"POST /tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with running(tagger, limits) as it:
        with it.connect() as never, it.connect() as headers, it.connect() as body:
            headers.sendall(head)
            body.sendall(head + b'Content-Length: 100\r\n\r\n{"text": ')
            answer = b""
            while not answer.endswith(b"}"):
                part = body.recv(1 << 16)
                assert part, "closed without an answer"
                answer += part
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert all_of(headers) == b""
            assert all_of(never) == b""
            body.sendall(b"a")  # goes on, though it has its answer
            assert all_of(body) == b""
        assert it.client.get("/health").status_code == 200
        assert it.service.backpressure.requests == 0


def test_a_host_answers_to_its_names_only(tagger):
    with running(tagger, LIMITS, hosts=("localhost", "127.0.0.1", "[::1]")) as it:
        for host, status in {
            "localhost": 200,
            "LOCALHOST:80": 200,
            "[::1]:8000": 200,
            "evil.example": 421,
            "127.0.0.1.evil.example:8000": 421,
        }.items():
            assert it.client.get("/model", headers={"Host": host}).status_code == status


class Gate:
    """A tagger that waits until it is let through, and counts what it is given."""

    def __init__(self, tagger):
        self._tagger = tagger
        self.open = threading.Event()
        self.batches = []

    def __getattr__(self, name):
        return getattr(self._tagger, name)

    def predict(self, sentences):
        self.batches.append([sentence.tokens for sentence in sentences])
        assert self.open.wait(300)
        if any("POISON" in tokens for tokens in self.batches[-1]):
            raise RuntimeError("secret of the inside")
        return self._tagger.predict(sentences)


def posting(client, answers, **asked):
    """Post in a thread; the answer is put into a list."""

    def post():
        answers.append(client.post("/tag", json=asked))

    thread = threading.Thread(target=post)
    thread.start()
    return thread


def test_too_many_at_a_time_are_told_to_come_again(tagger):
    gate, answers = Gate(tagger), []
    with running(gate, Limits(requests=2, **PATIENT)) as it:
        threads = [posting(it.client, answers, text="Ada Obi") for _ in range(2)]
        wait_for(lambda: it.service.backpressure.requests == 2)
        full = it.client.post("/tag", json={"text": "a"})
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert "try again later" in error_of(full)
        assert it.client.get("/health").status_code == 200
        gate.open.set()
        for thread in threads:
            thread.join(300)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert it.client.post("/tag", json={"text": "a"}).status_code == 200


def test_the_bytes_held_are_bounded(tagger):
    gate, answers = Gate(tagger), []
    with running(gate, Limits(body=3000, held=4000, **PATIENT)) as it:
        thread = posting(it.client, answers, text="a" * 2500)
        wait_for(lambda: it.service.backpressure.held > 2500)
        assert it.client.post("/tag", json={"text": "a" * 2500}).status_code == 503
        gate.open.set()
        thread.join(300)
    assert answers[0].status_code == 200


def test_large_bodies_leave_room_for_small_ones(tagger):
    gate, answers = Gate(tagger), []
    with running(gate, Limits(body=4096, held=4096, **PATIENT)) as it:
        threads = [posting(it.client, answers, text="a" * 4080)]
        wait_for(lambda: it.service.backpressure.held > 4000)
        threads.append(posting(it.client, answers, text="Ada " * 10))
        wait_for(lambda: it.service.backpressure.requests == 2)
        gate.open.set()
        for thread in threads:
            thread.join(300)
    assert [answer.status_code for answer in answers] == [200, 200]


def test_an_answer_that_takes_too_long_is_given_up(tagger):
    gate = Gate(tagger)
    with running(gate, Limits(seconds=0.3)) as it:
        late = it.client.post("/tag", json={"text": "Ada"})
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        assert "timed out after 0.3 s" in error_of(late)
        it.client.post("/tag", json={"text": "Bo"})  # waits in vain, and is not tagged
        gate.open.set()
        wait_for(lambda: len(it.service.batcher) == 0)
    assert [("Bo",)] not in gate.batches


def test_who_leaves_is_not_waited_for(tagger):
    gate = Gate(tagger)
    with running(gate, LIMITS) as it:
        body = b'{"text": "Ada"}'
        for _ in range(2):
            with it.connect() as connection:
                connection.sendall(
                    b"POST /tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                wait_for(lambda: it.service.backpressure.requests == 1 and gate.batches)
            wait_for(lambda: it.service.backpressure.requests == 0)
        gate.open.set()
    assert len(gate.batches) == 1


def half_closed(connection, version, text="Ada"):
    body = json.dumps({"text": text}).encode()
    connection.sendall(
        b"POST /tag HTTP/%s\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (version, len(body), body)
    )
    connection.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_client_that_half_closes_has_its_answer(tagger, version):
    gate = Gate(tagger)
    with running(gate, LIMITS) as it, it.connect() as connection:
        half_closed(connection, version)
        wait_for(lambda: gate.batches)
        wait_for(lambda: it.service.backpressure.requests == 1)
        gate.open.set()
        interim, _, answer = all_of(connection).rpartition(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["tokens"] == ["Ada"]
    assert set(interim.split(b"\r\n\r\n")) == (
        {b"HTTP/1.1 100 Continue", b""} if version == b"1.1" else {b""}
    )


def test_a_client_that_leaves_after_half_closing_is_not_waited_for(tagger):
    gate = Gate(tagger)
    with running(gate, LIMITS) as it:
        with it.connect() as connection:
            half_closed(connection, b"1.1")
            wait_for(lambda: gate.batches)
        wait_for(lambda: it.service.backpressure.requests == 0)  # though the gate is shut
        gate.open.set()


def test_a_client_of_pythons_library_may_half_close(tagger):
    """It passes over each interim answer of 100, as RFC 9110 says, and of no other status."""
    gate = Gate(tagger)
    with running(gate, LIMITS) as it:
        client = http.client.HTTPConnection("127.0.0.1", it.port, timeout=300)
        client.request("POST", "/tag", b'{"text": "Ada"}', JSON)
        client.sock.shutdown(socket.SHUT_WR)
        wait_for(lambda: gate.batches)
        gate.open.set()
        answer = client.getresponse()
        assert (answer.status, json.load(answer)["tokens"]) == (200, ["Ada"])
        client.close()


def test_what_was_accepted_is_finished_at_the_end(tagger):
    gate, answers = Gate(tagger), []
    with running(gate, LIMITS) as it:
        threads = [posting(it.client, answers, text=f"Ada {n}") for n in range(20)]
        wait_for(lambda: it.service.backpressure.requests == 20)
        it.server.should_exit = True
        wait_for(lambda: not it.server.servers[0].is_serving())
        gate.open.set()
        for thread in threads:
            thread.join(300)
        it.thread.join(300)
    assert sorted(answer.json()["text"] for answer in answers) == sorted(
        f"Ada {n}" for n in range(20)
    )


def test_a_fault_inside_is_kept_inside_and_hurts_nobody_else(tagger):
    gate, answers, good = Gate(tagger), [], []
    with running(gate, LIMITS) as it:
        first = posting(it.client, good, text="Ada")
        wait_for(lambda: len(gate.batches) == 1)
        threads = [posting(it.client, answers, tokens=["POISON"])]
        threads += [posting(it.client, good, text="Ada Obi") for _ in range(5)]
        wait_for(lambda: len(it.service.batcher) == 6)
        gate.open.set()
        for thread in (first, *threads):
            thread.join(300)
        assert max(map(len, gate.batches)) == 6  # they were tagged together
    assert answers[0].status_code == 500
    assert "secret" not in error_of(answers[0])
    assert [answer.status_code for answer in good] == [200] * 6


@pytest.fixture
def batcher(tagger):
    gate = Gate(tagger)
    made = Batcher(gate, Limits(), Metrics())
    yield made, gate
    gate.open.set()
    made.close()
    assert not made.alive


def ask(**asked):
    return read(json.dumps(asked).encode(), Limits())


def test_what_waits_is_tagged_together_and_long_ones_take_turns(batcher):
    made, gate = batcher
    made.start()
    first = made.submit(ask(text="Ada"))
    wait_for(lambda: gate.batches)
    long = made.submit(ask(sentences=[["a"] * 40] * 600))  # 24,000 tokens
    others = [made.submit(ask(text=f"Lin Ho {n}")) for n in range(100)]
    gate.open.set()
    assert len(long.result(300)) == 600
    assert all(other.done() for other in (first, *others))
    sizes = [sum(map(len, batch)) for batch in gate.batches]
    assert max(sizes) <= BATCH + 41
    shorts = [n for n, batch in enumerate(gate.batches) if ("Lin", "Ho", "99") in batch]
    assert shorts[0] == 1  # with the first share of the long one, not after the whole of it
    assert ("a",) * 40 in gate.batches[1]


@pytest.mark.parametrize("long", [{"text": "$ " * 2500}, {"tokens": ["a"] * 5000}])
def test_long_sentences_keep_a_short_one_waiting_for_one_of_them(batcher, long):
    made, gate = batcher
    many = [made.submit(ask(**long)) for _ in range(100)]
    made.start()
    wait_for(lambda: gate.batches)
    short = made.submit(ask(text="Ada"))
    gate.open.set()
    assert len(short.result(300)) == 1
    places = [n for n, batch in enumerate(gate.batches) if ("Ada",) in batch]
    assert places == [1]
    for one in many[2:]:
        one.cancel()
    assert all(len(one.result(300)) == 1 for one in many[:2])
    assert all(len(batch) <= 1 for batch in gate.batches)


def test_the_record_of_a_long_sentence_is_that_of_ner_tag(tagger):
    sentence = Sentence(tuple(["Ada", '"Obï', "\u2028\n"] * 2000))
    spans = tuple(Span(n, n + 1, "PER", 0.25) for n in range(0, 6000, 5))
    usual = json.dumps(as_record(Tagged(sentence, spans)), ensure_ascii=False)
    assert len(sentence) > LONG
    assert _record(sentence, spans, 0.0) == usual.encode()


def test_the_end_does_not_wait_for_a_sentence_that_nobody_waits_for(batcher):
    made, gate = batcher
    made.start()
    made.submit(ask(text="Ada"))
    wait_for(lambda: gate.batches)
    made.close(0.01)
    assert made.alive


def test_requests_that_are_over_are_not_tagged_on(batcher):
    made, gate = batcher
    made.start()
    first = made.submit(ask(text="Ada"))
    wait_for(lambda: gate.batches)
    cancelled = made.submit(ask(text="Bo"))
    poisoned = made.submit(ask(sentences=[["POISON"]] + [["a"] * 40] * 600))
    assert cancelled.cancel()
    gate.open.set()
    with pytest.raises(RuntimeError):
        poisoned.result(300)
    made.submit(ask(text="Cy")).result(300)
    assert first.done()
    tagged = {tokens for batch in gate.batches for tokens in batch}
    assert ("Bo",) not in tagged
    assert sum(map(len, gate.batches)) < 300


def test_a_closed_batcher_takes_nothing(tagger):
    made = Batcher(tagger, Limits(), Metrics())
    waiting = made.submit(ask(text="Ada"))
    made.start()
    made.close()
    assert len(waiting.result(0)) == 1
    with pytest.raises(RefusedError, match="shutting down"):
        made.submit(ask(text="Ada"))


def test_many_at_once_are_neither_lost_nor_mixed_up(tagger):
    """The short form of `benchmarks/serving.py`, whose figures stand in docs/serving.md."""
    benchmark = runpy.run_path(str(BENCHMARK))
    cases = benchmark["cases_of"](tagger, str(sample_path("test")), 300, 0.05)
    assert sum(case.status != 200 for case in cases) == 15
    with running(tagger, Limits(**PATIENT)) as it:
        told = asyncio.run(benchmark["sent"](it.port, cases, len(cases)))
    assert (told.lost, told.wrong, len(told.took)) == (0, 0, 300)


def test_measures_count_what_is_done(tagger):
    with running(tagger, LIMITS) as it:
        client = it.client
        tag(client, texts=["Ada Obi", "Lima"])
        client.post("/tag", content=b"{", headers=JSON)
        client.get("/who-knows/what")
        # the batch is counted by the thread that tags, after its answers are given
        wait_for(lambda: "ner_batch_tokens_count 1.0" in client.get("/metrics").text)
        answer = client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
    assert found["ner_requests_total", "/tag", "200"] == 1
    assert found["ner_requests_total", "/tag", "400"] == 1
    assert found["ner_requests_total", "404", "other"] == 1
    assert (found["ner_sentences_total",], found["ner_tokens_total",]) == (2, 3)
    assert found["ner_tag_seconds_count",] == found["ner_batch_tokens_count",] == 1
    assert (found["ner_queue_requests",], found["ner_open_requests",]) == (0, 0)


def test_the_model_says_what_it_is(client, tagger):
    about = client.get("/model").json()
    assert about["model"] == "small"
    assert about["labels"] == list(tagger.labels)
    assert about["limits"]["body"] == LIMITS.body


def test_the_schema_says_what_is_taken_and_given(client):
    schema = client.get("/openapi.json").json()
    tagging = schema["paths"]["/tag"]["post"]
    asked = tagging["requestBody"]["content"]["application/json"]["schema"]
    assert asked["oneOf"] == [
        {"required": [name]} for name in ("text", "tokens", "texts", "sentences")
    ]
    assert "null" not in json.dumps(asked)
    assert set(tagging["responses"]) == {"200", "400", "408", "413", "415", "422", "500", "503"}
    metrics = schema["paths"]["/metrics"]["get"]["responses"]["200"]
    assert set(metrics["content"]) == {"text/plain"}
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema)))
    assert references == set(schema["components"]["schemas"])
    for name in ("text", "texts", "tokens", "sentences"):
        tag(client, **{name: asked["properties"][name]["examples"][0]})


def test_limits_that_cannot_be_kept_are_refused():
    for wrong in ({"body": 0}, {"seconds": float("nan")}, {"tokens": 1_000_000}, {"held": 5}):
        said = "all bodies" if "held" in wrong else next(iter(wrong))
        with pytest.raises(ConfigError, match=said):
            Limits(**wrong)
    assert Limits.of(body=1 << 30).held >= 1 << 30


def test_a_tokenizer_forgets_words_in_time(monkeypatch):
    monkeypatch.setattr("ner.streaming.tokenizers.WORDS", 50)
    tokenizer = SpacyTokenizer("xx")
    for number in range(300):
        sentence = tokenized(f"w{number}  Berlin!", tokenizer)
        assert sentence.tokens == (f"w{number}", "Berlin", "!")
    assert len(tokenizer._nlp.vocab.strings) < 2000
    assert tokenizer._nlp is not SpacyTokenizer("xx")._nlp


def test_redaction_hides_what_tagging_finds(client):
    texts = ["Ada Obi  joined\tKestrel Foods.", "Ada Obi left.", "  Lin Ho \U0001f600 left Lima."]
    records = tag(client, texts=texts, document=True)
    answer = client.post(
        "/redact", json={"texts": texts, "document": True, "replacement": "pseudonym"}
    )
    assert answer.status_code == 200, answer.text
    for text, record, own in zip(texts, records, answer.json(), strict=True):
        places = [(one["start"], one["end"], one["label"]) for one in record["spans"]]
        assert [(one["start"], one["end"], one["label"]) for one in own["hidden"]] == places
        parts, at = [], 0
        for one in own["hidden"]:
            parts += [text[at : one["start"]], one["replacement"]]
            at = one["end"]
        assert own["text"] == "".join([*parts, text[at:]])
        assert "spans" not in own
    one = client.post("/redact", json={"text": texts[0]}).json()
    assert all(hidden["replacement"] == f"[{hidden['label']}]" for hidden in one["hidden"])
    refused = client.post("/redact", json={"text": "Ada", "replacement": "hash"})
    assert refused.status_code == 422
    assert client.post("/tag", json={"text": "Ada", "replacement": "mask"}).status_code == 422
