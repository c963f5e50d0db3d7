//! Which tokens each step computes: the newest token of every job that is writing, then prompts in their order, as many
//! rows as a step may have. A job that ends makes room for the next.

use std::collections::BTreeMap;

use glossator_kernels::softmax;
use rayon::prelude::*;

use super::prefix_tree::PrefixTree;
use super::sequence::{NextWant, RowFound, RowWant, Sequence, wanted_rows};
use super::{Completion, Job, JobWant, Listener, RuntimeLimits};
use crate::architecture::Architecture;
use crate::error::ModelError;
use crate::forward::{Segment, Step};
use crate::generate::StopReason;
use crate::model::Model;

/// The jobs of one run.
pub(super) struct Schedule<'j> {
    model: &'j Model,
    limits: RuntimeLimits,
    jobs: &'j [Job],
    /// Jobs that have not begun, the next one last.
    queue: Vec<usize>,
    running: Vec<Sequence<'j>>,
}

/// A step with what its rows are for.
#[derive(Default)]
struct Planned<'j> {
    step: Step,
    /// Rows after which a token is written.
    writing: Vec<Wanted<NextWant>>,
    /// Rows at which the same tokens are weighed.
    weighing: BTreeMap<&'j [u32], Vec<Wanted<()>>>,
}

/// A row of a running sequence, and what is wanted of it.
struct Wanted<W> {
    row: usize,
    sequence: usize,
    want: W,
}

impl Planned<'_> {
    /// The rows whose streams are wanted, in the order in which they are looked at.
    fn wanted(&self) -> Vec<usize> {
        let weighing = self.weighing.values().flatten().map(|wanted| wanted.row);
        self.writing.iter().map(|wanted| wanted.row).chain(weighing).collect()
    }
}

impl<'j> Schedule<'j> {
    pub(super) fn new(model: &'j Model, limits: RuntimeLimits, jobs: &'j [Job]) -> Self {
        let mut queue: Vec<usize> = (0..jobs.len()).collect();
        queue.sort_by(|a, b| jobs[*b].tokens.cmp(&jobs[*a].tokens).then(b.cmp(a)));
        Self { model, limits, jobs, queue, running: Vec::new() }
    }

    /// Advances jobs until all are done or the listener stops the run.
    pub(super) fn run(mut self, tree: &mut PrefixTree, listener: &mut dyn Listener) {
        loop {
            let mut planned = Planned::default();
            self.plan_running(tree, &mut planned);
            let goes_on = self.admit(tree, &mut planned, listener);
            if !goes_on || planned.step.segments.is_empty() {
                break;
            }
            if !self.compute(tree, planned, listener) {
                break;
            }
        }
        for sequence in self.running {
            tree.release(&sequence.lease);
        }
    }

    /// Rows of jobs that run: newest tokens first, then what is left of prompts.
    fn plan_running(&mut self, tree: &mut PrefixTree, planned: &mut Planned<'j>) {
        let (writing, reading): (Vec<usize>, Vec<usize>) =
            (0..self.running.len()).partition(|index| self.running[*index].waiting() == 1);
        for index in writing.into_iter().chain(reading) {
            self.plan(index, tree, planned);
        }
    }

    /// Adds as many waiting positions of a running job as the step has room for.
    fn plan(&mut self, index: usize, tree: &mut PrefixTree, planned: &mut Planned<'j>) {
        let sequence = &mut self.running[index];
        let first_row = planned.step.rows();
        let count = sequence.waiting().min(self.limits.rows.saturating_sub(first_row));
        if count == 0 {
            return;
        }
        let positions = sequence.computed..sequence.computed + count;
        for (position, row) in positions.clone().zip(first_row..) {
            match sequence.want(position) {
                Some(RowWant::Next(want)) => planned.writing.push(Wanted { row, sequence: index, want }),
                Some(RowWant::Choices(choices)) => {
                    let same = planned.weighing.entry(choices).or_default();
                    same.push(Wanted { row, sequence: index, want: () });
                }
                None => {}
            }
        }
        tree.plan(&sequence.lease, positions.clone(), first_row);
        planned.step.segments.push(Segment {
            tokens: sequence.tokens[positions.clone()].to_vec(),
            first_position: positions.start,
            pages: sequence.lease.pages.clone(),
        });
        sequence.computed += count;
    }

    /// Begins jobs while there is room; returns whether the listener wants to go on.
    fn admit(
        &mut self,
        tree: &mut PrefixTree,
        planned: &mut Planned<'j>,
        listener: &mut dyn Listener,
    ) -> bool {
        while let Some(&index) = self.queue.last() {
            if self.running.len() == self.limits.sequences || planned.step.rows() >= self.limits.rows {
                return true;
            }
            let job = &self.jobs[index];
            if let Some(answer) = self.answered_at_once(job, tree) {
                self.queue.pop();
                if !listener.done(index, answer) {
                    return false;
                }
                continue;
            }
            let (first_wanted, _) = wanted_rows(job);
            let length = length(job);
            let Some(lease) = tree.lease(&job.tokens, length, first_wanted, &mut planned.step.extra_writes)
            else {
                return true;
            };
            self.queue.pop();
            self.running.push(Sequence::new(index, job, lease));
            self.plan(self.running.len() - 1, tree, planned);
        }
        true
    }

