"""Times the forward of a SmolLM2-135M-shaped Llama in transformers, and ours beside it, in alternating rounds.

The weights are random: the time does not depend on their values. The work is the same on both sides: 16 sequences
of 128 tokens through all 30 layers, no logits, no cache.

Usage: transformers_forward.py OURS…   where OURS is a command that runs our forward once per call and prints one
JSON object with `precision`, `tokens_per_second` and `bound_tokens_per_second`.
"""

import json
import statistics
import subprocess
import sys
import time

import torch
from transformers import LlamaConfig, LlamaModel

ROUNDS = 5
SEQUENCES, LENGTH = 16, 128
CONFIG = LlamaConfig(
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    tie_word_embeddings=True,
)


def transformers_rate(model: LlamaModel, tokens: torch.Tensor) -> float:
    """Tokens per second of one forward."""
    start = time.perf_counter()
    with torch.no_grad():
        model(tokens, use_cache=False)
    return tokens.numel() / (time.perf_counter() - start)


def our_rate(command: list[str], precision: str) -> dict:
    """What our program reports for one precision."""
    output = subprocess.run([*command, "--precision", precision, "--json"], check=True, capture_output=True, text=True)
    return json.loads(output.stdout)


def row(name: str, rates: list[float], note: str = "") -> str:
    """One line of the table: the median and the spread."""
    return f"{name:<24}{statistics.median(rates):>9.0f}{min(rates):>9.0f}{max(rates):>9.0f}  {note}"


def main() -> None:
    command = sys.argv[1:]
    tokens = torch.randint(0, CONFIG.vocab_size, (SEQUENCES, LENGTH), generator=torch.Generator().manual_seed(0))
    models = {"f32": LlamaModel(CONFIG).float().eval(), "bf16": LlamaModel(CONFIG).bfloat16().eval()}
    theirs: dict[str, list[float]] = {precision: [] for precision in models}
    ours: dict[str, list[float]] = {precision: [] for precision in models}
    shares: dict[str, list[float]] = {precision: [] for precision in models}
    for precision, model in models.items():
        transformers_rate(model, tokens)
    for _ in range(ROUNDS):
        for precision, model in models.items():
            theirs[precision].append(transformers_rate(model, tokens))
            report = our_rate(command, precision)
            ours[precision].append(report["tokens_per_second"])
            shares[precision].append(report["tokens_per_second"] / report["bound_tokens_per_second"])
    print(f"forward, {SEQUENCES}x{LENGTH} tokens, {torch.get_num_threads()} threads; tokens/s, {ROUNDS} rounds")
    print(f"{'':<24}{'median':>9}{'min':>9}{'max':>9}")
    for precision in models:
        ratio = statistics.median(ours[precision]) / statistics.median(theirs[precision])
        share = statistics.median(shares[precision])
        print(row(f"transformers {precision}", theirs[precision]))
        print(row(f"glossator {precision}", ours[precision], f"{ratio:.2f}x, {share:.0%} of the product bound"))


if __name__ == "__main__":
    main()
