//! Tables, for terminals and for pages.

use std::fmt::Write as _;

use glossator_explain::score::Interval;

use super::markdown::markdown;
use super::page::escape;

/// A head and rows of cells. The first column holds names, the others numbers.
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Rows that are shorter than the head end in empty cells.
    pub(crate) fn new(head: &[&str], rows: Vec<Vec<String>>) -> Self {
        Self { head: head.iter().map(|name| (*name).to_owned()).collect(), rows }
    }

    /// Aligned columns: names to the left, numbers to the right.
    pub(crate) fn to_text(&self) -> String {
        let lines: Vec<&Vec<String>> = std::iter::once(&self.head).chain(&self.rows).collect();
        let width = |column: usize| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        for line in lines {
            let mut row = String::new();
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                // Writing to a string cannot fail.
                let _ =
                    if column == 0 { write!(row, "{cell:<width$}") } else { write!(row, "  {cell:>width$}") };
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }

    /// A table of GitHub's Markdown.
    pub(crate) fn to_markdown(&self) -> String {
        let row = |cells: &[String]| {
            let cells = (0..self.head.len()).map(|column| cells.get(column).map_or("", String::as_str));
            format!("| {} |\n", cells.map(markdown).collect::<Vec<_>>().join(" | "))
        };
        let alignment = (0..self.head.len()).map(|column| if column == 0 { "---|" } else { "--:|" });
        let rows = self.rows.iter().map(|cells| row(cells));
        row(&self.head) + "|" + &alignment.collect::<String>() + "\n" + &rows.collect::<String>()
    }

    pub(super) fn to_html(&self) -> String {
        let row = |cells: &[String], tag: &str| {
            let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
            format!("<tr>{}</tr>", cells.collect::<String>())
        };
        let rows = self.rows.iter().map(|cells| row(cells, "td")).collect::<Vec<_>>().join("\n");
        format!("<table>\n<thead>{}</thead>\n<tbody>{rows}</tbody>\n</table>", row(&self.head, "th"))
    }
}

/// A number with about four digits; a dash for what is undefined.
pub(crate) fn number(value: Option<f64>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1e6 => format!("{value:.3e}"),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 10.0 => format!("{value:.2}"),
        size if size >= 1.0 => format!("{value:.3}"),
        size if size >= 1e-3 => format!("{value:.4}"),
        _ => format!("{value:.2e}"),
    }
}

/// An interval; a dash for none.
pub(crate) fn interval(interval: Option<Interval>) -> String {
    interval.map_or_else(|| number(None), |Interval { low, high }| format!("{low:.3} to {high:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows =
            vec![vec!["é".into(), "1.5".into()], vec!["long name".into(), "–".into()], vec!["x".into()]];
        let table = Table::new(&["name", "value"], rows);
        assert_eq!(table.to_text(), "name       value\né            1.5\nlong name      –\nx\n");
        assert_eq!(
            table.to_markdown(),
            "| name | value |\n|---|--:|\n| é | 1.5 |\n| long name | – |\n| x |  |\n"
        );
    }

    #[test]
    fn numbers_have_about_four_digits() {
        let shown = [0.0, 1234.5, 123.45, 12.345, -1.2345, 0.012_345, 1.2e-5, 2.5e7].map(Some).map(number);
        assert_eq!(shown, ["0", "1234", "123.5", "12.35", "-1.234", "0.0123", "1.20e-5", "2.500e7"]);
        assert_eq!(number(None), "–");
    }
}
