//! Has a language model explain units of an atlas, and stores what it said, resumably.
//!
//! Units are worked on in blocks that depend only on the selection. Each is asked for all samples of all its units at once.
//! Where there are several samples, the one is kept whose simulation correlates best with the calibration excerpts,
//! which no explainer sees and no final score uses; all of them are recorded with their correlations. A unit for which no
//! answer can be used gets no explanation: its failures are recorded, and the next run asks again for what may still be
//! answered.

use std::collections::BTreeMap;
use std::time::Instant;

use glossator_atlas::{Atlas, Explanation, Split};
use glossator_llm::{Client, Failure, Outcome, Request};
use glossator_model::UnitId;
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::ExplainError;
use crate::block::count_failures;
use crate::explaining;
use crate::prompts::Prompts;
use crate::sample::Sample;
use crate::simulate::Simulator;
use crate::simulating::{Simulations, Watch};
use crate::tally::Tally;
use crate::words::{Draft, Echo, Evidence, Method, answer};

/// Units that are asked about, and stored, together.
const BLOCK: usize = 32;

/// Units from which the cost of a run is estimated.
const ESTIMATED: usize = 8;

/// A language model as an explainer.
pub struct InWords<'a> {
    /// Where the units are.
    pub atlas: &'a Atlas,
    /// Who is asked.
    pub client: &'a Client,
    /// What is asked.
    pub prompts: &'a Prompts,
    /// Explanations of each unit of which the best is kept; the first is the likeliest answer, the others are drawn.
    pub samples: u32,
    /// Who simulates on the calibration excerpts where there are several samples.
    pub simulator: Simulator,
    /// Who sees the running totals.
    pub watch: Watch<'a>,
}

/// What came of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explained {
    /// Units explained.
    pub units: usize,
    /// Units without the evidence that the method shows.
    pub without_evidence: usize,
    /// Units without any answer that can be used.
    pub failed: usize,
    /// Answers that cannot be used, by what is wrong.
    pub failures: BTreeMap<String, u64>,
}

/// A unit, what it is asked, and what came of it.
struct Asked {
    unit: UnitId,
    drafts: Vec<Draft>,
    tally: Tally,
    /// Of each sample the text of each draft.
    samples: Vec<Result<Vec<String>, Failure>>,
}

