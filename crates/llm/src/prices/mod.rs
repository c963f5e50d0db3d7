//! What tokens cost.
//!
//! A table in TOML, dollars for a million tokens of each kind. The built-in one is a start; users keep their own.

mod money;
mod table;

pub use money::Money;
pub use table::{BUILT_IN, Price, Prices};
