"""Compares the most likely next token with transformers on real text, position by position.

`python real_text.py MODEL.gguf TOP_TOKENS [TEXT...]`: TOP_TOKENS is the built example of that name
(`cargo build --release -p glossator-model --example top_tokens`), TEXT are files or directories (default:
/usr/share/doc). transformers dequantises the same GGUF file and runs in float32.

`python real_text.py MODEL.gguf --golden FILE TEXT...` writes the windows and transformers' most likely tokens to a JSON
file instead. goldens/smollm2_top_tokens.json was made of this project's own documents:
`python real_text.py MODEL.gguf --golden goldens/smollm2_top_tokens.json ../README.md ../ARCHITECTURE.md ../docs ../crates`.
"""

import gzip
import json
import pathlib
import subprocess
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

LENGTH, WINDOWS, GOLDEN_WINDOWS = 128, 168, 64


def texts(places):
    """Readable files under the places, in the order of their names."""
    for place in places:
        place = pathlib.Path(place)
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file() and not file.is_symlink():
                data = file.read_bytes()
                data = gzip.decompress(data) if file.suffix == ".gz" else data
                text = data.decode(errors="ignore")
                if len(text) > 2000:
                    yield text


def write_golden(path, windows, top):
    """One window a line, so that the file reads."""
    rows = [json.dumps({"tokens": window, "top": top[i * LENGTH : (i + 1) * LENGTH]}) for i, window in enumerate(windows)]
    pathlib.Path(path).write_text("[\n" + ",\n".join(rows) + "\n]\n")


def main():
    gguf, command, *places = sys.argv[1:]
    golden = places.pop(0) if command == "--golden" else None
    gguf = pathlib.Path(gguf)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    windows = []
    for text in texts(places or ["/usr/share/doc"]):
        tokens = tokenizer(text[:4000], add_special_tokens=False).input_ids
        windows += [tokens[:LENGTH]] if len(tokens) >= LENGTH else []
        if len(windows) == (GOLDEN_WINDOWS if golden else WINDOWS):
            break
    lines = "".join(" ".join(map(str, window)) + "\n" for window in windows)
    theirs, margins = [], []
    with torch.no_grad():
        for window in windows:
            best = model(torch.tensor([window]), use_cache=False).logits[0].topk(2)
            theirs += best.indices[:, 0].tolist()
            margins += (best.values[:, 0] - best.values[:, 1]).tolist()
    if golden:
        write_golden(golden, windows, theirs)
        return
    print(f"{len(theirs)} positions in {len(windows)} windows of {LENGTH} tokens")
    for precision in ["f32", "bf16"]:
        output = subprocess.run([command, str(gguf), precision], input=lines, check=True, capture_output=True, text=True)
        ours = list(map(int, output.stdout.split()))
        assert len(ours) == len(theirs)
        wrong = [margin for ours, theirs, margin in zip(ours, theirs, margins) if ours != theirs]
        share = 1 - len(wrong) / len(theirs)
        print(f"{precision}: same top token at {share:.4%} ({len(wrong)} differ; "
              f"largest margin of a difference: {max(wrong, default=0):.4f} in logits)")


if __name__ == "__main__":
    main()