impl InWords<'_> {
    /// The units of `units` that this model has explained by `method`.
    pub fn done(&self, method: Method, units: &[UnitId]) -> Result<Vec<bool>, ExplainError> {
        explaining::done(self.atlas, &method.explainer(self.client.name()), units)
    }

    /// The requests that explain the first few of `units`, for an estimate before a run, and the number of units
    /// that they are for. What choosing among samples will ask is not known before there are any; explanations of a usual
    /// length stand in for them.
    pub fn first_requests(
        &self,
        method: Method,
        units: &[UnitId],
    ) -> Result<(Vec<Request>, usize), ExplainError> {
        let units: Vec<UnitId> = units.iter().copied().take(ESTIMATED).collect();
        let asked = self.drafts(method, &units)?;
        let mut requests = Vec::new();
        for asked in &asked {
            requests.extend(self.requests(method, &asked.drafts)?);
            if self.samples > 1 && !asked.drafts.is_empty() {
                let simulations = Simulations::new(self.client, self.prompts, self.simulator, self.watch);
                let sample = Sample::of(self.atlas, asked.unit, Split::Calibration)?;
                for number in 0..self.samples {
                    let unit = asked.unit;
                    let text = format!("words for one kind of thing in texts of another ({unit}, {number})");
                    requests.extend(simulations.requests(self.atlas, &text, &sample)?);
                }
            }
        }
        Ok((requests, units.len()))
    }

    /// Explains by `method` those of `units` that are not `done`. `progress` is told the number of units, block by block.
    pub fn run(
        &self,
        method: Method,
        units: &[UnitId],
        done: &[bool],
        progress: &dyn Fn(usize),
    ) -> Result<Explained, ExplainError> {
        if self.samples > 1 {
            self.simulator.check(self.client)?;
        }
        let mut explained = Explained::default();
        for (units, done) in units.chunks(BLOCK).zip(done.chunks(BLOCK)) {
            let pending: Vec<UnitId> =
                units.iter().zip(done).filter(|(_, done)| !**done).map(|(unit, _)| *unit).collect();
            self.block(method, &pending, &mut explained)?;
            progress(units.len());
        }
        Ok(explained)
    }

    fn block(&self, method: Method, units: &[UnitId], explained: &mut Explained) -> Result<(), ExplainError> {
        let start = Instant::now();
        let mut asked = self.drafts(method, units)?;
        explained.without_evidence += asked.iter().filter(|asked| asked.drafts.is_empty()).count();
        asked.retain(|asked| !asked.drafts.is_empty());
        self.ask(method, &mut asked)?;
        let chosen = self.choose(&mut asked)?;
        let seconds = start.elapsed().as_secs_f64() / asked.len().max(1) as f64;
        let (mut explanations, mut calls) = (Vec::new(), Vec::new());
        for (asked, choice) in asked.iter().zip(chosen) {
            match &choice {
                Some(choice) => explanations.push(self.explanation(method, asked, choice, seconds)),
                None => explained.failed += 1,
            }
            count_failures(&mut explained.failures, &asked.tally.failures);
            let explainer = method.explainer(self.client.name());
            calls.push(asked.tally.calls(asked.unit, &explainer, self.client.price()));
        }
        explained.units += explanations.len();
        self.atlas.put_calls(&calls)?;
        self.atlas.put_explanations(&explanations)?;
        Ok(())
    }

    fn drafts(&self, method: Method, units: &[UnitId]) -> Result<Vec<Asked>, ExplainError> {
        let asked = |&unit: &UnitId| {
            let drafts = method.drafts(&Evidence::of(self.atlas, unit)?);
            Ok(Asked { unit, drafts, tally: Tally::default(), samples: Vec::new() })
        };
        units.par_iter().map(asked).collect()
    }

    /// Sample by sample, the requests for all drafts.
    fn requests(&self, method: Method, drafts: &[Draft]) -> Result<Vec<Request>, ExplainError> {
        let capabilities = self.client.capabilities();
        let samples =
            (0..self.samples.max(1)).flat_map(|sample| drafts.iter().map(move |draft| (sample, draft)));
        let requests =
            samples.map(|(sample, draft)| method.request(self.prompts, capabilities, draft, sample));
        Ok(requests.collect::<Result<_, _>>()?)
    }

    fn ask(&self, method: Method, asked: &mut [Asked]) -> Result<(), ExplainError> {
        let begin = method.begin(self.prompts)?;
        let mut requests = Vec::new();
        for asked in asked.iter() {
            requests.extend(self.requests(method, &asked.drafts)?);
        }
        let outcomes = self.client.ask_with(&requests, self.watch)?;
        let mut rest = outcomes.as_slice();
        for asked in asked {
            let (these, after) = rest.split_at(asked.drafts.len() * self.samples.max(1) as usize);
            rest = after;
            let echoes = asked.drafts.iter().map(|draft| method.echo(self.prompts, draft));
            let echoes: Vec<Echo> = echoes.collect::<Result<_, _>>()?;
            for sample in these.chunks(asked.drafts.len()) {
                let read = |(outcome, echo): (&Outcome, &Echo)| {
                    let read = answer::sentence(outcome, begin.as_deref(), echo);
                    asked.tally.count(outcome, read.as_ref().err());
                    read
                };
                // All are counted, also those after a failure.
                let texts: Vec<Result<String, Failure>> = sample.iter().zip(&echoes).map(read).collect();
                asked.samples.push(texts.into_iter().collect());
            }
        }
        Ok(())
    }

    /// For each unit the sample that is kept; nothing where all failed.
    fn choose(&self, asked: &mut [Asked]) -> Result<Vec<Option<Choice>>, ExplainError> {
        if self.samples <= 1 {
            let only = |asked: &Asked| asked.samples.first()?.is_ok().then(Choice::default);
            return Ok(asked.iter().map(only).collect());
        }
        let simulations = Simulations::new(self.client, self.prompts, self.simulator, self.watch);
        // The different texts of each unit, each simulated once.
        let mut tasks = Vec::new();
        for (place, asked) in asked.iter().enumerate() {
            let sample = Sample::of(self.atlas, asked.unit, Split::Calibration)?;
            let mut texts: Vec<String> = Vec::new();
            for text in asked.samples.iter().flatten().map(|texts| asked.text(texts)) {
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
            tasks.extend(texts.into_iter().map(|text| (place, text, sample.clone())));
        }
        let questions: Vec<(&str, &Sample)> =
            tasks.iter().map(|(_, text, sample)| (text.as_str(), sample)).collect();
        let simulated = simulations.run(self.atlas, &questions)?;
        let mut correlations: BTreeMap<(usize, &str), Option<f64>> = BTreeMap::new();
        for ((place, text, sample), simulated) in tasks.iter().zip(simulated) {
            asked[*place].tally.add(&simulated.tally);
            correlations.insert((*place, text), simulated.correlation(sample));
        }
        let choice = |(place, asked): (usize, &Asked)| {
            let correlation =
                |texts: &Vec<String>| correlations.get(&(place, &asked.text(texts))).copied().flatten();
            let of_samples: Vec<Option<f64>> =
                asked.samples.iter().map(|sample| sample.as_ref().ok().and_then(correlation)).collect();
            let usable = (0..asked.samples.len()).filter(|&sample| asked.samples[sample].is_ok());
            // The first of equally good ones; where nothing is defined, the likeliest answer.
            let best =
                usable.reduce(|best, next| if of_samples[next] > of_samples[best] { next } else { best })?;
            Some(Choice { sample: best, correlations: of_samples })
        };
        Ok(asked.iter().enumerate().map(choice).collect())
    }

    fn explanation(&self, method: Method, asked: &Asked, choice: &Choice, seconds: f64) -> Explanation {
        let samples = asked.samples.iter().enumerate().map(|(number, sample)| match sample {
            Ok(texts) => json!({
                "text": asked.text(texts),
                "calibration_correlation": choice.correlations.get(number).copied().flatten(),
            }),
            Err(failure) => json!({"failure": failure.kind, "message": failure.message}),
        });
        let texts = asked.samples.get(choice.sample).and_then(|sample| sample.as_ref().ok());
        let texts: &[String] = texts.map_or(&[], Vec::as_slice);
        let chosen_by = (self.samples > 1).then(|| self.simulator.scorer(self.client.name()));
        let senses = asked
            .drafts
            .iter()
            .zip(texts)
            .map(|(draft, text)| json!({"text": text, "share": draft.share, "windows": draft.windows}));
        Explanation {
            unit: asked.unit,
            explainer: method.explainer(self.client.name()),
            text: asked.text(texts),
            body: json!({
                "model": self.client.name(),
                "method": method.name(),
                "senses": senses.collect::<Vec<Value>>(),
                "samples": samples.collect::<Vec<Value>>(),
                "chosen": choice.sample,
                "chosen_by": chosen_by,
            }),
            seconds: Some(seconds),
        }
    }
}

/// The sample that is kept.
#[derive(Default)]
struct Choice {
    sample: usize,
    /// Of each sample on the calibration excerpts; empty where there was nothing to choose.
    correlations: Vec<Option<f64>>,
}

impl Asked {
    /// The explanation in one line: its only sense, or all of them with their shares.
    fn text(&self, texts: &[String]) -> String {
        match texts {
            [only] => only.clone(),
            texts => {
                let senses = self.drafts.iter().zip(texts);
                let senses = senses.map(|(draft, text)| format!("{text} ({:.0} %)", 100.0 * draft.share));
                senses.collect::<Vec<String>>().join("; ")
            }
        }
    }
}
