//! The scale on which activations are predicted: the whole numbers from 0 to 10, as published, or to 9 for models that
//! write "10" as two digits, where the probability of "1" would be that of two numbers.

use glossator_atlas::Distributions;
use glossator_llm::{Capabilities, Distribution, Failure, Usage};

use super::{Predicted, malformed};

/// The numbers from 0 to a largest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale(u8);

impl Scale {
    /// 0 to 10.
    pub const TEN: Self = Self(10);

    /// The scale that a model can be asked on.
    pub fn of(capabilities: Capabilities) -> Self {
        if capabilities.number_ten { Self::TEN } else { Self(9) }
    }

    /// The largest number.
    pub fn most(self) -> u8 {
        self.0
    }

    /// The numbers as they are written.
    pub fn choices(self) -> Vec<String> {
        (0..=self.0).map(|number| number.to_string()).collect()
    }

    /// An activation of a worked example, which is given from 0 to 10, on this scale.
    pub fn example(self, activation: u8) -> u8 {
        activation * self.0 / 10
    }

    /// The expected number as a share of the largest; `None` where no number has any probability.
    pub fn expected_share(self, distribution: &Distribution) -> Option<f32> {
        let numbers: Vec<f32> = (0..=self.0).map(f32::from).collect();
        if distribution.0.len() != numbers.len() {
            return None;
        }
        Some(distribution.expectation(&numbers)? / f32::from(self.0))
    }

    /// What is predicted by the distributions at each token of a text.
    pub(super) fn predicted(
        self,
        distributions: &[Distribution],
        usage: Usage,
    ) -> Result<Predicted, Failure> {
        let mut kept = Distributions::new(self.0, [0.0, 1.0]);
        let share = |(token, distribution): (usize, &Distribution)| {
            let nothing = || malformed(format!("no number has any probability at token {token}"), usage);
            let share = self.expected_share(distribution).ok_or_else(nothing)?;
            let weights: Vec<f64> = distribution.0.iter().map(|weight| f64::from(*weight)).collect();
            kept.push(&weights);
            Ok(share)
        };
        let shares: Result<Vec<f32>, Failure> = distributions.iter().enumerate().map(share).collect();
        Ok(Predicted { shares: shares?, distributions: Some(kept) })
    }
}

/// Activations as whole numbers from 0 to 10 by the published rule: `min(10, ⌊10·max(0, a)/maximum⌋)`, and all 0 where
/// the maximum is not above 0.
pub(crate) fn discretised(activation: f32, maximum: f32) -> u8 {
    if maximum <= 0.0 || activation.is_nan() {
        return 0;
    }
    (10.0 * f64::from(activation.max(0.0)) / f64::from(maximum)).floor().min(10.0) as u8
}
