//! The part of `glossator explain` in which a language model answers.

use glossator_explain::explaining_in_words::InWords;
use glossator_explain::pending::First;
use glossator_explain::words::Method;
use glossator_llm::Totals;
use glossator_model::UnitId;

use super::{Asker, Explain};
use crate::arguments::asking;
use crate::output;

impl Explain {
    /// Explains by `methods`.
    pub(super) fn explain_in_words(
        &self,
        asker: &Asker<'_>,
        methods: &[Method],
        units: &[UnitId],
    ) -> anyhow::Result<()> {
        let Asker { atlas, client, prompts, simulator } = *asker;
        let bar = output::progress_of_calls(units.len() as u64, "units");
        let watch = |totals: &Totals| bar.set_message(totals.to_string());
        let words = InWords { atlas, client, prompts, samples: self.samples, simulator, watch: &watch };
        for &method in methods {
            let done =
                if self.selection.again { vec![false; units.len()] } else { words.done(method, units)? };
            let pending: Vec<UnitId> =
                units.iter().zip(&done).filter(|(_, done)| !**done).map(|(unit, _)| *unit).collect();
            let what = method.to_string();
            let first = || Ok(First::only(words.first_requests(method, &pending)?, pending.len()));
            if !self.asking.announce(Some(client), &what, pending.len(), first)? {
                continue;
            }
            bar.reset();
            bar.set_prefix(what);
            let explained = words.run(method, units, &done, &|units| bar.inc(units as u64));
            bar.abandon();
            let explained = explained?;
            let mut parts = vec![format!("{} explained", output::count(explained.units, "unit"))];
            if explained.without_evidence > 0 {
                parts.push(format!("{} have nothing to show for this method", explained.without_evidence));
            }
            if explained.failed > 0 {
                parts.push(format!("{} failed and have no explanation", explained.failed));
            }
            output::note(&format!("{method}: {}{}", parts.join(", "), asking::failures(&explained.failures)));
        }
        Ok(())
    }
}
