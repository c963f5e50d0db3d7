//! An amount of money: whole nanodollars, so that sums do not depend on their order and budgets are kept exactly.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Nanodollars in a dollar.
const PER_DOLLAR: i128 = 1_000_000_000;

/// An amount in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Whole nanodollars.
    pub fn from_nanodollars(nanodollars: i64) -> Self {
        Self(nanodollars)
    }

    /// The same in nanodollars.
    pub fn nanodollars(self) -> i64 {
        self.0
    }

    /// The same in dollars.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / PER_DOLLAR as f64
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// Two decimals from a dollar on, else as many as show something.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dollars = self.dollars();
        match dollars.abs() {
            0.0 => write!(f, "$0"),
            1.0.. => write!(f, "${dollars:.2}"),
            0.01.. => write!(f, "${dollars:.4}"),
            _ => write!(f, "${dollars:.6}"),
        }
    }
}

/// Dollars as written by people: `5`, `5.00`, `$0.25`.
impl FromStr for Money {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no amount in dollars, such as 5.00");
        let digits = text.strip_prefix('$').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty())
            || !all_digits(whole)
            || !all_digits(fraction)
            || fraction.len() > 9
        {
            return Err(wrong());
        }
        let nanodollars = format!("{whole}{fraction:0<9}").parse::<i64>().map_err(|_| wrong())?;
        Ok(Self(nanodollars))
    }
}

/// Dollars, for programs.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_and_printed_with_what_matters() {
        for (text, nanodollars, printed) in [
            ("5.00", 5_000_000_000, "$5.00"),
            ("$0.25", 250_000_000, "$0.2500"),
            ("0.000000001", 1, "$0.000000"),
            (".0042", 4_200_000, "$0.004200"),
            ("0", 0, "$0"),
        ] {
            let money: Money = text.parse().unwrap();
            assert_eq!(money.nanodollars(), nanodollars, "{text}");
            assert_eq!(money.to_string(), printed, "{text}");
        }
        for wrong in ["", "-1", "five", "1e3", "1.0.0", ".", "0.0000000001", "99999999999999999999"] {
            assert!(wrong.parse::<Money>().is_err(), "{wrong}");
        }
    }
}
