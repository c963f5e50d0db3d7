#!/usr/bin/env bash
# Every comparison of this project, in one run on one machine. See README.md beside this file.
#
# Usage: run.sh DIRECTORY    with the demo model and the demo atlas in it (`make demo-atlas`)
set -euo pipefail

directory=$1
model=$directory/SmolLM2-135M-Instruct.Q4_1.gguf
atlas=$directory/smollm2.atlas
environment=${BENCH_ENVIRONMENT:-.cache/bench}

# All at once, so that what they share is built once.
cargo build --release --locked -p glossator-kernels -p glossator-model -p glossator-corpus -p glossator-dictionary \
    -p glossator-llm -p glossator-explain --example matrix_product_bench --example forward_speed --example runtime_speed \
    --example token_windows --example training_speed --example training_comparison --example local_speed \
    --example neuron2graph_speed

if [ ! -x "$environment/bin/python" ]; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --requirement bench/requirements.txt
fi

echo "## Matrix products"
target/release/examples/matrix_product_bench
echo
echo "## Forward"
"$environment/bin/python" bench/transformers_forward.py target/release/examples/forward_speed "$model"
echo
echo "## Recording: 65,536 tokens into a fresh atlas"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
target/release/glossator record --model "$model" --corpus "$directory/corpus.jsonl" --hook 'blocks.*.mlp.hook_post' \
    --tokens 65536 --atlas "$scratch/bench.atlas"
echo
echo "## Neuron2Graph at layer 10"
target/release/examples/neuron2graph_speed "$atlas" "$model" 10 64
echo
explainer=$directory/explainer/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
if [ -e "$explainer" ]; then
    llama=${BENCH_LLAMA_ENVIRONMENT:-.cache/bench-llama}
    if [ ! -x "$llama/bin/python" ]; then
        python3 -m venv "$llama"
        CMAKE_ARGS=-DGGML_NATIVE=ON "$llama/bin/pip" install --quiet --requirement bench/requirements-llama.txt
    fi
    echo "## The local runtime: reading and writing"
    target/release/examples/runtime_speed "$explainer"
    echo
    echo "## Explaining and simulating: ours and llama.cpp's server"
    "$llama/bin/python" bench/local_runtime.py "$explainer" "$directory/corpus.jsonl" target/release/examples/local_speed
    echo
else
    echo "the local runtime is not measured: \`make demo-explainer\` fetches the model" >&2
fi
echo "## Training dictionaries: the same rows of blocks.15.hook_resid_post for every program"
target/release/examples/token_windows "$model" "$directory/corpus.jsonl" 128 800 > "$scratch/windows.txt"
target/release/glossator activations --model "$model" --precision bf16 --tokens-file "$scratch/windows.txt" \
    --hook blocks.15.hook_resid_post --out "$scratch/rows.safetensors"
"$environment/bin/python" bench/dictionary_training.py "$scratch/rows.safetensors" target/release/examples/training_comparison
echo
echo "## Training TopK dictionaries: ours, by size and k, on synthetic rows"
target/release/examples/training_speed 4096:32 16384:32 65536:32 262144:32 1048576:32
target/release/examples/training_speed 16384:16 16384:64 16384:128 16384:256
echo "The same with half of the latents dead"
target/release/examples/training_speed 16384:32 dead
