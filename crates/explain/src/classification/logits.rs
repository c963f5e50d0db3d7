//! Logit scoring: from the explanation alone, which tokens does the unit make the model say (Bricken et al. 2023, "Automated
//! interpretability: logit weights")?
//!
//! Tokens that the unit's output direction raises most, after the first ten, stand among as many random ones; the judge
//! says of each whether a unit of this explanation would make it likelier. Published: 50 of either, ranks 10 to 60, mean
//! accuracy 0.74 for features and 0.58 for neurons; chance is 0.5.

use glossator_llm::{Outcome, Request};
use glossator_model::{Model, ModelError, UnitId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::question::{Subject, Way, judgements};
use crate::prompts::{PromptError, Prompts, visible};
use crate::score::Judgement;

/// The strongest tokens, which are left out: an explanation may name them.
const FIRST_RANK: usize = 10;

/// A token, and whether the unit's output direction raises it.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Its text.
    pub text: String,
    /// Whether it is among the raised ones.
    pub raised: bool,
}

/// `count` raised tokens of a unit and as many random ones, in random order. `weights` `[vocabulary]` are the unit's
/// logit weights, and `usable` says which tokens may be asked about.
pub fn choices(
    weights: &[f32],
    count: usize,
    seed: u64,
    usable: impl Fn(u32) -> bool,
    text: impl Fn(u32) -> String,
) -> Vec<Choice> {
    let hash = |token: u32| xxh3_64_with_seed(&token.to_le_bytes(), seed);
    let mut ranked: Vec<u32> = (0..weights.len() as u32).filter(|token| usable(*token)).collect();
    ranked.sort_by(|a, b| weights[*b as usize].total_cmp(&weights[*a as usize]).then(a.cmp(b)));
    let raised = ranked.get(FIRST_RANK..(FIRST_RANK + count).min(ranked.len())).unwrap_or_default().to_vec();
    // Random tokens are drawn from all that are not among the raised ones or stronger.
    let mut random = ranked.split_off((FIRST_RANK + count).min(ranked.len()));
    random.sort_by_key(|token| hash(*token));
    random.truncate(raised.len());
    let mut chosen: Vec<(u32, bool)> = raised
        .into_iter()
        .map(|token| (token, true))
        .chain(random.into_iter().map(|token| (token, false)))
        .collect();
    chosen.sort_by_key(|(token, _)| hash(!*token));
    chosen.into_iter().map(|(token, raised)| Choice { text: text(token), raised }).collect()
}

/// The logit weights `[vocabulary]` of a unit.
///
/// # Errors
/// A place that has no output direction.
pub fn weights(model: &Model, unit: UnitId) -> Result<Vec<f32>, ModelError> {
    model.logit_weights(&model.output_direction(unit)?)
}

/// The requests that ask about `choices`, in order.
pub fn requests(
    prompts: &Prompts,
    way: Way,
    explanation: &str,
    choices: &[Choice],
) -> Result<Vec<Request>, PromptError> {
    let tokens: Vec<String> = choices.iter().map(|choice| visible(&choice.text)).collect();
    Subject { scorer: "logits", prompts, explanation }.requests(way, &tokens)
}

/// The judgements on `choices`, from the outcomes of [`requests`].
pub fn judge(way: Way, choices: &[Choice], outcomes: &[Outcome]) -> Vec<Judgement> {
    let truths: Vec<bool> = choices.iter().map(|choice| choice.raised).collect();
    judgements(way, &truths, outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raised_tokens_after_the_first_ten_among_random_ones() {
        let weights: Vec<f32> = (0..100).map(|token| -(token as f32)).collect();
        let usable = |token: u32| token != 12;
        let found = choices(&weights, 5, 7, usable, |token| token.to_string());
        let raised: Vec<&str> =
            found.iter().filter(|choice| choice.raised).map(|choice| choice.text.as_str()).collect();
        let mut sorted = raised.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["10", "11", "13", "14", "15"], "the eleventh to fifteenth that are usable");
        let random: Vec<u32> =
            found.iter().filter(|choice| !choice.raised).map(|choice| choice.text.parse().unwrap()).collect();
        assert!(random.len() == 5 && random.iter().all(|token| *token > 15), "{random:?}");
        assert!(found.iter().take(5).any(|choice| !choice.raised), "in no telling order");
        assert_eq!(found, choices(&weights, 5, 7, usable, |token| token.to_string()));
        assert_ne!(found, choices(&weights, 5, 8, usable, |token| token.to_string()));
        assert!(choices(&weights[..8], 5, 7, |_| true, |token| token.to_string()).is_empty());
    }

    #[test]
    fn tokens_are_quoted() {
        let choice = Choice { text: "\n\"".to_owned(), raised: true };
        let prompts = Prompts::builtin().unwrap();
        let requests = requests(&prompts, Way::Listed, "x", &[choice]).unwrap();
        assert!(requests[0].messages.last().unwrap().content.contains("1. \"\\n\"\"\n"));
    }
}
