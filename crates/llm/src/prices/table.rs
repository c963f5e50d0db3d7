//! The table of prices: TOML, one table for each model, `cost = Σ tokens · dollars per million`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Money;
use crate::answer::Usage;
use crate::error::{AtPath, LlmError};

/// The built-in table, as users can edit it.
pub const BUILT_IN: &str = include_str!("prices.toml");

/// Prices of models by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prices(BTreeMap<String, Price>);

/// What a model's tokens cost, in dollars for a million.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens read.
    pub input: f64,
    /// Tokens read that the provider had read before; as `input` if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
    /// Tokens written.
    pub output: f64,
    /// What all of them are multiplied with in batches; 1 if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<f64>,
}

impl Prices {
    /// The built-in table. It is empty if it cannot be read, which a test rules out.
    pub fn built_in() -> Self {
        toml::from_str(BUILT_IN).unwrap_or(Self(BTreeMap::new()))
    }

    /// Reads a user's table.
    ///
    /// # Errors
    /// If the file cannot be read, or a price is no number, negative or misspelt.
    pub fn read(path: &Path) -> Result<Self, LlmError> {
        let text = std::fs::read_to_string(path).at(path)?;
        let wrong = |message: String| LlmError::Prices { path: path.to_owned(), message };
        let prices: Self =
            toml::from_str(&text).map_err(|error| wrong(format!("not a table of prices: {error}")))?;
        for (model, price) in &prices.0 {
            let parts = [Some(price.input), price.cached_input, Some(price.output), price.batch];
            if !parts.into_iter().flatten().all(|part| part.is_finite() && (0.0..=1e6).contains(&part)) {
                return Err(wrong(format!(
                    "the prices of `{model}` must be between 0 and 1,000,000 dollars"
                )));
            }
        }
        Ok(prices)
    }

    /// The price of the model that is kept under `name` (`HOST/MODEL`) and asked for as `model`.
    pub fn of(&self, name: &str, model: &str) -> Option<Price> {
        self.0.get(name).or_else(|| self.0.get(model)).copied()
    }
}

impl Price {
    /// A model that costs nothing, such as one that runs here.
    pub const FREE: Self = Self { input: 0.0, cached_input: None, output: 0.0, batch: None };

    /// The price of the same tokens in a batch.
    #[must_use]
    pub fn in_batch(self) -> Self {
        let factor = self.batch.unwrap_or(1.0);
        Self {
            input: self.input * factor,
            cached_input: self.cached_input.map(|price| price * factor),
            output: self.output * factor,
            batch: None,
        }
    }

    /// What these tokens cost, rounded up to whole nanodollars.
    pub fn cost(self, usage: Usage) -> Money {
        let cached = usage.cached_tokens.min(usage.prompt_tokens);
        let fresh = usage.prompt_tokens - cached;
        let cached_input = self.cached_input.unwrap_or(self.input);
        let millionths = fresh as f64 * self.input
            + cached as f64 * cached_input
            + usage.completion_tokens as f64 * self.output;
        // A millionth of a dollar is a thousand nanodollars; binary fractions must not round a whole number up.
        Money::from_nanodollars((millionths * 1000.0 - 1e-4).ceil().max(0.0) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_read() {
        assert!(Prices::built_in().of("api.openai.com/gpt-4o-mini", "gpt-4o-mini").is_some());
        assert_eq!(Prices::built_in().of("127.0.0.1/qwen", "qwen"), None);
    }

    #[test]
    fn a_million_tokens_cost_what_the_table_says() {
        let price = Price { input: 0.15, cached_input: Some(0.075), output: 0.6, batch: Some(0.5) };
        let usage = Usage { prompt_tokens: 1_000_000, cached_tokens: 400_000, completion_tokens: 1_000_000 };
        assert_eq!(price.cost(usage).nanodollars(), 720_000_000);
        assert_eq!(price.in_batch().cost(usage).nanodollars(), 360_000_000);
        let one = Usage { prompt_tokens: 1, ..Usage::default() };
        assert_eq!(price.cost(one).nanodollars(), 150);
        let all_cached = Usage { prompt_tokens: 1, cached_tokens: 9, completion_tokens: 0 };
        assert_eq!(price.cost(all_cached).nanodollars(), 75);
    }

    #[test]
    fn a_host_of_ones_own_comes_before_the_model_anywhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("prices.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Prices::read(&path)
        };
        let prices = read("[m]\ninput = 1\noutput = 2\n[\"here/m\"]\ninput = 0\noutput = 0.0\n").unwrap();
        assert_eq!(prices.of("here/m", "m").unwrap().output, 0.0);
        assert_eq!(prices.of("there/m", "m").unwrap().output, 2.0);
        for wrong in
            ["[m]\ninput = 1", "[m]\ninput = -1\noutput = 1", "[m]\ninput = nan\noutput = 1", "m = 3"]
        {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("prices.toml"), "{error}");
        }
        let misspelt = read("[m]\ninput = 1\noutput = 2\ncachedinput = 3").unwrap_err().to_string();
        assert!(misspelt.contains("cachedinput"), "{misspelt}");
    }
}
