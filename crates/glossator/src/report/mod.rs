//! Results for people: tables on the terminal and in Markdown, and self-contained HTML pages
//! with tables and charts.
//!
//! A page loads nothing from anywhere and runs no script; everything that came from outside is escaped.

mod chart;
mod comparison;
mod markdown;
mod page;
mod scale;
mod table;

pub(crate) use chart::{Chart, Marks, Series};
pub(crate) use comparison::comparison_table;
pub(crate) use markdown::markdown;
pub(crate) use page::Page;
pub(crate) use table::{Table, interval, number};
