"""Writes made-up neurons as the `automated-interpretability` package serialises them, for the importer's test to read.

    python -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python make_published.py

Writes published/: two neurons of layer 1 in the layout of OpenAI's release. The second has no explanation, moments that are
undefined, and no quantiles. Scores are the package's own.
"""

import asyncio
import shutil
from pathlib import Path

import numpy as np
from neuron_explainer.activations.activations import ActivationRecord, NeuronId, NeuronRecord
from neuron_explainer.explanations.explanations import (
    ActivationScale,
    NeuronSimulationResults,
    ScoredExplanation,
    SequenceSimulation,
)
from neuron_explainer.explanations.scoring import simulate_and_score
from neuron_explainer.explanations.simulator import NeuronSimulator
from neuron_explainer.fast_dataclasses import dumps

TOKENS = [" the", " cat", "<|endoftext|>", "\n", " naïve", "\ufffd"]
LENGTH = 8
LAYER = 1


def record(rng, high):
    tokens = [TOKENS[place] for place in rng.integers(0, len(TOKENS), LENGTH)]
    values = [round(float(high if token == " cat" else rng.uniform(0, 0.5)), 3) for token in tokens]
    return ActivationRecord(tokens=tokens, activations=values)


class Fixed(NeuronSimulator):
    """A simulation that is known beforehand, with a distribution at every token."""

    async def simulate(self, tokens):
        expected = [8.0 if token == " cat" else 1.0 for token in tokens]
        return SequenceSimulation(
            tokens=tokens,
            expected_activations=expected,
            activation_scale=ActivationScale.SIMULATED_NORMALIZED_ACTIVATIONS,
            distribution_values=[[0.0, 10.0]] * len(tokens),
            distribution_probabilities=[[round(1 - value / 10, 3), value / 10] for value in expected],
        )


def neuron(rng, index, whole):
    return NeuronRecord(
        neuron_id=NeuronId(layer_index=LAYER, neuron_index=index),
        random_sample=[record(rng, 4.0) for _ in range(6)],
        random_sample_by_quantile=[[record(rng, 2.0 + q) for _ in range(2)] for q in range(4)] if whole else None,
        quantile_boundaries=[0, 0.5, 0.9, 0.99, 0.999] if whole else None,
        mean=0.4 if whole else None,
        variance=1.25 if whole else None,
        skewness=2.5 if whole else None,
        kurtosis=9.0 if whole else None,
        most_positive_activation_records=[record(rng, 6.0) for _ in range(8)],
    )


def main():
    rng = np.random.default_rng(7)
    root = Path(__file__).parent / "published"
    shutil.rmtree(root, ignore_errors=True)
    for index, whole in enumerate([True, False]):
        made = neuron(rng, index, whole)
        path = root / f"collated-activations/{LAYER}/{index}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dumps(made))
        if not whole:
            continue
        sequences = made.most_positive_activation_records[3::4] + made.random_sample[2::3]
        scored = asyncio.run(simulate_and_score(Fixed(), sequences))
        results = NeuronSimulationResults(
            neuron_id=made.neuron_id,
            scored_explanations=[ScoredExplanation(explanation=" the word cat", scored_simulation=scored)],
        )
        path = root / f"explanations/{LAYER}/{index}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dumps(results))


if __name__ == "__main__":
    main()
