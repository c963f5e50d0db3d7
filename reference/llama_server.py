"""Asks a real, independent server what Glossator's HTTP client needs: llama.cpp's OpenAI-compatible server.

Starts `llama-cpp-python[server]` (see llama_server_requirements.txt) with a GGUF file, and runs against it
`glossator llm probe`, a question, the same question again (which must not reach the server), and a recording of it. Every
step is checked; the server's capabilities are compared with what is known of it.

    python -m venv .venv && .venv/bin/pip install -r llama_server_requirements.txt
    .venv/bin/python llama_server.py [MODEL.gguf] [GLOSSATOR]
"""

import json
import pathlib
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


def run(glossator: str, *arguments: str) -> dict:
    command = [glossator, "llm", *arguments, "--json"]
    print("$", " ".join(command), file=sys.stderr)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"exit code {done.returncode}")
    return json.loads(done.stdout)


def check(name: str, holds: bool) -> None:
    print(f"{'ok    ' if holds else 'FAILED'}  {name}")
    if not holds:
        sys.exit(1)


def checks(glossator: str, base: str, directory: str) -> None:
    endpoint = ["--base-url", base, "--llm-model", "demo"]
    probe = run(glossator, "probe", *endpoint)["probe"]
    for finding in probe["findings"]:
        print(f"        {finding['what']}: {finding['offered']} ({finding['why']})")
    offered = probe["capabilities"]
    check("the probe finds log-probabilities", offered["logprobs"])
    check("the probe finds grades by echo", offered["grades"] and probe["dialect"]["grades"] == "echo")
    # The published `json_schema` is an error here.
    check("and schemas beside json_object", offered["json_schema"] and probe["dialect"]["schema"] == "json_object")

    ledger = f"{directory}/ledger.sqlite"
    ask = ["ask", "What is the capital of France? Answer in one word.", "--ledger", ledger]
    first = run(glossator, *ask, "--llm", "http", *endpoint)
    check("a question is answered", "paris" in first["outcome"]["Ok"]["text"].lower())
    check("its tokens are counted", first["totals"]["usage"]["prompt_tokens"] > 0)
    second = run(glossator, *ask, "--llm", "http", *endpoint)
    check("the same question comes from the ledger", second["totals"]["attempts"] == 0)
    check("and its answer is the same", second["outcome"] == first["outcome"])
    replayed = run(glossator, *ask, "--llm", "replay")
    check("the ledger can be replayed", replayed["outcome"] == first["outcome"])


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else str(MODEL)
    glossator = sys.argv[2] if len(sys.argv) > 2 else str(GLOSSATOR)
    port = free_port()
    # `logits_all` is what its log-probabilities need.
    command = [sys.executable, "-m", "llama_cpp.server", "--model", model, "--model_alias", "demo", "--port", str(port),
               "--n_ctx", "2048", "--logits_all", "true"]
    with tempfile.TemporaryDirectory() as directory, open(f"{directory}/server.log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            base = f"http://127.0.0.1:{port}/v1"
            wait_for(f"{base}/models", server)
            checks(glossator, base, directory)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
