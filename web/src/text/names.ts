// Names of explainers, measures, samples and splits as a reader sees them.

const explainers: Record<string, string> = {
  n2g: "Neuron2Graph",
  "n2g+lookup": "Neuron2Graph, else token lookup",
  lookup: "Token lookup",
};

const metrics: Record<string, string> = {
  correlation: "Pearson correlation",
  r_squared: "R², calibrated",
  absolute_deviation_explained: "Absolute deviation explained",
  precision: "Precision of firing",
  recall: "Recall of firing",
  f1: "F1 of firing",
};

/** Order of showing: explanations first, the baseline that they are compared with last. */
export const byInterest = (a: string, b: string): number =>
  Number(a === "lookup") - Number(b === "lookup") || a.localeCompare(b);

const samples: Record<string, string> = {
  top_and_random: "top and random excerpts",
  random_only: "random excerpts",
  top_only: "top excerpts",
};

const words = (name: string) => name.replace(/_/g, " ");

export const explainerTitle = (name: string): string => explainers[name] ?? name;
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
