//! A job that is being worked on.

use glossator_kernels::{log_softmax, top_k};

use super::prefix_tree::Lease;
use super::{Completion, Job, JobWant, NewToken};
use crate::generate::StopReason;
use crate::sampling::{Draw, Sampler};

/// A job with its pages.
pub(super) struct Sequence<'j> {
    pub(super) index: usize,
    pub(super) job: &'j Job,
    pub(super) lease: Lease,
    /// Prompt and new tokens.
    pub(super) tokens: Vec<u32>,
    /// Positions whose keys and values are there.
    pub(super) computed: usize,
    sampler: Option<Sampler>,
    new: Vec<NewToken>,
    choices: Vec<Vec<f32>>,
    cached: usize,
}

/// What the final stream of a row is wanted for.
#[derive(Clone, Debug)]
pub(super) enum RowWant<'j> {
    Next(NextWant),
    Choices(&'j [u32]),
}

/// What is wanted of the token after a row.
#[derive(Clone, Debug)]
pub(super) struct NextWant {
    draw: Draw,
    alternatives: usize,
}

/// What was found at a row.
pub(super) enum RowFound {
    Next(NewToken),
    Choices(Vec<f32>),
}

impl NextWant {
    /// Looks at logits `[vocab_size]`, which are used up.
    pub(super) fn find(&self, logits: &mut [f32]) -> NewToken {
        if self.alternatives == 0 {
            return NewToken { token: self.draw.pick(logits), ..NewToken::default() };
        }
        let token = self.draw.pick(&mut logits.to_vec());
        log_softmax(logits);
        let likeliest = top_k(logits, self.alternatives);
        NewToken {
            token,
            logprob: logits[token as usize],
            alternatives: likeliest.into_iter().map(|ranked| (ranked.index, ranked.value)).collect(),
        }
    }
}

/// The last position whose logits are wanted of the prompt, and the first.
pub(super) fn wanted_rows(job: &Job) -> (usize, usize) {
    match &job.want {
        JobWant::Continuation { .. } => (job.tokens.len() - 1, job.tokens.len() - 1),
        JobWant::Choices { places, .. } => {
            let row = |place: Option<&usize>| place.map_or(0, |place| place - 1);
            (row(places.first()), row(places.last()))
        }
    }
}

impl<'j> Sequence<'j> {
    pub(super) fn new(index: usize, job: &'j Job, lease: Lease) -> Self {
        let sampler = match &job.want {
            JobWant::Continuation { sampling, .. } => Some(Sampler::new(*sampling)),
            JobWant::Choices { .. } => None,
        };
        // What comes after the last place that is weighed is not computed.
        let length = wanted_rows(job).1 + 1;
        Self {
            index,
            job,
            computed: lease.shared,
            cached: lease.shared,
            lease,
            tokens: job.tokens[..length].to_vec(),
            sampler,
            new: Vec::new(),
            choices: Vec::new(),
        }
    }

    /// Positions that wait to be computed.
    pub(super) fn waiting(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether the row of a position is wanted, and for what.
    pub(super) fn want(&mut self, position: usize) -> Option<RowWant<'j>> {
        match &self.job.want {
            JobWant::Choices { places, choices } => {
                places.binary_search(&(position + 1)).is_ok().then_some(RowWant::Choices(choices))
            }
            JobWant::Continuation { alternatives, .. } => {
                let last = position + 1 == self.tokens.len();
                let sampler = self.sampler.as_mut().filter(|_| last)?;
                Some(RowWant::Next(NextWant { draw: sampler.draw(), alternatives: *alternatives }))
            }
        }
    }

    /// Takes what was found; `heard` hears a new token and says whether to go on. Returns why the sequence ends, if so.
    pub(super) fn take(
        &mut self,
        found: RowFound,
        heard: impl FnOnce(&NewToken) -> bool,
    ) -> Option<StopReason> {
        let (token, max_tokens, stop_tokens) = match (found, &self.job.want) {
            (RowFound::Next(token), JobWant::Continuation { max_tokens, stop_tokens, .. }) => {
                (token, *max_tokens, stop_tokens)
            }
            (RowFound::Choices(probabilities), JobWant::Choices { places, .. }) => {
                self.choices.push(probabilities);
                return (self.choices.len() == places.len()).then_some(StopReason::MaxTokens);
            }
            _ => return None,
        };
        if stop_tokens.contains(&token.token) {
            return Some(StopReason::StopToken(token.token));
        }
        let goes_on = heard(&token);
        self.tokens.push(token.token);
        self.new.push(token);
        if !goes_on {
            return Some(StopReason::Callback);
        }
        (self.new.len() == max_tokens).then_some(StopReason::MaxTokens)
    }

    pub(super) fn complete(self, stop: StopReason) -> (Lease, Completion) {
        let completion =
            Completion { tokens: self.new, stop, choices: self.choices, cached_tokens: self.cached };
        (self.lease, completion)
    }
}
