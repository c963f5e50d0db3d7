//! The vocabulary of an atlas: token texts, and which tokens have a mean activation.

use crate::tables::tokens::TokenRow;

/// Token texts and counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    rows: Vec<TokenRow>,
    kept: Vec<u32>,
}

impl Vocabulary {
    /// Checks that the columns of the kept tokens are 0, 1, 2, … in some order.
    pub(crate) fn new(rows: Vec<TokenRow>) -> Result<Self, String> {
        let count = rows.iter().filter(|row| row.column.is_some()).count();
        let mut kept = vec![u32::MAX; count];
        for (token, row) in rows.iter().enumerate() {
            let Some(column) = row.column else { continue };
            match kept.get_mut(column as usize) {
                Some(place) if *place == u32::MAX => *place = token as u32,
                _ => return Err(format!("token {token} has the impossible column {column}")),
            }
        }
        Ok(Self { rows, kept })
    }

    /// A vocabulary of texts alone, for made-up units: token `i` is the `i`-th text.
    pub fn of_texts(texts: Vec<String>) -> Self {
        let rows = texts.into_iter().map(|text| TokenRow { text, count: 0, column: None });
        Self { rows: rows.collect(), kept: Vec::new() }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text of a token as displayed; the replacement character for an unknown one.
    pub fn text(&self, token: u32) -> &str {
        self.rows.get(token as usize).map_or("\u{fffd}", |row| row.text.as_str())
    }

    /// Occurrences in the selection, at counted positions.
    pub fn count(&self, token: u32) -> u64 {
        self.rows.get(token as usize).map_or(0, |row| row.count)
    }

    /// The tokens that have a mean activation per unit, in the order of the table's columns.
    pub fn kept(&self) -> &[u32] {
        &self.kept
    }

    /// The column of a token in the table of mean activations.
    pub fn column(&self, token: u32) -> Option<usize> {
        self.rows.get(token as usize)?.column.map(|column| column as usize)
    }
}
