//! An HTML page that stands alone.

use std::fmt::Write as _;

use super::chart::Chart;
use super::table::Table;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}\
th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #8884;white-space:nowrap}\
th:first-child,td:first-child{text-align:left}\
figure{margin:1.5rem 0}svg{max-width:100%;height:auto;font:12px system-ui,sans-serif}\
dt{font-weight:600}code{font-size:.9em}";

/// A page that is being put together.
pub(crate) struct Page {
    title: String,
    body: String,
}

impl Page {
    pub(crate) fn new(title: &str) -> Self {
        Self { title: escape(title), body: String::new() }
    }

    pub(crate) fn heading(&mut self, text: &str) {
        self.push(&format!("<h2>{}</h2>", escape(text)));
    }

    pub(crate) fn paragraph(&mut self, text: &str) {
        self.push(&format!("<p>{}</p>", escape(text)));
    }

    pub(crate) fn table(&mut self, table: &Table) {
        self.push(&table.to_html());
    }

    pub(crate) fn chart(&mut self, chart: &Chart) {
        self.push(&format!("<figure>{}</figure>", chart.to_svg()));
    }

    /// Terms and what they mean.
    pub(crate) fn definitions<'a>(&mut self, definitions: impl IntoIterator<Item = (&'a str, &'a str)>) {
        self.push("<dl>");
        for (term, meaning) in definitions {
            self.push(&format!("<dt>{}</dt><dd>{}</dd>", escape(term), escape(meaning)));
        }
        self.push("</dl>");
    }

    /// The whole document.
    pub(crate) fn finish(self) -> String {
        let Self { title, body } = self;
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title><style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
        )
    }

    fn push(&mut self, html: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{html}");
    }
}

/// Text as it may stand in HTML and SVG, also in attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Not allowed in HTML, not even escaped.
            control if control.is_control() && !matches!(control, '\n' | '\t') => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let hostile = "<script>alert('x')</script>\"&\u{7}";
        let mut page = Page::new(hostile);
        page.heading(hostile);
        page.paragraph(hostile);
        page.definitions([(hostile, hostile)]);
        page.table(&Table::new(&[hostile], vec![vec![hostile.to_owned()]]));
        let html = page.finish();
        assert!(!html.contains("<script") && !html.contains('\u{7}'));
        assert_eq!(html.matches("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;").count(), 8);
    }
}
