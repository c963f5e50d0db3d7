//! A report as a page with tables and charts.

use super::{Report, charts, tables};
use crate::report::Page;

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = Page::new(&format!("Explanations of {}", report.model));
    page.paragraph(&tables::context(report));
    page.paragraph(tables::BASELINES);
    let mut tables = tables::tables(report).into_iter();
    if let Some((title, table)) = tables.next() {
        page.heading(&title);
        page.table(&table);
    }
    page.heading("Charts");
    page.chart(&charts::by_layer(report));
    page.chart(&charts::by_density(report));
    page.chart(&charts::units(report));
    for (title, table) in tables {
        page.heading(&title);
        page.table(&table);
    }
    page.finish()
}
