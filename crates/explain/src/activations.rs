//! Where searches get activations from: the seam between explainers and subject models.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use glossator_model::{Activation, Batch, HookPoint, Model, Run, SimilarTokens, UnitId};

use crate::ExplainError;

/// Asks for a unit's activation on the last token of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The unit.
    pub unit: UnitId,
    /// The whole sequence.
    pub tokens: Vec<u32>,
}

/// Something that knows the activations of units: neurons of a model, features of a dictionary, directions.
pub trait UnitActivations {
    /// The activation of each request's unit on the last token of its sequence, in order. A request's answer does not
    /// depend on the others, but for floating-point rounding.
    fn last(&mut self, requests: &[Request]) -> Result<Vec<f32>, ExplainError>;

    /// For each of `tokens` up to `count` others that may well mean the same to the model. None are known by default.
    fn similar(&mut self, tokens: &[u32], count: usize) -> Result<Vec<Vec<u32>>, ExplainError> {
        let _ = count;
        Ok(vec![Vec::new(); tokens.len()])
    }
}

/// Units that are coordinates of a model's hook points.
pub struct ModelActivations<'a> {
    model: &'a Model,
    batch_tokens: usize,
    similar: Option<SimilarTokens>,
    /// Token positions computed so far; what sequences begin with in common counts once.
    pub positions: u64,
    /// Forward passes so far.
    pub forwards: u64,
}

/// A sequence, and what is wanted of it, as (index of the request, unit).
type Asked<'a> = (&'a [u32], Vec<(usize, u32)>);

/// The sequences of one hook point: what is wanted of each, as (index of the request, unit). In lexicographic order,
/// in which sequences that begin alike are neighbours.
type Wanted<'a> = BTreeMap<&'a [u32], Vec<(usize, u32)>>;

impl<'a> ModelActivations<'a> {
    /// Runs `model` on batches of about `batch_tokens` tokens.
    pub fn new(model: &'a Model, batch_tokens: usize) -> Self {
        Self { model, batch_tokens, similar: None, positions: 0, forwards: 0 }
    }

    /// One forward pass over `chunk`, up to `hook`; answers go to their places in `answers`.
    fn forward(
        &mut self,
        hook: HookPoint,
        chunk: &[Asked<'_>],
        answers: &mut [f32],
    ) -> Result<(), ExplainError> {
        let sequences: Vec<&[u32]> = chunk.iter().map(|(tokens, _)| *tokens).collect();
        let found = Mutex::new(Vec::new());
        let see = |sequence: usize, row: &[f32]| {
            let values = chunk[sequence].1.iter().map(|&(request, unit)| (request, row[unit as usize]));
            found.lock().unwrap_or_else(PoisonError::into_inner).extend(values);
        };
        self.positions += self.model.run_last(&sequences, hook, &see)? as u64;
        self.forwards += 1;
        for (request, value) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            answers[request] = value;
        }
        Ok(())
    }
}

/// Something that knows a unit's activation at every position of a sequence.
pub trait SequenceActivations {
    /// `[sequence, position]` activations of `unit`.
    fn everywhere(&mut self, unit: UnitId, sequences: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, ExplainError>;
}

impl SequenceActivations for ModelActivations<'_> {
    fn everywhere(&mut self, unit: UnitId, sequences: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, ExplainError> {
        let mut found = Vec::with_capacity(sequences.len());
        let mut rest = sequences;
        while !rest.is_empty() {
            let mut tokens = 0;
            let within = rest.iter().take_while(|sequence| {
                tokens += sequence.len();
                tokens <= self.batch_tokens
            });
            let (chunk, after) = rest.split_at(within.count().max(1));
            let values = Mutex::new(vec![Vec::new(); chunk.len()]);
            let see = |_: HookPoint, activation: &Activation<'_>| {
                for index in 0..activation.sequences.len() {
                    let rows = activation.sequence(index).chunks_exact(activation.width);
                    let column: Vec<f32> = rows.map(|row| row[unit.index as usize]).collect();
                    let mut values = values.lock().unwrap_or_else(PoisonError::into_inner);
                    values[activation.sequences.start + index] = column;
                }
            };
            let run = Run { hooks: &[unit.hook], ..Run::default() };
            self.model.run(&Batch::from_sequences(chunk), &run, &see)?;
            self.positions += chunk.iter().map(Vec::len).sum::<usize>() as u64;
            self.forwards += 1;
            found.extend(values.into_inner().unwrap_or_else(PoisonError::into_inner));
            rest = after;
        }
        Ok(found)
    }
}

impl UnitActivations for ModelActivations<'_> {
    fn last(&mut self, requests: &[Request]) -> Result<Vec<f32>, ExplainError> {
        let mut hooks: HashMap<HookPoint, Wanted<'_>> = HashMap::new();
        for (index, request) in requests.iter().enumerate() {
            let wanted = hooks.entry(request.unit.hook).or_default();
            wanted.entry(&request.tokens).or_default().push((index, request.unit.index));
        }
        let mut answers = vec![f32::NAN; requests.len()];
        for (hook, wanted) in hooks {
            let sequences: Vec<Asked<'_>> = wanted.into_iter().collect();
            let mut rest = sequences.as_slice();
            while !rest.is_empty() {
                let mut tokens = 0;
                let within = rest.iter().take_while(|(sequence, _)| {
                    tokens += sequence.len();
                    tokens <= self.batch_tokens
                });
                let (chunk, after) = rest.split_at(within.count().max(1));
                self.forward(hook, chunk, &mut answers)?;
                rest = after;
            }
        }
        Ok(answers)
    }

    /// By the cosine of their embeddings; special tokens stand for nothing.
    fn similar(&mut self, tokens: &[u32], count: usize) -> Result<Vec<Vec<u32>>, ExplainError> {
        let tokenizer = self.model.tokenizer()?;
        let similar = self.similar.get_or_insert_with(|| SimilarTokens::new(self.model));
        let mut found = similar.of(self.model, tokens, count);
        for others in &mut found {
            others.retain(|token| !tokenizer.is_special(*token));
        }
        Ok(found)
    }
}
