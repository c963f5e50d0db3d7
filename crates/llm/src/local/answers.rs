//! What comes out of the runtime, as outcomes of requests.

use glossator_model::runtime::{Completion, Job, Listener, NewToken};
use glossator_model::{ModelError, StopReason, Tokenizer};

use crate::answer::{Answer, Distribution, Failure, FailureKind, Finish, Outcome, TokenLogprob, Usage};

/// Hears of jobs, ends those that come to a stop text, and tells of outcomes.
pub(super) struct Answers<'a> {
    tokenizer: &'a Tokenizer,
    jobs: &'a [Job],
    /// For each job its request and the texts that end it.
    asked: &'a [(usize, Vec<String>)],
    /// What each job has written, in bytes: a token may end within a character.
    written: Vec<Vec<u8>>,
    answered: &'a (dyn Fn(usize, Outcome) -> bool + Sync),
}

impl<'a> Answers<'a> {
    pub(super) fn new(
        tokenizer: &'a Tokenizer,
        jobs: &'a [Job],
        asked: &'a [(usize, Vec<String>)],
        answered: &'a (dyn Fn(usize, Outcome) -> bool + Sync),
    ) -> Self {
        Self { tokenizer, jobs, asked, written: vec![Vec::new(); jobs.len()], answered }
    }

    /// Where the first stop text begins in what a job has written.
    fn stop(&self, job: usize) -> Option<usize> {
        let written = &self.written[job];
        let find = |stop: &String| written.windows(stop.len()).position(|part| part == stop.as_bytes());
        self.asked[job].1.iter().filter(|stop| !stop.is_empty()).filter_map(find).min()
    }

    fn answer(&self, job: usize, completion: Completion) -> Answer {
        let stop = self.stop(job);
        let end = stop.unwrap_or(self.written[job].len());
        let cut_off = matches!(completion.stop, StopReason::MaxTokens | StopReason::ContextFull);
        let ended = stop.is_some() || !cut_off;
        Answer {
            text: String::from_utf8_lossy(&self.written[job][..end]).into_owned(),
            finish: if ended { Finish::Stop } else { Finish::Length },
            usage: Usage {
                prompt_tokens: self.jobs[job].tokens.len() as u64,
                cached_tokens: completion.cached_tokens as u64,
                completion_tokens: completion.tokens.len() as u64,
            },
            tokens: self.logprobs(completion.tokens),
            grades: completion.choices.into_iter().map(Distribution).collect(),
        }
    }

    /// Log-probabilities, where alternatives were wanted.
    fn logprobs(&self, tokens: Vec<NewToken>) -> Vec<TokenLogprob> {
        let text = |token: u32| self.tokenizer.decode(&[token]);
        let wanted = tokens.into_iter().filter(|token| !token.alternatives.is_empty());
        let told = |token: NewToken| TokenLogprob {
            text: text(token.token),
            logprob: token.logprob,
            alternatives: token
                .alternatives
                .into_iter()
                .map(|(token, logprob)| (text(token), logprob))
                .collect(),
        };
        wanted.map(told).collect()
    }
}

impl Listener for Answers<'_> {
    fn token(&mut self, job: usize, token: &NewToken) -> bool {
        self.written[job].extend_from_slice(self.tokenizer.token_bytes(token.token));
        self.stop(job).is_none()
    }

    fn done(&mut self, job: usize, result: Result<Completion, ModelError>) -> bool {
        let (request, _) = self.asked[job];
        let outcome = match result {
            Ok(completion) => {
                let mut answer = self.answer(job, completion);
                // Grades are read, not written: nothing is cut off.
                if !answer.grades.is_empty() {
                    answer.finish = Finish::Stop;
                }
                Ok(answer)
            }
            Err(error) => {
                let kind = match error {
                    ModelError::CacheTooSmall { .. } | ModelError::SequenceTooLong { .. } => {
                        FailureKind::Truncated
                    }
                    _ => FailureKind::Unsupported,
                };
                Err(Failure { kind, message: error.to_string(), usage: Usage::default() })
            }
        };
        (self.answered)(request, outcome)
    }
}
