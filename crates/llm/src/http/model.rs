//! The language model at an endpoint: a few threads that send what the schedule says.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::body::{build, parse};
use super::dialect::Probe;
use super::endpoint::Endpoint;
use super::failure::{AttemptError, What};
use crate::answer::{Failure, Outcome};
use crate::language_model::{Capabilities, LanguageModel, Oversight, Permit, Stop};
use crate::pacing::{Attempt, Limits, Next, Pace, Schedule};
use crate::request::{Request, Want};

/// A request that must wait for money that is set aside is offered again after this.
const OFFER_AGAIN: Duration = Duration::from_millis(50);

/// A language model at an endpoint that has been probed.
pub struct HttpModel {
    endpoint: Endpoint,
    name: String,
    probe: Probe,
    limits: Limits,
    pace: Mutex<Pace>,
    ended: Condvar,
    start: Instant,
}

/// One run of requests.
struct Run<'a> {
    model: &'a HttpModel,
    requests: &'a [Request],
    oversight: &'a dyn Oversight,
    schedule: Mutex<Schedule>,
}

impl HttpModel {
    /// The model at `endpoint`, of which `probe` is known.
    pub fn new(endpoint: Endpoint, probe: Probe, limits: Limits) -> Self {
        let name = endpoint.name();
        let pace = Mutex::new(Pace::new(limits));
        Self { endpoint, name, probe, limits, pace, ended: Condvar::new(), start: Instant::now() }
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What was found out about it.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    fn attempt(&self, request: &Request) -> Result<Outcome, AttemptError> {
        let (path, body) = build(request, self.endpoint.model(), self.probe.dialect)?;
        let answer = self.endpoint.post(path, &body)?;
        Ok(parse(request, self.probe.dialect, &answer)
            .map_err(|(error, usage)| Failure { usage, ..error.failure() }))
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LanguageModel for HttpModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        self.probe.capabilities
    }

    fn answer(&self, requests: &[Request], answered: &(dyn Fn(usize, Outcome) -> bool + Sync)) {
        self.answer_watched(requests, &Unwatched(answered));
    }

    fn answer_watched(&self, requests: &[Request], oversight: &dyn Oversight) {
        let tokens = requests.iter().map(|request| self.estimate_prompt_tokens(request) + written(request));
        let schedule = Mutex::new(Schedule::new(tokens.collect()));
        let run = Run { model: self, requests, oversight, schedule };
        let threads = self.limits.concurrency.max(1).min(requests.len());
        std::thread::scope(|scope| {
            for number in 0..threads {
                let run = &run;
                // Small stacks, because there may be many; without a thread of its own the work is done by the others.
                let thread = std::thread::Builder::new().name(format!("llm-{number}"));
                if thread.spawn_scoped(scope, move || run.work()).is_err() && number == 0 {
                    run.work();
                }
            }
        });
    }

    /// A token of common tokenizers has about four bytes of English, and templates add a few to every message.
    fn estimate_prompt_tokens(&self, request: &Request) -> u64 {
        let bytes = self.most_prompt_tokens(request) - 64 - 16 * request.messages.len() as u64;
        bytes.div_ceil(4) + 4 * request.messages.len() as u64 + 3
    }
}

fn written(request: &Request) -> u64 {
    match &request.want {
        Want::Text(generation) => u64::from(generation.max_tokens),
        Want::Grades(_) => 1,
    }
}

impl Run<'_> {
    /// What each thread does until nothing is left to send.
    fn work(&self) {
        loop {
            let mut pace = self.model.pace();
            let now = self.model.now();
            let next = self.schedule().next(&mut pace, now);
            match next {
                Next::Send(index) => {
                    drop(pace);
                    self.send(index);
                    self.model.ended.notify_all();
                }
                Next::Wait(until) => self.sleep(pace, until.saturating_sub(now)),
                Next::Busy => self.sleep(pace, Duration::from_secs(1)),
                Next::Done => break,
                Next::Down => {
                    drop(pace);
                    self.stop(Stop {
                        reason: "the provider is down: attempts kept failing".to_owned(),
                        advice: "what is answered is kept; run the same command again when it is back"
                            .to_owned(),
                    });
                    break;
                }
            }
        }
        self.model.ended.notify_all();
    }

    fn send(&self, index: usize) {
        match self.oversight.begin(index) {
            Permit::Granted => {}
            Permit::Wait => {
                let mut pace = self.model.pace();
                let later = self.model.now() + OFFER_AGAIN;
                return self.schedule().put_back(index, &mut pace, later);
            }
            Permit::Denied => {
                let mut pace = self.model.pace();
                let mut schedule = self.schedule();
                schedule.put_back(index, &mut pace, Duration::MAX);
                return schedule.stop();
            }
        }
        let sent = self.model.now();
        let attempt = self.model.attempt(&self.requests[index]);
        self.ended(index, sent, &attempt);
    }

    /// Makes of an attempt what it means: an outcome, another attempt, or the end of the run.
    fn ended(&self, index: usize, sent: Duration, attempt: &Result<Outcome, AttemptError>) {
        let times = [sent, self.model.now()];
        let (how, outcome, perhaps_paid) = match attempt {
            Ok(outcome) => (Attempt::Answered, outcome.clone(), false),
            Err(error) => {
                let (how, perhaps_paid) = match error.what {
                    What::Overloaded(wait) => (Attempt::Overloaded(wait), false),
                    What::Failed { retry_after, perhaps_paid } => {
                        (Attempt::Failed(retry_after), perhaps_paid)
                    }
                    What::Request | What::Run(_) => (Attempt::Answered, false),
                };
                (how, Err(error.failure()), perhaps_paid)
            }
        };
        let again = {
            let mut pace = self.model.pace();
            self.schedule().ended(index, how, &mut pace, times, random())
        };
        if let Err(error) = attempt
            && let What::Run(advice) = error.what
        {
            self.stop(Stop { reason: error.message.clone(), advice: advice.to_owned() });
        }
        match outcome {
            Err(failure) if again => self.oversight.lost(index, &failure, perhaps_paid),
            outcome => {
                if let Err(failure) = &outcome
                    && perhaps_paid
                {
                    self.oversight.lost(index, failure, true);
                }
                if !self.oversight.answered(index, outcome) {
                    self.schedule().stop();
                }
            }
        }
    }

    fn stop(&self, stop: Stop) {
        self.schedule().stop();
        self.oversight.stopped(stop);
    }

    fn sleep(&self, pace: MutexGuard<'_, Pace>, time: Duration) {
        drop(
            self.model.ended.wait_timeout(pace, time.clamp(Duration::from_millis(1), Duration::from_secs(1))),
        );
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Uniform in [0, 1): the jitter of waits, which nothing that is kept depends on.
fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(0_u8) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Nobody counts.
pub(crate) struct Unwatched<'a>(pub(crate) &'a (dyn Fn(usize, Outcome) -> bool + Sync));

impl Oversight for Unwatched<'_> {
    fn begin(&self, _: usize) -> Permit {
        Permit::Granted
    }

    fn lost(&self, _: usize, _: &Failure, _: bool) {}

    fn answered(&self, index: usize, outcome: Outcome) -> bool {
        (self.0)(index, outcome)
    }

    fn stopped(&self, stop: Stop) {
        tracing::warn!("{}: {}", stop.reason, stop.advice);
    }
}
