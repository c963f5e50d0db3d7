"""Units explained and excerpts simulated per hour: our local runtime beside llama.cpp's server, on the same file.

Explaining: one conversation a unit, of which instructions and examples (about 500 tokens) are shared by all units and four
excerpts (about 450 tokens) are the unit's own; at most 60 new tokens, greedy. Simulating: excerpts of 64 tokens of a known
explanation. Ours weighs the digits at all 64 places in one pass; the server, which gives no probabilities inside a prompt,
writes a JSON list of 64 digits under a schema, one request an excerpt. Both answer two requests before the clock starts,
so that what all requests share has been read.

Usage: local_runtime.py MODEL.gguf CORPUS.jsonl OURS [UNITS [EXCERPTS]], where OURS is the example `local_speed`. Needs
llama-cpp-python[server] (`requirements-llama.txt`).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

PORT = 7391
NEW_TOKENS = 60
INSTRUCTIONS = (
    "You study single units of a language model. You are shown excerpts of text in which a unit was active; the words on "
    "which it was most active stand between << and >>. Say in three sentences what the unit responds to: a word, a kind "
    "of word, a subject, a place in a sentence. Name nothing that the excerpts do not show, and give no example."
)
SIMULATE = (
    "You are told what a unit of a language model responds to, and given a text, a token a line. Predict for every token how "
    "strongly the unit responds to it, from 0 (not at all) to 9 (at its strongest)."
)
EXAMPLES = [
    ("numbers of years", "It was in <<1984>> that the bridge was opened, and in <<1991>> that it had to be closed again."),
    ("words for parts of a ship", "The <<mast>> broke in the storm, and the <<hull>> took in water before they reached land."),
    ("the word that follows a negation", "He did not <<want>> to go, and she never <<asked>> him to, so neither <<went>>."),
    ("names of musical instruments", "A <<violin>> and two <<trumpets>> were heard from the hall, later an old <<piano>>."),
]
#: What the examples say after the subject of each: answers are about 60 tokens long.
ELABORATION = (
    "It is active wherever they stand in a sentence and whatever the text is about, most of all on the last part of a word. "
    "It stays silent on the words around them, and on words that only look like them."
)
EXPLANATION = "names of people and of places"


def excerpts(corpus: Path, words: int, count: int) -> list[list[str]]:
    """Runs of words from the documents of the corpus, the same in every run."""
    found: list[list[str]] = []
    with corpus.open() as file:
        for line in file:
            text = json.loads(line)["text"].split()
            if len(text) >= words:
                found.append(text[:words])
            if len(found) == count:
                return found
    raise SystemExit(f"error: {corpus} has fewer than {count} documents of {words} words")


def explain_messages(marked: list[str]) -> list[dict[str, str]]:
    """The conversation about one unit."""
    messages = [{"role": "system", "content": INSTRUCTIONS}]
    for answer, excerpt in EXAMPLES:
        messages.append({"role": "user", "content": f"Excerpts:\n{excerpt}\nWhat does the unit respond to?"})
        messages.append({"role": "assistant", "content": f"The unit responds to {answer}. {ELABORATION}"})
    shown = "\n".join(marked)
    messages.append({"role": "user", "content": f"Excerpts:\n{shown}\nWhat does the unit respond to?"})
    return messages


def explain_requests(corpus: Path, units: int) -> list[list[dict[str, str]]]:
    """Conversations about units, each with four excerpts."""
    chance = random.Random(0)
    texts = excerpts(corpus, 40, 4 * units)
    conversations = []
    for unit in range(units):
        marked = []
        for words in texts[4 * unit : 4 * unit + 4]:
            places = set(chance.sample(range(len(words)), 4))
            marked.append(" ".join(f"<<{word}>>" if place in places else word for place, word in enumerate(words)))
        conversations.append(explain_messages(marked))
    return conversations


def simulate_messages(tokens: list[str], answer: str) -> list[dict[str, str]]:
    """The question about one excerpt."""
    listed = "\n".join(f"{number} {token}" for number, token in enumerate(tokens, start=1))
    question = f"The unit responds to: {EXPLANATION}.\nThe tokens:\n{listed}\n{answer}"
    return [{"role": "system", "content": SIMULATE}, {"role": "user", "content": question}]


def write_ours(path: Path, requests: list[dict]) -> Path:
    """Requests in the form of our program."""
    path.write_text("".join(json.dumps(request) + "\n" for request in requests))
    return path


def our_explaining(messages: list[dict[str, str]]) -> dict:
    want = {"max_tokens": NEW_TOKENS, "temperature": 0.0, "top_p": 1.0, "stop": [], "json_schema": None, "top_logprobs": 0}
    return {"messages": messages, "want": {"text": want}, "sample": 0}


def our_simulating(tokens: list[str]) -> dict:
    text: list[dict[str, str]] = []
    for token in tokens:
        text += [{"text": f"{token}\t"}, {"asked": "unknown"}, {"text": "\n"}]
    question = f"The unit responds to: {EXPLANATION}.\nWrite each token of the text with its number after it."
    messages = [{"role": "system", "content": SIMULATE}, {"role": "user", "content": question}]
    choices = [str(digit) for digit in range(10)]
    return {"messages": messages, "want": {"grades": {"choices": choices, "text": text}}, "sample": 0}


def run_ours(command: str, model: str, requests: Path, warm: Path) -> dict:
    output = subprocess.run(
        [command, model, str(requests), "int8", str(warm)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return json.loads(output.stdout)


def ask_server(body: dict) -> dict:
    """One chat completion."""
    data = json.dumps({"temperature": 0.0, **body}).encode()
    url = f"http://127.0.0.1:{PORT}/v1/chat/completions"
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def wait_for_server(server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit("error: llama.cpp's server ended; run it by hand to see why")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v1/models", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit("error: llama.cpp's server does not answer")


def timed(bodies: list[dict], warm: int = 2) -> tuple[float, dict[str, int], list[str]]:
    """Seconds for all but the first requests, their tokens, and their answers."""
    for body in bodies[:warm]:
        ask_server(body)
    start = time.perf_counter()
    answers = [ask_server(body) for body in bodies[warm:]]
    seconds = time.perf_counter() - start
    fields = ("prompt_tokens", "completion_tokens")
    usage = {field: sum(answer["usage"][field] for answer in answers) for field in fields}
    return seconds, usage, [answer["choices"][0]["message"]["content"] for answer in answers]


def report(what: str, name: str, count: int, seconds: float, usage: dict) -> float:
    rate = count / seconds * 3600
    used = ", ".join(f"{key} {value / count:.0f}" for key, value in usage.items())
    print(f"{what:<20}{name:<12}{rate:>9.0f} per hour   {seconds:6.1f} s for {count}; each: {used}", flush=True)
    return rate


def main() -> None:
    model, corpus, command = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    units = int(sys.argv[4]) if len(sys.argv) > 4 else 12
    simulated = int(sys.argv[5]) if len(sys.argv) > 5 else 16
    conversations = explain_requests(corpus, units + 2)
    windows = excerpts(corpus, 64, simulated + 2)
    ours, theirs = {}, {}
    with tempfile.TemporaryDirectory() as temporary:
        for what, requests in [
            ("units explained", [our_explaining(messages) for messages in conversations]),
            ("excerpts simulated", [our_simulating(window) for window in windows]),
        ]:
            warm = write_ours(Path(temporary) / "warm.jsonl", requests[:2])
            timed_requests = write_ours(Path(temporary) / "requests.jsonl", requests[2:])
            found = run_ours(command, model, timed_requests, warm)
            if found["failures"]:
                raise SystemExit(f"error: {found['failures']} of our requests failed")
            ours[what] = report(what, "ours", len(requests) - 2, found["seconds"], found["usage"])
    server = subprocess.Popen(
        [sys.executable, "-m", "llama_cpp.server", "--model", model, "--n_ctx", "4096", "--port", str(PORT)]
        + ["--n_threads", str(os.cpu_count()), "--n_threads_batch", str(os.cpu_count()), "--n_batch", "512"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_server(server)
        bodies = [{"messages": messages, "max_tokens": NEW_TOKENS} for messages in conversations]
        seconds, usage, _ = timed(bodies)
        theirs["units explained"] = report("units explained", "llama.cpp", units, seconds, usage)
        digits = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "minItems": 64, "maxItems": 64}
        form = {"type": "json_object", "schema": digits}
        answer = "Answer with a JSON list of 64 digits, one for each token."
        few = windows[: max(3, simulated // 4) + 2]
        bodies = [
            {"messages": simulate_messages(window, answer), "max_tokens": 400, "response_format": form} for window in few
        ]
        seconds, usage, answers = timed(bodies)
        usable = 0
        for text in answers:
            try:
                usable += len(json.loads(text)) == 64
            except ValueError:
                pass
        theirs["excerpts simulated"] = report("excerpts simulated", "llama.cpp", len(answers), seconds, usage)
        print(f"{usable} of {len(answers)} of llama.cpp's lists have 64 entries")
    finally:
        server.terminate()
        server.wait()
    for what, rate in ours.items():
        print(f"{what}: {rate / theirs[what]:.2f} x llama.cpp's server")


if __name__ == "__main__":
    main()
