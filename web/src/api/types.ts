// What the page receives: the JSON documents of `docs/reference/http-api.md`.

/** A score with its bootstrap confidence interval; `null` means undefined, never zero. */
export interface Score {
  /** Who scored: `prediction` where the explanation itself predicts, or a method with its language model. */
  scorer: string;
  /** For example `correlation`. */
  metric: string;
  /** The excerpts it was computed on, for example `top_and_random`. */
  sample: string;
  split: Split;
  value: number | null;
  low: number | null;
  high: number | null;
  /** Tokens that went into it. */
  tokens: number;
  /** Why it is undefined, or another remark. */
  remark: string | null;
}

export interface HookSummary {
  hook: string;
  /** Units recorded at this hook point. */
  units: number;
  /** How many of them each explainer has explained. */
  explained: Record<string, number>;
}

export interface ExplainerSummary {
  name: string;
  /** Units it has explained. */
  units: number;
  /** Units whose headline score is defined. */
  scored: number;
  /** Mean headline score over the units where it is defined. */
  mean_score: number | null;
}

/** A labelled fact about the run, shown as it is. */
export interface Fact {
  label: string;
  value: string;
}

export interface AtlasSummary {
  name: string;
  /** Version of the atlas schema. */
  schema: number;
  /** Name of the subject model. */
  model: string;
  /** The facts of the model, the corpus and the run, in the order to show them. */
  facts: Fact[];
  hooks: HookSummary[];
  explainers: ExplainerSummary[];
  /** The score that lists show and sort by. */
  headline: { metric: string; sample: string };
}

export interface UnitExplanation {
  explainer: string;
  text: string;
  /** The headline score. */
  score: Score | null;
}

export interface UnitSummary {
  hook: string;
  index: number;
  /** Share of tokens where the activation is above zero. */
  density: number;
  max: number;
  mean: number;
  /** The tokens with the largest mean activation. */
  tokens: string[];
  explanations: UnitExplanation[];
}

export interface UnitList {
  total: number;
  offset: number;
  units: UnitSummary[];
}

export type SortKey = "unit" | "score" | "density" | "max";

export interface UnitQuery {
  hook: string | null;
  sort: SortKey;
  /** The explainer whose headline score sorts the list. */
  explainer: string | null;
  descending: boolean;
  /** Words looked for in unit names, tokens and explanations. */
  search: string;
  /** Only units that this explainer has explained. */
  explainedBy: string | null;
  offset: number;
  limit: number;
}

export interface Explanation {
  explainer: string;
  text: string;
  scores: Score[];
  /** How it came to be, where it was revised by test sentences. */
  revision: Revision | null;
}

/** Rounds of test sentences; scores are correlations over top and random excerpts. */
export interface Revision {
  initial: string;
  initial_valid: number | null;
  rounds: Round[];
  /** The round whose explanation is kept, from 0; `null` where the first explanation stays. */
  kept: number | null;
  initial_test: number | null;
  kept_test: number | null;
}

export interface Round {
  /** The explanation that was tested. */
  tested: string;
  sentences: TestSentence[];
  revised: string | null;
  /** The revised explanation's score on the valid split, on which the kept round is chosen. */
  valid: number | null;
  /** Why the round brought nothing. */
  failure: string | null;
}

export interface TestSentence {
  text: string;
  /** Whether the explanation says that the unit fires on it; `null` for a text that was not written to test it. */
  expected: boolean | null;
  /** The largest activation as a share of the unit's maximum, and the token on which it is. */
  share: number;
  token: string;
  /** Whether the unit fires: at least half of its maximum. */
  fires: boolean;
}

export type Split = "train" | "calibration" | "valid" | "test";

export interface Excerpt {
  window: number;
  /** Where the window comes from: source file and document. */
  document: string;
  /** Position of the first token in its document. */
  offset: number;
  /** Place on its list, from 0. */
  rank: number;
  split: Split;
  /** The largest activation at a counted position. */
  max: number;
  tokens: string[];
  activations: number[];
  /** What explanations predict; only excerpts used for scoring have any. */
  simulations: Simulation[];
}

/** What an explanation predicts for an excerpt, token by token. */
export interface Simulation {
  explainer: string;
  /** Who predicts, as in `Score`. */
  scorer: string;
  activations: number[];
}

export interface Interval {
  /** Nominal quantiles of the window maximum, e.g. 0.5 and 0.9. */
  from_quantile: number;
  to_quantile: number;
  /** Values of the window maximum that bound it. */
  low: number;
  high: number;
  /** Windows in it, and their share of all windows. */
  windows: number;
  share: number;
  excerpts: Excerpt[];
}

/** A bucket of the activation histogram; empty ones are left out, infinite edges are `null`. */
export interface Bucket {
  low: number | null;
  high: number | null;
  count: number;
}

export interface TokenMean {
  token: string;
  mean: number;
  count: number;
}

export interface LogitWeight {
  token: string;
  weight: number;
}

export interface SimilarUnit {
  hook: string;
  index: number;
  cosine: number;
  text: string | null;
}

/** A neuron that a feature is made of. */
export interface RelatedNeuron {
  hook: string;
  index: number;
  /** Correlation of activations, or cosine of output directions. */
  value: number;
  text: string | null;
}

export interface UnitName {
  hook: string;
  index: number;
}

export interface Statistics {
  /** Tokens that were counted. */
  tokens: number;
  mean: number;
  variance: number;
  skewness: number | null;
  kurtosis: number | null;
  density: number;
  min: number;
  max: number;
}

export interface Unit {
  hook: string;
  index: number;
  statistics: Statistics;
  explanations: Explanation[];
  /** The windows with the largest maximum, largest first. */
  top: Excerpt[];
  /** Excerpts from every interval of the window maximum, lowest first. */
  intervals: Interval[];
  /** Random windows, the same ones for every unit of the atlas. */
  random: Excerpt[];
  histogram: Bucket[];
  token_means: { top: TokenMean[]; bottom: TokenMean[] };
  logit_weights: { promoted: LogitWeight[]; suppressed: LogitWeight[] };
  similar: SimilarUnit[];
  /** Empty for neurons, and for features recorded without the neurons of their layer. */
  neurons: { correlated: RelatedNeuron[]; aligned: RelatedNeuron[] };
  previous: UnitName | null;
  next: UnitName | null;
}
