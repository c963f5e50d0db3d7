"""Scores simulations with the `automated-interpretability` package, for tests to compare with.

    python -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python make_goldens.py

Writes goldens.json: made-up activations and top log-probabilities of a simulator, and what the package makes of them:
expected values, correlation, R-squared and absolute deviation, uncalibrated and after each of its calibrations. The package's
R-squared divides by the mean square of the activations; ours by their variance, which the test allows for.
"""

import json
from pathlib import Path

import numpy as np
from neuron_explainer.activations.activation_records import calculate_max_activation, normalize_activations
from neuron_explainer.activations.activations import ActivationRecord
from neuron_explainer.explanations.calibrated_simulator import (
    LinearCalibratedNeuronSimulator,
    PercentileMatchingCalibratedNeuronSimulator,
    UncalibratedNeuronSimulator,
)
from neuron_explainer.explanations.explanations import ActivationScale, ScoredSequenceSimulation, SequenceSimulation
from neuron_explainer.explanations.scoring import aggregate_scored_sequence_simulations
from neuron_explainer.explanations.simulator import compute_predicted_activation_stats_for_token

CALIBRATIONS = {
    "none": UncalibratedNeuronSimulator,
    "linear": LinearCalibratedNeuronSimulator,
    "percentile": PercentileMatchingCalibratedNeuronSimulator,
}


def f32(values):
    return [float(np.float32(round(float(value), 4))) for value in values]


def excerpt(rng, tokens):
    """Activations, and for each token the top log-probabilities at its place, numbers and other words."""
    true = f32(np.where(rng.random(tokens) < 0.3, rng.gamma(2.0, 1.5, tokens), rng.normal(-0.1, 0.08, tokens)))
    places = []
    for value in true:
        numbers = rng.choice(11, size=rng.integers(2, 8), replace=False)
        logits = rng.normal(0, 1.5, len(numbers)) - 0.5 * abs(numbers - value - rng.normal())
        mass = np.exp(logits) / np.exp(logits).sum() * rng.uniform(0.5, 0.99)
        place = {str(number): float(np.log(p)) for number, p in zip(numbers, mass)}
        place["unknown"] = float(np.log(1 - mass.sum()))
        places.append({token: round(value, 5) for token, value in place.items()})
    expected = [compute_predicted_activation_stats_for_token(place)[1] for place in places]
    return {"true": true, "top_logprobs": places, "expected": [float(value) for value in expected]}


def simulation(one, expected):
    return SequenceSimulation(
        tokens=["x"] * len(one["true"]),
        expected_activations=expected,
        activation_scale=ActivationScale.SIMULATED_NORMALIZED_ACTIVATIONS,
        distribution_values=[],
        distribution_probabilities=[],
    )


def score(excerpts, apply):
    sequences = [
        ScoredSequenceSimulation(
            simulation=simulation(one, apply(one["expected"])),
            true_activations=one["true"],
            ev_correlation_score=None,  # of the excerpt alone; the aggregate does not use it
        )
        for one in excerpts
    ]
    scored = aggregate_scored_sequence_simulations(sequences)
    return {
        "correlation": float(scored.ev_correlation_score),
        "r_squared": scored.rsquared_score,
        "absolute_deviation_explained": scored.absolute_dev_explained_score,
    }


def case(seed):
    rng = np.random.default_rng(seed)
    excerpts = [excerpt(rng, 16) for _ in range(6)]
    calibrating = [excerpt(rng, 16) for _ in range(4)]
    scores = {}
    for name, simulator in CALIBRATIONS.items():
        calibrated = simulator(None)
        calibrated.calibrate_from_simulations(
            [ActivationRecord(tokens=["x"] * 16, activations=one["true"]) for one in calibrating],
            [simulation(one, one["expected"]) for one in calibrating],
        )
        scores[name] = score(excerpts, calibrated.apply_calibration)
    record = ActivationRecord(tokens=["x"] * 16, activations=excerpts[0]["true"])
    discretised = normalize_activations(record.activations, calculate_max_activation([record]))
    return {"excerpts": excerpts, "calibrating": calibrating, "scores": scores, "discretised": discretised}


def main():
    path = Path(__file__).with_name("goldens.json")
    cases = [case(seed) for seed in range(3)]
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
