//! Do explainers recover the concept? An explainer is shown a puzzle's texts as it would be shown a unit's training
//! excerpts, and what it finds is scored by a judge on the other texts, beside the true and the false explanations.

use glossator_atlas::{Excerpt, ExcerptKind, Split, Vocabulary};
use glossator_llm::{Capabilities, Failure, Outcome, Request};
use serde::Serialize;

use super::{FIRING, Puzzle, TrialOutcome};
use crate::ExplainError;
use crate::classification::Example;
use crate::prompts::Prompts;
use crate::words::{Draft, Evidence, Method, answer};

/// A puzzle as a unit with a vocabulary of its own.
pub struct Shown {
    vocabulary: Vocabulary,
    top: Vec<Excerpt>,
    lower: Vec<Excerpt>,
}

/// What an explainer found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recovery {
    /// The puzzle.
    pub puzzle: String,
    /// The true explanation.
    pub truth: String,
    /// What was found, if there was an answer that can be used.
    pub found: Option<String>,
    /// Its score.
    pub score: Option<f64>,
    /// The true explanation's.
    pub true_score: Option<f64>,
    /// The best false explanation's.
    pub false_score: Option<f64>,
}

impl Recovery {
    /// Whether what was found scores higher than every false explanation; undefined without scores.
    pub fn recovered(&self) -> Option<bool> {
        Some(self.score? > self.false_score?)
    }

    /// From the trial of the true and false explanations, and that of what was found.
    pub fn new(puzzle: &Puzzle, known: &TrialOutcome, found: Option<(String, &TrialOutcome)>) -> Self {
        let scores = |is_true: bool| known.scores.iter().filter(move |(one, _)| one.is_true == is_true);
        let best = scores(false).map(|(_, score)| *score).collect::<Option<Vec<f64>>>();
        let score = found.as_ref().and_then(|(_, outcome)| outcome.scores.first()?.1);
        Self {
            puzzle: puzzle.name.clone(),
            truth: puzzle.truth.clone(),
            found: found.map(|(text, _)| text),
            score,
            true_score: scores(true).find_map(|(_, score)| *score),
            false_score: best.and_then(|scores| scores.into_iter().reduce(f64::max)),
        }
    }
}

impl Shown {
    /// The texts for explainers: those on which the unit fires as its top excerpts, the others as excerpts from lower
    /// intervals.
    pub fn new(puzzle: &Puzzle) -> Self {
        let mut texts: Vec<String> =
            puzzle.shown.iter().flat_map(|text| text.tokens.iter().cloned()).collect();
        texts.sort_unstable();
        texts.dedup();
        let excerpt = |kind: ExcerptKind, text: &Example| Excerpt {
            kind,
            rank: 0,
            split: Split::Train,
            window: text.window,
            document: puzzle.name.clone(),
            offset: 0,
            tokens: text
                .tokens
                .iter()
                .map(|token| texts.partition_point(|text| text < token) as u32)
                .collect(),
            activations: text.activations.clone(),
            max: if text.fires { FIRING } else { 0.0 },
        };
        let of = |fires: bool, kind: ExcerptKind| -> Vec<Excerpt> {
            puzzle.shown.iter().filter(|text| text.fires == fires).map(|text| excerpt(kind, text)).collect()
        };
        let (top, lower) = (of(true, ExcerptKind::Top), of(false, ExcerptKind::Quantile { interval: 0 }));
        Self { vocabulary: Vocabulary::of_texts(texts), top, lower }
    }

    /// What an explainer may see.
    pub(super) fn evidence(&self) -> Evidence<'_> {
        Evidence {
            vocabulary: &self.vocabulary,
            ignored: 0,
            maximum: FIRING,
            top: self.top.clone(),
            lower: self.lower.clone(),
            tokens: Vec::new(),
            promoted: Vec::new(),
            patterns: None,
        }
    }

    fn draft(&self, method: Method) -> Option<Draft> {
        method.drafts(&self.evidence()).into_iter().next()
    }

    /// The request for an explanation; `None` if the method shows what puzzles do not have.
    pub fn request(
        &self,
        method: Method,
        prompts: &Prompts,
        capabilities: Capabilities,
    ) -> Result<Option<Request>, ExplainError> {
        let Some(draft) = self.draft(method) else { return Ok(None) };
        Ok(Some(method.request(prompts, capabilities, &draft, 0)?))
    }

    /// The explanation in an outcome.
    pub fn read(
        &self,
        method: Method,
        prompts: &Prompts,
        outcome: &Outcome,
    ) -> Result<Result<String, Failure>, ExplainError> {
        let echo =
            self.draft(method).map(|draft| method.echo(prompts, &draft)).transpose()?.unwrap_or_default();
        Ok(answer::sentence(outcome, method.begin(prompts)?.as_deref(), &echo))
    }
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use super::*;

    #[test]
    fn explainers_see_the_shown_texts_alone() {
        let puzzles = all().unwrap();
        let puzzle = puzzles.iter().find(|puzzle| puzzle.name == "months").unwrap();
        let capabilities = Capabilities::default();
        let request = Shown::new(puzzle)
            .request(Method::MaxActivating, &Prompts::builtin().unwrap(), capabilities)
            .unwrap()
            .unwrap();
        let question = &request.messages.last().unwrap().content;
        assert!(question.contains("The fair opens in<< October>> and ends on a Sunday."), "{question}");
        for text in &puzzle.scored {
            assert!(!question.contains(&text.tokens.concat()));
        }
    }
}
