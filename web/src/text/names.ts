// Names of explainers, measures, samples and splits as a reader sees them.

const explainers: Record<string, string> = {
  n2g: "Neuron2Graph",
  "n2g+lookup": "Neuron2Graph, else token lookup",
  lookup: "Token lookup",
  "llm:pairs": "Words, from token–activation pairs",
  "llm:max-act": "Words, from marked excerpts",
  "llm:contrastive": "Words, from excerpts and near misses",
  "llm:tokens": "Words, from tokens",
  "llm:logits": "Words, from excerpts and promoted tokens",
  "llm:n2g": "Words, from Neuron2Graph",
  "llm:senses": "Words, sense by sense",
};

const metrics: Record<string, string> = {
  correlation: "Pearson correlation",
  r_squared: "R², calibrated",
  absolute_deviation_explained: "Absolute deviation explained",
  precision: "Precision of firing",
  recall: "Recall of firing",
  f1: "F1 of firing",
};

/** What the explanation itself predicts, without a language model that reads it. */
const PREDICTION = "prediction";

const methods: Record<string, string> = {
  "simulation:grades": "graded",
  "simulation:one-at-a-time": "graded one at a time",
  "simulation:json": "answered as JSON",
};

/** `simulation:grades@MODEL` as “graded by MODEL”; nothing for what predicts itself. */
export function scorerTitle(scorer: string): string {
  if (scorer === PREDICTION) return "";
  const at = scorer.indexOf("@");
  if (at < 0) return words(scorer);
  const method = scorer.slice(0, at);
  return `${methods[method] ?? words(method)} by ${scorer.slice(at + 1)}`;
}

/** Who predicts activations: the explainer, and who reads its explanation if it is in words. */
export function predictorTitle({ explainer, scorer }: { explainer: string; scorer: string }): string {
  const reader = scorerTitle(scorer);
  return reader === "" ? explainerTitle(explainer) : `${explainerTitle(explainer)}, ${reader}`;
}

/** Whether a scorer's correlation is that of predicted activations. */
export const predicts = (scorer: string): boolean => scorer === PREDICTION || scorer.startsWith("simulation:");

/** Order of showing: explanations first, the baseline that they are compared with last. */
export const byInterest = (a: string, b: string): number =>
  Number(a === "lookup") - Number(b === "lookup") || a.localeCompare(b);

const samples: Record<string, string> = {
  top_and_random: "top and random excerpts",
  random_only: "random excerpts",
  top_only: "top excerpts",
};

/** What a name has after the method where the explanation was revised, and what each round showed. */
const revisions: Record<string, string> = {
  revised: ", revised",
  "revised-random": ", revised by random texts",
  "revised-nothing": ", revised without new texts",
};

const words = (name: string) => name.replace(/_/g, " ");

/** An explainer in words is named with its model, as `llm:max-act@MODEL`. */
export function explainerTitle(name: string): string {
  const at = name.indexOf("@");
  if (at < 0) return explainers[name] ?? name;
  const [method = "", ...how] = name.slice(0, at).split("+");
  const revised = how.map((word) => revisions[word] ?? "").join("");
  return `${explainers[method] ?? method}${revised} (${name.slice(at + 1)})`;
}
export const metricTitle = (name: string): string => metrics[name] ?? words(name);
export const sampleTitle = (name: string): string => samples[name] ?? words(name);

const splits: Record<string, string> = {
  train: "seen by the explainers",
  calibration: "fits the scale of predictions",
  valid: "kept for scoring",
  test: "kept for final scores",
};

/** The hook point of a dictionary's features, `….hook_sae_acts_post`, is shown as the place that it reads. */
export const hookTitle = (hook: string): string => hook.replace(/\.hook_sae_acts_post$/, " features");

export const splitTitle = (name: string): string => splits[name] ?? name;
