#!/usr/bin/env bash
# The demo's pipeline: train a small dictionary on the middle of SmolLM2-135M, record every MLP neuron and the dictionary's
# features, explain all of them by token lookup, some by Neuron2Graph and a few in words, score the explanations. What is
# there already is reused.
#
# Usage: run.sh DIRECTORY    with the demo model and corpus in it; writes DIRECTORY/smollm2.atlas
set -euo pipefail

directory=$1
glossator=${GLOSSATOR:-target/release/glossator}
model=$directory/SmolLM2-135M-Instruct.Q4_1.gguf
atlas=$directory/smollm2.atlas
dictionaries=$directory/dictionaries/demo
features=blocks.15.hook_resid_post.hook_sae_acts_post
# Units that Neuron2Graph explains, drawn at random over all hook points, and as many features again.
sample=(--units 'random:80@0' --units "$features:0-79")
# Those of them that a language model explains in words, where the demo explainer is there.
words=(--units 'random:2@0' --units "$features:0-1")
explainer=$directory/explainer/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf

# What a finished run leaves: this pipeline, and whether it had an explainer.
finished=$directory/smollm2.finished
made="$(sha256sum < "$0") $([ -e "$explainer" ] && echo "in words" || echo "without words")"
if [ -e "$atlas" ] && [ "$(cat "$finished" 2> /dev/null)" = "$made" ]; then
    echo "the atlas $atlas is finished" >&2
    exit
fi

start=$SECONDS
mkdir -p "$dictionaries"
cat > "$dictionaries/run.toml" <<RUN
# An eighth of the training text of configs/smollm2-resid-topk.toml, and half as many latents.
model = "$model"
corpus = ["$directory/corpus.jsonl"]
out = "$dictionaries"
tokens = 300_000
context = 128
windows_per_document = 64

[[dictionary]]
name = "resid15-x8-k32"
hook = "blocks.15.hook_resid_post"
expansion = 8
k = 32
dead_after = 100_000
warm_up = 20
RUN
[ -e "$dictionaries/resid15-x8-k32/dictionary/cfg.json" ] || "$glossator" train "$dictionaries/run.toml"
"$glossator" record --atlas "$atlas" --model "$model" --dictionary "$dictionaries/resid15-x8-k32/dictionary" \
    --corpus "$directory/corpus.jsonl" --hook 'blocks.*.mlp.hook_post' --tokens 262144
"$glossator" explain --atlas "$atlas" --explainer lookup
"$glossator" explain --atlas "$atlas" --explainer n2g,n2g+lookup "${sample[@]}"
"$glossator" score --atlas "$atlas" --explainer lookup --baseline none
"$glossator" score --atlas "$atlas" --explainer lookup,n2g,n2g+lookup "${sample[@]}" --baseline
if [ -e "$explainer" ]; then
    "$glossator" explain --atlas "$atlas" --explainer llm:max-act "${words[@]}" --llm "$explainer"
    "$glossator" score --atlas "$atlas" --explainer llm:max-act --simulator grades --uncalibrated "${words[@]}" \
        --llm "$explainer" --baseline none
else
    echo "for explanations in words: make demo-explainer (1.1 GB), then make demo again" >&2
fi
echo "$made" > "$finished"
echo "the atlas is $atlas; the pipeline took $((SECONDS - start)) s" >&2
