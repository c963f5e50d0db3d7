#!/usr/bin/env bash
# The demo's pipeline: record every MLP neuron of SmolLM2-135M, explain all of them by token lookup and some in every
# layer by Neuron2Graph, score the explanations. What is there already is reused.
#
# Usage: run.sh DIRECTORY    with the demo model and corpus in it; writes DIRECTORY/smollm2.atlas
set -euo pipefail

directory=$1
glossator=${GLOSSATOR:-target/release/glossator}
atlas=$directory/smollm2.atlas
# Neurons that Neuron2Graph explains, drawn at random over all layers.
sample='random:200@0'

start=$SECONDS
"$glossator" record --atlas "$atlas" --model "$directory/SmolLM2-135M-Instruct.Q4_1.gguf" \
    --corpus "$directory/corpus.jsonl" --hook 'blocks.*.mlp.hook_post' --tokens 262144
"$glossator" explain --atlas "$atlas" --explainer lookup
"$glossator" explain --atlas "$atlas" --explainer n2g,n2g+lookup --units "$sample"
"$glossator" score --atlas "$atlas" --explainer lookup
"$glossator" score --atlas "$atlas" --explainer lookup,n2g,n2g+lookup --units "$sample" --baseline
echo "the atlas is $atlas; the pipeline took $((SECONDS - start)) s" >&2
