//! What is simulated of a unit, and the scores that come of it.

use glossator_atlas::{Distributions, Excerpt, HEADLINE, Score, Simulation};
use glossator_model::UnitId;

use super::Simulated;
use crate::ablating::ABLATION;
use crate::baselines::Baseline;
use crate::rows::{self, Scored};
use crate::sample::Sample;
use crate::score::{Calibration, Resampling, Scores, Stratum};

/// What is simulated of a unit.
pub(super) struct Task {
    pub(super) unit: UnitId,
    pub(super) maximum: f32,
    pub(super) sample: Sample,
    pub(super) calibrating: Option<Sample>,
    /// The explanation, the baselines, and its senses.
    pub(super) texts: Vec<Text>,
}

/// The excerpts of a sample that were answered, with what is predicted for each.
pub(super) struct Answered {
    pub(super) sample: Sample,
    pub(super) activations: Vec<Vec<f32>>,
    pub(super) distributions: Vec<Option<Distributions>>,
}

impl Answered {
    /// What is stored of it.
    pub(super) fn simulations(self, scored: Scored<'_>) -> impl Iterator<Item = Simulation> {
        let predicted = self.activations.into_iter().zip(self.distributions);
        let simulation = move |((_, excerpt), (activations, distributions)): ((_, Excerpt), _)| Simulation {
            unit: scored.unit,
            explainer: scored.explainer.to_owned(),
            scorer: scored.scorer.to_owned(),
            window: excerpt.window,
            activations,
            distributions,
        };
        self.sample.excerpts.into_iter().zip(predicted).map(simulation)
    }
}

/// A text that is simulated.
pub(super) struct Text {
    pub(super) words: String,
    pub(super) part: Part,
    /// Whether it is simulated on the calibration excerpts too, where these are.
    pub(super) calibrated: bool,
}

/// What a text is.
pub(super) enum Part {
    /// The explanation.
    Explanation,
    /// What it has to beat.
    Baseline(Baseline),
    /// One of several senses by its number from 1, and the excerpts that score it.
    Sense(usize, Sample),
}

impl Text {
    /// The excerpts that score it, of a unit whose excerpts are `all`.
    pub(super) fn sample<'a>(&'a self, all: &'a Sample) -> &'a Sample {
        if let Part::Sense(_, sample) = &self.part { sample } else { all }
    }
}

/// Turns the headline score of the excerpts of one sense into that sense's score.
pub(super) fn of_sense(row: &mut Score, number: usize, sample: &Sample) {
    row.sample = format!("sense_{number}");
    if sample.count(Stratum::Top) == 0 {
        (row.value, row.low, row.high) = (None, None, None);
        row.remark = Some("no top excerpt of this split shows the sense".to_owned());
    }
}

/// Says on the rows what excerpts of those that were `asked` about are missing in them, and leaves undefined what too many are
/// missing in.
pub(super) fn remark(asked: &Sample, answered: &Sample, remark: Option<&str>, rows: &mut [Score]) {
    let missing = |stratum| asked.count(stratum) - answered.count(stratum);
    let too_many = |stratum| 2 * missing(stratum) > asked.count(stratum);
    for row in rows {
        let strata: &[Stratum] = match row.sample.as_str() {
            "top_only" => &[Stratum::Top],
            "random_only" => &[Stratum::Random],
            _ => &[Stratum::Top, Stratum::Random],
        };
        let absent: usize = strata.iter().map(|stratum| missing(*stratum)).sum();
        if absent > 0 {
            let all: usize = strata.iter().map(|stratum| asked.count(*stratum)).sum();
            let missing = format!("no answer that can be used for {absent} of {all} excerpts");
            row.remark = Some(match row.remark.take() {
                Some(undefined) => format!("{missing}; {undefined}"),
                None => missing,
            });
            if strata.iter().any(|stratum| too_many(*stratum)) {
                (row.value, row.low, row.high) = (None, None, None);
            }
        } else if row.remark.is_none() && [HEADLINE.0, ABLATION].contains(&row.metric.as_str()) {
            row.remark = remark.map(str::to_owned);
        }
    }
}

impl Task {
    /// What is simulated, in order: of each text the scored excerpts, and those for calibration where it is calibrated.
    pub(super) fn questions(&self) -> impl Iterator<Item = (&str, &Sample)> {
        self.questions_about(|_| true)
    }

    /// The same of some texts alone.
    pub(super) fn questions_about(
        &self,
        wanted: impl Fn(&Part) -> bool,
    ) -> impl Iterator<Item = (&str, &Sample)> {
        self.texts.iter().filter(move |text| wanted(&text.part)).flat_map(|text| {
            let calibrating = self.calibrating.as_ref().filter(|_| text.calibrated);
            let sample = text.sample(&self.sample);
            std::iter::once(sample).chain(calibrating).map(|sample| (text.words.as_str(), sample))
        })
    }

