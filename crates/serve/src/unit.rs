//! `GET /api/units/{hook}/{index}`: everything about one unit.

use glossator_atlas::{
    Atlas, Excerpt, ExcerptKind, Explanation, HistogramBucket, QuantileInterval, RelatedNeuron, Score,
    Simulation, Split, UnitRecord, UnitStatistics, Vocabulary,
};
use glossator_model::UnitId;
use serde::Serialize;

use crate::document::{ScoreDocument, UnitName};
use crate::error::ServeError;
use crate::revision::RevisionDocument;

/// A unit with its evidence, texts borrowed from the atlas.
#[derive(Serialize)]
pub(crate) struct UnitDocument<'a> {
    #[serde(flatten)]
    unit: UnitName,
    statistics: &'a UnitStatistics,
    explanations: Vec<ExplanationDocument<'a>>,
    top: Vec<ExcerptDocument<'a>>,
    intervals: Vec<IntervalDocument<'a>>,
    random: Vec<ExcerptDocument<'a>>,
    histogram: &'a [HistogramBucket],
    token_means: TokenMeansDocument<'a>,
    logit_weights: LogitWeightsDocument<'a>,
    similar: Vec<SimilarDocument<'a>>,
    neurons: NeuronsDocument<'a>,
    previous: Option<UnitName>,
    next: Option<UnitName>,
}

#[derive(Serialize)]
struct ExplanationDocument<'a> {
    explainer: &'a str,
    text: &'a str,
    scores: Vec<ScoreDocument>,
    revision: Option<RevisionDocument>,
}

#[derive(Serialize)]
struct ExcerptDocument<'a> {
    window: u32,
    document: &'a str,
    offset: u32,
    rank: u32,
    split: Split,
    max: f32,
    tokens: Vec<&'a str>,
    activations: &'a [f32],
    simulations: Vec<SimulationDocument<'a>>,
}

#[derive(Serialize)]
struct SimulationDocument<'a> {
    explainer: &'a str,
    scorer: &'a str,
    activations: &'a [f32],
}

#[derive(Serialize)]
struct IntervalDocument<'a> {
    #[serde(flatten)]
    interval: &'a QuantileInterval,
    excerpts: Vec<ExcerptDocument<'a>>,
}

#[derive(Serialize)]
struct TokenMeansDocument<'a> {
    top: Vec<TokenMeanDocument<'a>>,
    bottom: Vec<TokenMeanDocument<'a>>,
}

#[derive(Serialize)]
struct TokenMeanDocument<'a> {
    token: &'a str,
    mean: f32,
    count: u32,
}

#[derive(Serialize)]
struct LogitWeightsDocument<'a> {
    promoted: Vec<LogitWeightDocument<'a>>,
    suppressed: Vec<LogitWeightDocument<'a>>,
}

#[derive(Serialize)]
struct LogitWeightDocument<'a> {
    token: &'a str,
    weight: f32,
}

#[derive(Serialize)]
struct SimilarDocument<'a> {
    #[serde(flatten)]
    unit: UnitName,
    cosine: f32,
    text: Option<&'a str>,
}

impl<'a> From<&'a Simulation> for SimulationDocument<'a> {
    fn from(simulation: &'a Simulation) -> Self {
        Self {
            explainer: &simulation.explainer,
            scorer: &simulation.scorer,
            activations: &simulation.activations,
        }
    }
}

/// The neurons that a feature is made of.
#[derive(Serialize)]
struct NeuronsDocument<'a> {
    correlated: Vec<NeuronDocument<'a>>,
    aligned: Vec<NeuronDocument<'a>>,
}

#[derive(Serialize)]
struct NeuronDocument<'a> {
    #[serde(flatten)]
    unit: UnitName,
    value: f32,
    text: Option<&'a str>,
}

/// What the document is made from, as read from the atlas.
pub(crate) struct UnitEvidence {
    record: UnitRecord,
    explanations: Vec<Explanation>,
    scores: Vec<Score>,
    simulations: Vec<Simulation>,
    /// The best explanation of each similar unit, in their order.
    similar: Vec<Option<String>>,
    /// Of each correlated neuron, and of each aligned one.
    neurons: [Vec<Option<String>>; 2],
}

impl UnitEvidence {
    pub(crate) fn read(atlas: &Atlas, unit: UnitId) -> Result<Self, ServeError> {
        let record = atlas.unit(unit)?;
        let explanations = atlas.explanations(unit)?;
        let mut simulations = Vec::new();
        for explanation in &explanations {
            simulations.extend(atlas.simulations(unit, &explanation.explainer)?);
        }
        let neighbours: Vec<_> = record.neighbours.iter().map(|neighbour| neighbour.unit).collect();
        let similar = atlas.best_texts(&neighbours)?;
        let texts = |neurons: &[RelatedNeuron]| {
            atlas.best_texts(&neurons.iter().map(|neuron| neuron.unit).collect::<Vec<_>>())
        };
        let neurons = [texts(&record.correlated_neurons)?, texts(&record.aligned_neurons)?];
        Ok(Self { scores: atlas.scores(unit)?, record, explanations, simulations, similar, neurons })
    }

