//! A log as text that people read.

use std::fmt::Write as _;

use super::{Log, Round, Tested};
use crate::prompts::visible;

impl Log {
    /// All rounds with their sentences, and what was kept. Sentences may be anything, so that what cannot be seen in them is
    /// written out.
    pub fn transcript(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) -> std::fmt::Result {
        writeln!(to, "first: {} [{}]", visible(&self.initial), score(self.initial_valid))?;
        for (number, round) in self.rounds.iter().enumerate() {
            writeln!(to, "round {}: {}", number + 1, visible(&round.tested))?;
            round.write(to)?;
        }
        let kept = self.kept.map_or("the first".to_owned(), |round| format!("that of round {}", round + 1));
        let (before, after) = (score(self.initial_test), score(self.kept_test));
        writeln!(to, "kept: {kept}; on texts that nobody saw {before} before, {after} after")
    }
}

impl Round {
    fn write(&self, to: &mut String) -> std::fmt::Result {
        for Tested { text, expected, token, fires, .. } in &self.sentences {
            let against =
                if expected.is_some_and(|expected| expected != *fires) { " AGAINST IT" } else { "" };
            let said = match expected {
                Some(true) => "should fire, ",
                Some(false) => "should be silent, ",
                None => "",
            };
            let did = if *fires { format!("fires at {:?}", visible(token)) } else { "is silent".to_owned() };
            writeln!(to, "  {said}{did}{against}: {}", visible(text))?;
        }
        if let Some(revised) = &self.revised {
            writeln!(to, "  so: {} [{}]", visible(revised), score(self.valid))?;
        }
        if let Some(failure) = &self.failure {
            writeln!(to, "  {failure}")?;
        }
        Ok(())
    }
}

fn score(value: Option<f64>) -> String {
    value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:.3}"))
}