    /// The answer to a job that cannot run or has nothing to compute.
    fn answered_at_once(&self, job: &Job, tree: &PrefixTree) -> Option<Result<Completion, ModelError>> {
        if let Err(error) = check(self.model.architecture(), job, tree) {
            return Some(Err(error));
        }
        let nothing = match &job.want {
            JobWant::Continuation { max_tokens, .. } => *max_tokens == 0,
            JobWant::Choices { places, .. } => places.is_empty(),
        };
        nothing.then(|| {
            Ok(Completion {
                tokens: Vec::new(),
                stop: StopReason::MaxTokens,
                choices: Vec::new(),
                cached_tokens: 0,
            })
        })
    }

    /// Computes a step and hands out what was found; returns whether the listener wants to go on.
    fn compute(&mut self, tree: &mut PrefixTree, planned: Planned<'j>, listener: &mut dyn Listener) -> bool {
        let mut planned = planned;
        planned.step.wanted = planned.wanted();
        let streams = match self.model.decoder.step(&planned.step, &mut tree.pool) {
            Ok(streams) => streams,
            Err(error) => return self.fail_all(tree, listener, &error),
        };
        let found = self.find(&planned, &streams);
        tree.advance();
        let mut ended: Vec<(usize, StopReason)> = Vec::new();
        for (index, found) in found {
            let sequence = &mut self.running[index];
            let job = sequence.index;
            if let Some(stop) = sequence.take(found, |token| listener.token(job, token)) {
                ended.push((index, stop));
            }
        }
        let limit = self.model.architecture();
        for (index, sequence) in self.running.iter().enumerate() {
            let full = limit.learned_positions && sequence.tokens.len() > limit.context_length;
            if full && !ended.iter().any(|(ended, _)| *ended == index) {
                ended.push((index, StopReason::ContextFull));
            }
        }
        ended.sort_by_key(|(index, _)| std::cmp::Reverse(*index));
        let mut goes_on = true;
        for (index, stop) in ended {
            let sequence = self.running.remove(index);
            let job = sequence.index;
            let (lease, completion) = sequence.complete(stop);
            tree.release(&lease);
            goes_on &= listener.done(job, Ok(completion));
        }
        goes_on
    }

    /// What the final streams of the wanted rows say, with the running sequence that each is for.
    fn find(&self, planned: &Planned<'j>, streams: &[f32]) -> Vec<(usize, RowFound)> {
        let Architecture { d_model, vocab_size, .. } = *self.model.architecture();
        let decoder = &self.model.decoder;
        let (writing, mut streams) = streams.split_at(planned.writing.len() * d_model);
        let mut found = Vec::with_capacity(planned.step.wanted.len());
        decoder.see_logits(writing, &mut |rows, logits| {
            let rows = logits.par_chunks_exact_mut(vocab_size).zip(&planned.writing[rows]);
            found.par_extend(rows.map(|(logits, row)| (row.sequence, RowFound::Next(row.want.find(logits)))));
        });
        for (choices, rows) in &planned.weighing {
            let own = streams.split_off(..rows.len() * d_model).unwrap_or_default();
            let mut logits = decoder.token_logits(own, choices);
            for (logits, row) in logits.chunks_exact_mut(choices.len()).zip(rows) {
                softmax(logits);
                found.push((row.sequence, RowFound::Choices(logits.to_vec())));
            }
        }
        found
    }

    /// Tells every running job of an error that none of them caused by itself.
    fn fail_all(&mut self, tree: &mut PrefixTree, listener: &mut dyn Listener, error: &ModelError) -> bool {
        for sequence in self.running.drain(..) {
            tree.release(&sequence.lease);
            listener.done(sequence.index, Err(ModelError::Runtime { message: error.to_string() }));
        }
        false
    }
}

/// Positions that a job may come to hold; the last new token is never read again.
fn length(job: &Job) -> usize {
    match &job.want {
        JobWant::Continuation { max_tokens, .. } => job.tokens.len() + max_tokens - 1,
        JobWant::Choices { .. } => wanted_rows(job).1 + 1,
    }
}

/// Whether a job can run at all.
fn check(architecture: &Architecture, job: &Job, tree: &PrefixTree) -> Result<(), ModelError> {
    let Architecture { vocab_size, context_length: limit, learned_positions, .. } = *architecture;
    if job.tokens.is_empty() {
        return Err(ModelError::EmptySequence { sequence: 0 });
    }
    let choices: &[u32] = match &job.want {
        JobWant::Choices { choices, places } => {
            let inside = places.iter().all(|place| (1..=job.tokens.len()).contains(place));
            if !inside || !places.is_sorted() {
                let length = job.tokens.len();
                let message =
                    format!("places {places:?} are not ascending places after the first of {length} tokens");
                return Err(ModelError::Runtime { message });
            }
            if choices.is_empty() {
                return Err(ModelError::Runtime { message: "there are places but no choices".into() });
            }
            choices
        }
        JobWant::Continuation { .. } => &[],
    };
    if let Some((position, token)) =
        job.tokens.iter().chain(choices).enumerate().find(|(_, token)| **token as usize >= vocab_size)
    {
        return Err(ModelError::TokenOutOfVocabulary { token: *token, sequence: 0, position, vocab_size });
    }
    if learned_positions && job.tokens.len() > limit {
        return Err(ModelError::SequenceTooLong { sequence: 0, length: job.tokens.len(), limit });
    }
    let positions = length(job).max(1);
    let pages = positions.div_ceil(glossator_kernels::PAGE_POSITIONS);
    if pages > tree.pool.limit() {
        let (needed, limit) = (pages * tree.pool.page_bytes(), tree.pool.limit() * tree.pool.page_bytes());
        return Err(ModelError::CacheTooSmall { positions, needed, limit });
    }
    Ok(())
}
