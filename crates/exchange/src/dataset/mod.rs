//! Writes units as a data set: Parquet tables that stand alone, with a card for people and for the Hugging Face hub.
//!
//! ```text
//! README.md                  what it is, where it comes from, the columns, the mean scores
//! data/units.parquet         a row a unit
//! data/explanations.parquet  a row an explanation
//! data/scores.parquet        a row a score
//! data/excerpts.parquet      a row an excerpt, with token texts
//! ```

mod card;
mod tables;

use std::path::Path;

use glossator_atlas::Atlas;
use glossator_model::UnitId;

use self::card::Card;
use self::tables::{ExcerptTable, ExplanationTable, ScoreTable, UnitTable};
use crate::error::ExchangeError;
use crate::files;

/// Units whose rows are written together.
const GROUP: usize = 256;

/// Writes `units` below `directory`, which must be empty or not there yet; `licence` is that of the texts, for the card.
/// `progress` is called after each unit.
pub fn write(
    atlas: &Atlas,
    units: &[UnitId],
    licence: &str,
    directory: &Path,
    progress: &dyn Fn(),
) -> Result<(), ExchangeError> {
    files::create_for(units, directory)?;
    let data = directory.join("data");
    let mut unit_table = UnitTable::create(&data.join("units.parquet"))?;
    let mut explanations = ExplanationTable::create(&data.join("explanations.parquet"))?;
    let mut scores = ScoreTable::create(&data.join("scores.parquet"))?;
    let mut excerpts = ExcerptTable::create(&data.join("excerpts.parquet"))?;
    let mut card = Card::new(licence);
    for units in units.chunks(GROUP) {
        let mut records = Vec::with_capacity(units.len());
        let (mut all_explanations, mut all_scores) = (Vec::new(), Vec::new());
        for &unit in units {
            records.push(atlas.unit(unit)?);
            all_explanations.extend(atlas.explanations(unit)?);
            all_scores.extend(atlas.scores(unit)?);
            progress();
        }
        card.count(units.len(), &all_explanations, &all_scores);
        unit_table.write(atlas, &records)?;
        explanations.write(&all_explanations)?;
        scores.write(&all_scores)?;
        excerpts.write(atlas, &records)?;
    }
    unit_table.finish()?;
    explanations.finish()?;
    scores.finish()?;
    excerpts.finish()?;
    // Written last: a directory with a card is whole.
    files::write(&directory.join("README.md"), card.text(atlas).as_bytes())
}
