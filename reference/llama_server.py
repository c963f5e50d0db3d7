"""Asks a real, independent server what Glossator's HTTP client needs: llama.cpp's OpenAI-compatible server.

Starts `llama-cpp-python[server]` (see llama_server_requirements.txt) with a GGUF file, and runs against it
`glossator llm probe`, a question, the same question again (which must not reach the server), and a recording of it. With an
atlas, a few of its units are explained and scored over HTTP in every way that the server offers. Every step is checked; the
server's capabilities are compared with what is known of it.

    python -m venv .venv && .venv/bin/pip install -r llama_server_requirements.txt
    .venv/bin/python llama_server.py [--atlas ATLAS --units SPEC] [--model MODEL.gguf] [--glossator PROGRAM]

The atlas is copied. Windows of few tokens (`glossator record --context 16`) keep it brief: by `json` a number is written for every
token, by `one-at-a-time` a request is made for it.
"""

import argparse
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / ".cache/demo/explainer/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
GLOSSATOR = ROOT / "target/release/glossator"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(url: str, server: subprocess.Popen) -> None:
    for _ in range(300):
        if server.poll() is not None:
            sys.exit("the server ended before it answered")
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except OSError:
            time.sleep(0.5)
    sys.exit("the server did not answer within 150 s")


def run(*command: str) -> str:
    print("$", " ".join(command), file=sys.stderr)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"exit code {done.returncode}")
    return done.stdout


def llm(glossator: str, *arguments: str) -> dict:
    return json.loads(run(glossator, "llm", *arguments, "--json"))


def check(name: str, holds: bool) -> None:
    print(f"{'ok    ' if holds else 'FAILED'}  {name}")
    if not holds:
        sys.exit(1)


def answers(glossator: str, endpoint: list[str], directory: str) -> None:
    """What the server offers, and that a question is asked once."""
    probe = llm(glossator, "probe", *endpoint)["probe"]
    for finding in probe["findings"]:
        print(f"        {finding['what']}: {finding['offered']} ({finding['why']})")
    offered = probe["capabilities"]
    check("the probe finds log-probabilities", offered["logprobs"])
    # What it lists with an echoed token is what may follow it, which must not be taken for what may stand in its place.
    check("the probe does not take its echo for grades", not offered["grades"])
    # The published `json_schema` is an error here.
    check("and schemas beside json_object", offered["json_schema"] and probe["dialect"]["schema"] == "json_object")

    ledger = f"{directory}/ledger.sqlite"
    ask = ["ask", "What is the capital of France? Answer in one word.", "--ledger", ledger]
    first = llm(glossator, *ask, "--llm", "http", *endpoint)
    check("a question is answered", "paris" in first["outcome"]["Ok"]["text"].lower())
    check("its tokens are counted", first["totals"]["usage"]["prompt_tokens"] > 0)
    second = llm(glossator, *ask, "--llm", "http", *endpoint)
    check("the same question comes from the ledger", second["totals"]["attempts"] == 0)
    check("and its answer is the same", second["outcome"] == first["outcome"])
    replayed = llm(glossator, *ask, "--llm", "replay")
    check("the ledger can be replayed", replayed["outcome"] == first["outcome"])


def explanations(glossator: str, endpoint: list[str], atlas: str, units: str) -> None:
    """Units explained and scored over HTTP, and both a second time without asking."""
    chosen = ["--atlas", atlas, "--units", units]
    explain = [glossator, "explain", *chosen, "--explainer", "llm", "--llm", "http", *endpoint]
    explained = [json.loads(line) for line in run(*explain, "--json").splitlines()]
    words = [one for one in explained if one["explainer"].startswith("llm:max-act@")]
    for one in words:
        print(f"        {one['unit']}: {one['text']}")
    check("units are explained", len(words) > 0 and all(one["text"] for one in words))
    score = [glossator, "score", *chosen, "--explainer", "llm", "--llm", "http", *endpoint, "--json", "--baseline", "none"]
    for simulator in ["json", "one-at-a-time"]:
        # One request a token: an excerpt of one unit is enough of it.
        only = ["--uncalibrated", *(["--limit", "1"] if simulator == "one-at-a-time" else [])]
        lines = json.loads(run(*score, *only, "--simulator", simulator))
        print(f"        {lines[-1]}")
        expected = 1 if "--limit" in only else len(words)
        check(f"they are simulated by {simulator}", (lines[-1]["units"], lines[-1]["undefined"]) == (expected, 0))
    lines = json.loads(run(*score, "--scorer", "detection", "--limit", "1"))
    for line in lines:
        print(f"        {line['scorer']} {line['metric']}: {line['mean']}")
    check("one is judged by detection", any(line["metric"] == "balanced_accuracy" for line in lines))
    report = json.loads(run(glossator, "report", atlas, "--json"))
    for calls in report["calls"]:
        print(f"        {calls['scorer']}: {calls['requests']} requests, {calls['seconds_per_unit']} s a unit, {calls['failures']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(MODEL))
    parser.add_argument("--glossator", default=str(GLOSSATOR))
    parser.add_argument("--atlas")
    parser.add_argument("--units", default="random:2@0")
    chosen = parser.parse_args()
    port = free_port()
    # `logits_all` is what its log-probabilities need.
    command = [sys.executable, "-m", "llama_cpp.server", "--model", chosen.model, "--model_alias", "demo", "--port",
               str(port), "--n_ctx", "4096", "--logits_all", "true"]
    with tempfile.TemporaryDirectory() as directory, open(f"{directory}/server.log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            base = f"http://127.0.0.1:{port}/v1"
            wait_for(f"{base}/models", server)
            endpoint = ["--base-url", base, "--llm-model", "demo"]
            answers(chosen.glossator, endpoint, directory)
            if chosen.atlas:
                copy = shutil.copytree(chosen.atlas, f"{directory}/copy.atlas")
                # A server on few cores answers one request after the other: those that wait must not run out of time.
                patient = [*endpoint, "--request-timeout", "3600", "--concurrency", "2"]
                explanations(chosen.glossator, patient, str(copy), chosen.units)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