    /// The excerpts with a prediction, and the predictions in the unit's scale.
    pub(super) fn answered(&self, sample: &Sample, simulated: Simulated) -> Answered {
        let (sample, predicted) = sample.clone().answered(simulated.predicted);
        let maximum = self.maximum.max(0.0);
        let (mut activations, mut distributions) = (Vec::new(), Vec::new());
        for one in predicted {
            activations.push(one.shares.into_iter().map(|share| share * maximum).collect());
            distributions.push(one.distributions.map(|one| one.between([0.0, maximum])));
        }
        Answered { sample, activations, distributions }
    }

    pub(super) fn rows(
        &self,
        scored: Scored<'_>,
        answered: &Answered,
        calibrating: Option<&Answered>,
        resampling: &Resampling,
    ) -> Vec<Score> {
        let sample = &answered.sample;
        let pairs = sample.pair(&answered.activations);
        let of = |calibration: &Calibration| Scores::of(&pairs, Some(calibration), self.maximum, resampling);
        let plain = of(&Calibration::None);
        let mut rows = rows::uncalibrated_rows(scored, sample, &plain);
        rows.extend(rows::calibrated_rows(scored, sample, &plain, true, "_uncalibrated"));
        if let Some(calibrating) = calibrating {
            let pairs = calibrating.sample.pair(&calibrating.activations);
            for (calibration, suffix) in
                [(Calibration::linear(&pairs), ""), (Calibration::percentile(&pairs), "_percentile")]
            {
                let scores = calibration.as_ref().map_or(plain, of);
                rows.extend(rows::calibrated_rows(scored, sample, &scores, calibration.is_some(), suffix));
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use glossator_atlas::{Excerpt, ExcerptKind, Split};
    use glossator_model::HookPoint;

    use super::*;
    use crate::simulate::Predicted;
    use crate::tally::Tally;

    fn sample(split: Split) -> Sample {
        let excerpt = |(kind, stratum, max): (ExcerptKind, Stratum, f32)| {
            let activations = vec![0.0, max, 0.5 * max];
            let excerpt = Excerpt {
                kind,
                rank: 0,
                split,
                window: max as u32,
                document: String::new(),
                offset: 0,
                tokens: vec![1, 2, 3],
                activations,
                max,
            };
            (stratum, excerpt)
        };
        let excerpts = [(ExcerptKind::Top, Stratum::Top, 4.0), (ExcerptKind::Random, Stratum::Random, 1.0)];
        Sample { excerpts: excerpts.map(excerpt).to_vec(), ignored: 0 }
    }

    /// The rows of a unit whose calibration excerpts were answered, or not.
    fn rows(answered: bool) -> Vec<Score> {
        let (sample, calibrating) = (sample(Split::Test), sample(Split::Calibration));
        let unit = UnitId::new(HookPoint::mlp_post(0), 0);
        let task = Task { unit, maximum: 4.0, sample: sample.clone(), calibrating: None, texts: Vec::new() };
        let predicted = |activations: &[f32]| Predicted {
            shares: activations.iter().map(|activation| activation / 4.0).collect(),
            distributions: None,
        };
        let simulated = |predicted| Simulated { predicted, tally: Tally::default() };
        let [first, second] = [predicted(&[0.0, 3.0, 2.0]), predicted(&[0.0, 1.0, 0.0])];
        let calibrating = task.answered(&calibrating, simulated(vec![answered.then(|| first.clone()), None]));
        let answered = task.answered(&sample, simulated(vec![Some(first), Some(second)]));
        let scored =
            Scored { unit, explainer: "llm:max-act@m", scorer: "simulation:json@m", split: Split::Test };
        let resampling = Resampling::new(10, 5, 0);
        task.rows(scored, &answered, Some(&calibrating), &resampling)
    }

    #[test]
    fn measures_without_a_calibration_are_undefined_and_say_so() {
        let (fitted, without) = (rows(true), rows(false));
        let kinds = |rows: &[Score]| -> Vec<(String, String)> {
            rows.iter().map(|row| (row.metric.clone(), row.sample.clone())).collect()
        };
        assert_eq!(kinds(&fitted), kinds(&without), "no row is left out");
        for (fitted, without) in fitted.iter().zip(&without) {
            let measure = without.metric.trim_end_matches("_percentile");
            if ["r_squared", "absolute_deviation_explained"].contains(&measure) {
                assert!(fitted.value.is_some(), "{fitted:?}");
                assert_eq!((without.value, without.low, without.high), (None, None, None));
                assert_eq!(without.remark.as_deref(), Some(rows::NO_CALIBRATION));
            } else {
                assert_eq!(fitted, without, "it needs no calibration");
            }
        }
    }
}
