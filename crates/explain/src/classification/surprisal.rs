//! Surprisal: does the explanation make the texts less surprising on which the unit fires (Paulo et al. 2024, section 4)?
//!
//! A language model reads a text after the explanation, and after the words that stand for no explanation. With L the
//! total loss of the text's tokens in nats, the probability that the text goes with the explanation, both being equally
//! likely beforehand, is
//!
//! ```text
//! p = 1 / (1 + exp(L_with − L_without))
//! ```
//!
//! and the verdict is p > ½. The order of the texts by p (AUROC) says more than the verdicts: some explanations help with
//! any text. No text is generated, so any model whose losses are known will do, the subject model too.

use glossator_kernels::log_softmax;
use glossator_model::{Batch, Model, Run};

use super::NO_EXPLANATION;
use super::example::Example;
use crate::ExplainError;
use crate::score::Judgement;

/// Logits that are held at once, in numbers of f32 (256 MiB).
const LOGITS: usize = 64 << 20;

/// Something that knows how surprising a text is.
pub trait TextLoss {
    /// The total loss of each second text after each first, in nats.
    fn losses(&self, texts: &[(String, String)]) -> Result<Vec<f64>, ExplainError>;
}

impl TextLoss for Model {
    fn losses(&self, texts: &[(String, String)]) -> Result<Vec<f64>, ExplainError> {
        let tokenizer = self.tokenizer()?;
        let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
        let mut sequences: Vec<(Vec<u32>, usize)> = Vec::with_capacity(texts.len());
        for (before, text) in texts {
            let mut tokens: Vec<u32> = bos.into_iter().collect();
            tokens.extend(tokenizer.encode(before)?);
            let first = tokens.len();
            tokens.extend(tokenizer.encode(text)?);
            sequences.push((tokens, first));
        }
        let vocabulary = self.architecture().vocab_size;
        let longest = sequences.iter().map(|(tokens, _)| tokens.len()).max().unwrap_or(1);
        let together = (LOGITS / (vocabulary * longest)).max(1);
        let mut losses = Vec::with_capacity(texts.len());
        for chunk in sequences.chunks(together) {
            let batch: Vec<&[u32]> = chunk.iter().map(|(tokens, _)| tokens.as_slice()).collect();
            let batch = Batch::from_sequences(&batch);
            let run = Run { logits: true, ..Run::default() };
            let Some(mut logits) = self.run(&batch, &run, &())? else { continue };
            for ((tokens, first), start) in chunk.iter().zip(batch.starts()) {
                losses.push(loss(&mut logits.data[start * vocabulary..], vocabulary, tokens, *first));
            }
        }
        Ok(losses)
    }
}

/// −Σ ln p(token) from `first` on. The row before a token predicts it; a text's very first token has none.
fn loss(logits: &mut [f32], vocabulary: usize, tokens: &[u32], first: usize) -> f64 {
    let predicted = first.max(1)..tokens.len();
    predicted
        .map(|position| {
            let row = &mut logits[(position - 1) * vocabulary..position * vocabulary];
            log_softmax(row);
            -f64::from(row[tokens[position] as usize])
        })
        .sum()
}

/// What a text stands after.
fn before(explanation: &str) -> String {
    format!("The text below was chosen because something occurs in it: {explanation}.\n\nText:")
}

/// The judgements on `examples`.
pub fn judge(
    model: &dyn TextLoss,
    explanation: &str,
    examples: &[Example],
) -> Result<Vec<Judgement>, ExplainError> {
    let text = |example: &Example| example.tokens.concat();
    let after = |explanation: &str| -> Vec<(String, String)> {
        examples.iter().map(|example| (before(explanation), text(example))).collect()
    };
    let (with, without) = (model.losses(&after(explanation))?, model.losses(&after(NO_EXPLANATION))?);
    let judgement = |((example, with), without): ((&Example, f64), f64)| {
        let probability = 1.0 / (1.0 + (with - without).exp());
        let probability = probability.is_finite().then_some(probability);
        Judgement { truth: example.fires, verdict: probability.map(|p| p > 0.5), probability }
    };
    Ok(examples.iter().zip(with).zip(without).map(judgement).collect())
}

#[cfg(test)]
mod tests {
    use super::super::example::Source;
    use super::*;

    /// A text costs 10 nats, half of it where the explanation's last word occurs in it.
    struct Words;

    impl TextLoss for Words {
        fn losses(&self, texts: &[(String, String)]) -> Result<Vec<f64>, ExplainError> {
            let loss = |(before, text): &(String, String)| {
                let word = before.split('.').next().and_then(|line| line.rsplit(' ').next());
                if word.is_some_and(|word| text.contains(word)) { 5.0 } else { 10.0 }
            };
            Ok(texts.iter().map(loss).collect())
        }
    }

    #[test]
    fn less_surprise_speaks_for_the_explanation() {
        let example = |text: &str, fires: bool| Example {
            window: 0,
            source: Source::Top,
            fires,
            tokens: vec![text.to_owned()],
            activations: vec![0.0],
        };
        let judged =
            judge(&Words, "months like May", &[example(" in May", true), example(" he may", false)]).unwrap();
        assert_eq!(judged[0].verdict, Some(true));
        assert!((judged[0].probability.unwrap() - 1.0 / (1.0 + (-5.0_f64).exp())).abs() < 1e-12);
        assert_eq!((judged[1].verdict, judged[1].probability), (Some(false), Some(0.5)));
    }
}
