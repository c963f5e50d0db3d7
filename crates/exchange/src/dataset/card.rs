//! The card: what the data set is, in Markdown with the front matter that the Hugging Face hub reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use glossator_atlas::{Atlas, Explanation, Score};

/// What the card says, counted as tables are written.
pub(super) struct Card {
    licence: String,
    units: usize,
    /// Explanations by explainer.
    explanations: BTreeMap<String, u64>,
    /// Sum and number of defined values by explainer, scorer, metric, sample and split.
    scores: BTreeMap<[String; 5], (f64, u64, u64)>,
}

/// The tables that hold rows whatever the atlas.
const TABLES: [(&str, &str); 4] = [
    ("units", "moments, density, maximum, strongest tokens and logit weights of each unit"),
    ("explanations", "each explanation in one line (`text`) and whole (`body`, JSON), with who made it"),
    (
        "scores",
        "each score with its 95 % bootstrap interval; an undefined value is null, with the reason in `remark`",
    ),
    (
        "excerpts",
        "top, quantile and random excerpts with activations; explainers saw the split `train` alone",
    ),
];

impl Card {
    pub(super) fn new(licence: &str) -> Self {
        Self { licence: licence.to_owned(), units: 0, explanations: BTreeMap::new(), scores: BTreeMap::new() }
    }

    /// Counts the rows of some units.
    pub(super) fn count(&mut self, units: usize, explanations: &[Explanation], scores: &[Score]) {
        self.units += units;
        for explanation in explanations {
            *self.explanations.entry(explanation.explainer.clone()).or_default() += 1;
        }
        for score in scores {
            let key =
                [&score.explainer, &score.scorer, &score.metric, &score.sample, &score.split.to_string()];
            let (sum, defined, undefined) = self.scores.entry(key.map(ToString::to_string)).or_default();
            match score.value {
                Some(value) => (*sum, *defined) = (*sum + value, *defined + 1),
                None => *undefined += 1,
            }
        }
    }

    pub(super) fn text(&self, atlas: &Atlas) -> String {
        let run = &atlas.manifest().run;
        let tables: Vec<&(&str, &str)> = TABLES
            .iter()
            .filter(|(name, _)| match *name {
                "explanations" => !self.explanations.is_empty(),
                "scores" => !self.scores.is_empty(),
                _ => true,
            })
            .collect();
        let mut text = String::new();
        let _ = writeln!(
            text,
            "---\nlicense: {}\npretty_name: {}",
            quoted(&self.licence),
            quoted(&self.title(atlas))
        );
        let _ = writeln!(text, "tags:\n- interpretability\n- glossator\nconfigs:");
        for (name, _) in &tables {
            let _ = writeln!(text, "- config_name: {name}\n  data_files: data/{name}.parquet");
        }
        let _ = writeln!(text, "---\n\n# {}\n", plain(&self.title(atlas)));
        let _ = writeln!(
            text,
            "{} units of {}, recorded on {} tokens of {} (windows of {}), seed {}, by glossator {}.\n",
            self.units,
            plain(&run.model),
            run.tokens,
            plain(&run.corpus),
            run.context,
            run.seed,
            atlas.manifest().glossator
        );
        for (name, what) in tables {
            let _ = writeln!(text, "- `data/{name}.parquet`: {what}");
        }
        self.write_scores(&mut text);
        text
    }

    fn title(&self, atlas: &Atlas) -> String {
        format!("{} units of {}, explained", self.units, atlas.manifest().run.model)
    }

    fn write_scores(&self, text: &mut String) {
        if self.scores.is_empty() {
            return;
        }
        text.push_str("\n## Mean scores\n\n| explainer | scorer | metric | sample | split | mean | defined | undefined |\n");
        text.push_str("|---|---|---|---|---|---|---|---|\n");
        for (key, (sum, defined, undefined)) in &self.scores {
            let mean = if *defined > 0 { format!("{:.3}", sum / *defined as f64) } else { "–".to_owned() };
            let key = key.each_ref().map(|part| plain(part));
            let _ = writeln!(text, "| {} | {mean} | {defined} | {undefined} |", key.join(" | "));
        }
    }
}

/// Text of others as Markdown that says just that.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
        if "\\`*_{}[]<>#|!".contains(letter) {
            plain.push('\\');
        }
        plain.push(letter);
    }
    plain
}

/// Text of others as a YAML string: JSON strings are YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn names_of_others_are_no_markup() {
        assert_eq!(plain("a|b <img>\n# c"), "a\\|b \\<img\\> \\# c");
    }
}
