"""Reads what `glossator export --format openai` wrote with the readers of the `automated-interpretability` package.

    .venv/bin/python check_published.py DIRECTORY    (a directory with collated-activations/ in it; requirements.txt)

Every file must load as the class that it names, and give the same JSON again; the package's splits must have the sequences that
were scored, and its correlation must be ours; activations must be
the means of their distributions. Prints what was read; ends with an error at the first difference.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
from neuron_explainer.activations.activations import ActivationRecordSliceParams, NeuronRecord
from neuron_explainer.activations.token_connections import (
    TokenLookupTableSummaryOfNeuron,
    WeightBasedSummaryOfNeuron,
)
from neuron_explainer.explanations.explanations import ActivationScale, NeuronSimulationResults
from neuron_explainer.explanations.scoring import correlation_score
from neuron_explainer.fast_dataclasses import dumps, loads

# Fields that newer versions of the package have and the release has not.
ADDED = {"dfa_values", "dfa_target_index"}


def plain(value):
    """JSON without the fields that the package adds."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if not (key in ADDED and one is None)}
    return [plain(one) for one in value] if isinstance(value, list) else value


def read(path, wanted):
    text = path.read_bytes()
    found = loads(text, backwards_compatible=False)
    assert isinstance(found, wanted), f"{path}: {type(found).__name__}, not {wanted.__name__}"
    assert plain(json.loads(dumps(found))) == json.loads(text), f"{path}: another JSON comes back"
    return found


def close(one, other):
    """Scores that are equal, or both undefined."""
    if one is None or math.isnan(other):
        return one is None and math.isnan(other)
    return abs(one - other) < 1e-6


def check_distributions(path, simulation):
    """The number of tokens with a distribution, whose mean is the activation; the same of the simulation before calibration."""
    known = 0
    places = zip(simulation.distribution_values, simulation.distribution_probabilities, strict=True)
    for place, (values, probabilities) in enumerate(places):
        assert len(values) == len(probabilities), path
        if values:
            known += 1
            mean = np.dot(values, probabilities)
            scale = max(abs(value) for value in values) or 1.0
            assert abs(sum(probabilities) - 1) < 1e-4, path
            assert abs(mean - simulation.expected_activations[place]) < 1e-3 * scale, path
    assert not known or len(simulation.distribution_values) == len(simulation.tokens), path
    inside = simulation.uncalibrated_simulation
    if inside is not None:
        assert inside.activation_scale == ActivationScale.SIMULATED_NORMALIZED_ACTIVATIONS, path
        assert all(0 <= value <= 10 for values in inside.distribution_values for value in values), path
        assert inside.distribution_probabilities == simulation.distribution_probabilities, path
        check_distributions(path, inside)
    return known


def check_explanations(path, record):
    results = read(path, NeuronSimulationResults)
    per_split = ActivationRecordSliceParams(n_examples_per_split=5)
    test = record.test_activation_records(activation_record_slice_params=per_split)
    known = [one.tokens for one in test] + [one.tokens for one in record.valid_activation_records(per_split)]
    distributions = 0
    for explanation in results.scored_explanations:
        scored = explanation.scored_simulation
        for one in scored.scored_sequence_simulations:
            simulation = one.simulation
            assert simulation.tokens in known, f"{path}: a sequence that is in no scored split"
            distributions += check_distributions(path, simulation)
            with np.errstate(invalid="ignore", divide="ignore"):
                found = correlation_score(one.true_activations, simulation.expected_activations)
            assert close(one.ev_correlation_score, found), f"{path}: {one.ev_correlation_score}, not {found}"
    return len(results.scored_explanations), distributions


def check_related(path):
    related = json.loads(path.read_text())
    assert set(related) == {"c_fc", "c_proj"}, path
    for side in filter(None, related.values()):
        for sign, falls in [("positive", True), ("negative", False)]:
            names, weights = side[f"top_{sign}_neurons"], side[f"top_{sign}_weights"]
            assert len(names) == len(weights) and weights == sorted(weights, reverse=falls), path
            assert all(len([int(part) for part in name.split("_")]) == 2 for name in names), path
    return sum(side is not None for side in related.values())


def main(root):
    counts = dict(neurons=0, explanations=0, distributions=0, sides=0, input_tokens=0)
    for path in sorted(root.glob("collated-activations/*/*.json")):
        name = "/".join(path.parts[-2:])
        record = read(path, NeuronRecord)
        assert (record.neuron_id.layer_index, record.neuron_id.neuron_index) == tuple(
            int(part) for part in name.removesuffix(".json").split("/")
        )
        read(root / "related-tokens/activation-based" / name, TokenLookupTableSummaryOfNeuron)
        weights = read(root / "related-tokens/weight-based" / name, WeightBasedSummaryOfNeuron)
        counts["neurons"] += 1
        counts["input_tokens"] += len(weights.input_positive.tokens)
        counts["sides"] += check_related(root / "related-neurons/weight-based" / name)
        explanations = root / "explanations" / f"{name}l"
        if explanations.exists():
            found, distributions = check_explanations(explanations, record)
            counts["explanations"] += found
            counts["distributions"] += distributions
    assert counts["neurons"] > 0, f"{root} holds no collated-activations"
    print(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