    /// The document; `previous` and `next` are the units to page to.
    pub(crate) fn document<'a>(
        &'a self,
        vocabulary: &'a Vocabulary,
        previous: Option<UnitName>,
        next: Option<UnitName>,
    ) -> UnitDocument<'a> {
        let record = &self.record;
        let of_kind = |wanted: ExcerptKind| -> Vec<_> {
            let excerpts = record.excerpts.iter().filter(|excerpt| excerpt.kind == wanted);
            excerpts.map(|excerpt| self.excerpt(vocabulary, excerpt)).collect()
        };
        let intervals = record.intervals.iter().enumerate().map(|(i, interval)| IntervalDocument {
            interval,
            excerpts: of_kind(ExcerptKind::Quantile { interval: i as u8 }),
        });
        UnitDocument {
            unit: record.unit.into(),
            statistics: &record.statistics,
            explanations: self.explanations.iter().map(|one| self.explanation(one)).collect(),
            top: of_kind(ExcerptKind::Top),
            intervals: intervals.collect(),
            random: of_kind(ExcerptKind::Random),
            histogram: &record.histogram,
            token_means: TokenMeansDocument {
                top: token_means(vocabulary, &record.top_tokens),
                bottom: token_means(vocabulary, &record.bottom_tokens),
            },
            logit_weights: LogitWeightsDocument {
                promoted: logit_weights(vocabulary, &record.top_logits),
                suppressed: logit_weights(vocabulary, &record.bottom_logits),
            },
            similar: self.similar(),
            neurons: NeuronsDocument {
                correlated: neurons(&record.correlated_neurons, &self.neurons[0]),
                aligned: neurons(&record.aligned_neurons, &self.neurons[1]),
            },
            previous,
            next,
        }
    }

    fn explanation<'a>(&'a self, explanation: &'a Explanation) -> ExplanationDocument<'a> {
        let scores = self.scores.iter().filter(|score| score.explainer == explanation.explainer);
        ExplanationDocument {
            explainer: &explanation.explainer,
            text: &explanation.text,
            scores: scores.cloned().map(ScoreDocument::from).collect(),
            revision: RevisionDocument::of(explanation),
        }
    }

    fn excerpt<'a>(&'a self, vocabulary: &'a Vocabulary, excerpt: &'a Excerpt) -> ExcerptDocument<'a> {
        let simulated = self.simulations.iter().filter(|simulation| {
            // Quantile excerpts are never scored, even where the same window is on a scored list.
            !matches!(excerpt.kind, ExcerptKind::Quantile { .. }) && simulation.window == excerpt.window
        });
        ExcerptDocument {
            window: excerpt.window,
            document: &excerpt.document,
            offset: excerpt.offset,
            rank: excerpt.rank,
            split: excerpt.split,
            max: excerpt.max,
            tokens: excerpt.tokens.iter().map(|&token| vocabulary.text(token)).collect(),
            activations: &excerpt.activations,
            simulations: simulated.map(SimulationDocument::from).collect(),
        }
    }

    fn similar(&self) -> Vec<SimilarDocument<'_>> {
        let neighbours = self.record.neighbours.iter().zip(&self.similar);
        neighbours
            .map(|(neighbour, text)| SimilarDocument {
                unit: neighbour.unit.into(),
                cosine: neighbour.cosine,
                text: text.as_deref(),
            })
            .collect()
    }
}

fn neurons<'a>(neurons: &[RelatedNeuron], texts: &'a [Option<String>]) -> Vec<NeuronDocument<'a>> {
    let pairs = neurons.iter().zip(texts);
    pairs
        .map(|(neuron, text)| NeuronDocument {
            unit: neuron.unit.into(),
            value: neuron.value,
            text: text.as_deref(),
        })
        .collect()
}

fn token_means<'a>(
    vocabulary: &'a Vocabulary,
    means: &[glossator_atlas::TokenMean],
) -> Vec<TokenMeanDocument<'a>> {
    means
        .iter()
        .map(|entry| TokenMeanDocument {
            token: vocabulary.text(entry.token),
            mean: entry.mean,
            count: entry.count,
        })
        .collect()
}

fn logit_weights<'a>(
    vocabulary: &'a Vocabulary,
    weights: &[glossator_atlas::TokenWeight],
) -> Vec<LogitWeightDocument<'a>> {
    weights
        .iter()
        .map(|entry| LogitWeightDocument { token: vocabulary.text(entry.token), weight: entry.weight })
        .collect()
}
