//! Averages of weights over steps (Gao et al. 2024, appendix A): a ← β a + (1 − β) w from zero, divided by 1 − βᵗ when it
//! is used.

use super::parameters::Parameters;

/// An exponential moving average of all weights.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightAverage {
    decay: f64,
    /// As [`Parameters::tensors`].
    sums: Vec<Vec<f32>>,
}

impl WeightAverage {
    /// The average of no steps, for parameters of this shape.
    pub fn new(decay: f64, parameters: &Parameters) -> Self {
        let zeros = parameters.tensors().iter().map(|tensor| vec![0.0; tensor.weights.len()]).collect();
        Self { decay, sums: zeros }
    }

    /// The average as it was; none if it is not of parameters of this shape.
    pub fn restore(decay: f64, parameters: &Parameters, sums: Vec<Vec<f32>>) -> Option<Self> {
        let fresh = Self::new(decay, parameters);
        let fits = sums.len() == fresh.sums.len()
            && sums.iter().zip(&fresh.sums).all(|(sums, fresh)| sums.len() == fresh.len());
        fits.then_some(Self { decay, sums })
    }

    /// What has to be saved.
    pub fn arrays(&self) -> impl Iterator<Item = &[f32]> {
        self.sums.iter().map(Vec::as_slice)
    }

    /// Takes the weights of a step in.
    pub fn update(&mut self, parameters: &Parameters) {
        let (decay, rest) = (self.decay as f32, (1.0 - self.decay) as f32);
        for (sums, tensor) in self.sums.iter_mut().zip(parameters.tensors()) {
            for (sum, weight) in sums.iter_mut().zip(&tensor.weights) {
                *sum = decay * *sum + rest * weight;
            }
        }
    }

    /// `parameters`, which have made as many steps as the average has seen, with the averaged weights.
    pub fn averaged(&self, parameters: &Parameters) -> Parameters {
        let mut averaged = parameters.clone();
        let scale = (1.0 / (1.0 - self.decay.powf(parameters.steps as f64))) as f32;
        for (tensor, sums) in averaged.tensors_mut().into_iter().zip(&self.sums) {
            tensor.weights.iter_mut().zip(sums).for_each(|(weight, sum)| *weight = sum * scale);
        }
        averaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::initialise;

    #[test]
    fn recent_weights_count_most_and_constant_ones_stay() {
        let mut parameters = initialise(3, vec![0.5; 2], 1);
        let mut average = WeightAverage::new(0.9, &parameters);
        for step in 1..=3 {
            parameters.steps = step;
            parameters.encoder_bias.weights = vec![step as f32; 3];
            average.update(&parameters);
        }
        let averaged = average.averaged(&parameters);
        let expected = (0.1 * (0.81 + 0.9 * 2.0 + 3.0)) / (1.0 - 0.9_f32.powi(3));
        assert!(averaged.encoder_bias.weights.iter().all(|bias| (bias - expected).abs() < 1e-5));
        assert!(averaged.decoder_bias.weights.iter().all(|bias| (bias - 0.5).abs() < 1e-6));
        let arrays: Vec<Vec<f32>> = average.arrays().map(<[f32]>::to_vec).collect();
        assert_eq!(WeightAverage::restore(0.9, &parameters, arrays), Some(average));
        assert_eq!(WeightAverage::restore(0.9, &parameters, vec![Vec::new(); 8]), None);
    }
}
