//! The budget: what is spent, plus what is under way at its worst, never passes it.

use std::collections::HashMap;

use crate::language_model::Permit;
use crate::prices::Money;
use crate::request::Fingerprint;

/// Money of one run.
#[derive(Debug, Default)]
pub(super) struct Account {
    budget: Option<Money>,
    /// What answers have cost.
    spent: Money,
    /// What attempts may have cost whose answer was lost.
    uncertain: Money,
    /// What requests under way may cost.
    reserved: HashMap<Fingerprint, Money>,
}

impl Account {
    pub(super) fn with_budget(budget: Money) -> Self {
        Self { budget: Some(budget), ..Self::default() }
    }

    pub(super) fn spent(&self) -> Money {
        self.spent
    }

    pub(super) fn uncertain(&self) -> Money {
        self.uncertain
    }

    pub(super) fn budget(&self) -> Option<Money> {
        self.budget
    }

    /// Sets aside what an attempt may cost at most.
    pub(super) fn reserve(&mut self, print: Fingerprint, worst: Money) -> Permit {
        let reserved: Money = self.reserved.values().copied().sum();
        let fits = self.budget.is_none_or(|budget| self.spent + self.uncertain + reserved + worst <= budget);
        if fits {
            self.reserved.insert(print, worst);
            Permit::Granted
        } else if self.reserved.is_empty() {
            Permit::Denied
        } else {
            Permit::Wait
        }
    }

    /// An attempt came to nothing; it may have been paid all the same.
    pub(super) fn lose(&mut self, print: Fingerprint, perhaps_paid: bool) {
        let worst = self.reserved.remove(&print).unwrap_or_default();
        if perhaps_paid {
            self.uncertain += worst;
        }
    }

    /// An attempt came to an end, and this is what it cost.
    pub(super) fn settle(&mut self, print: Fingerprint, cost: Money) {
        self.reserved.remove(&print);
        self.spent += cost;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn print(number: u8) -> Fingerprint {
        Fingerprint([number; 32])
    }

    fn money(amount: i64) -> Money {
        Money::from_nanodollars(amount)
    }

    #[test]
    fn what_is_under_way_counts_at_its_worst() {
        let mut account = Account::with_budget(money(10));
        assert_eq!(account.reserve(print(1), money(6)), Permit::Granted);
        assert_eq!(account.reserve(print(2), money(5)), Permit::Wait);
        account.settle(print(1), money(2));
        assert_eq!(account.reserve(print(2), money(5)), Permit::Granted);
        account.lose(print(2), true);
        assert_eq!((account.spent(), account.uncertain()), (money(2), money(5)));
        assert_eq!(account.reserve(print(3), money(4)), Permit::Denied);
        assert_eq!(account.reserve(print(3), money(3)), Permit::Granted);
        account.lose(print(3), false);
        assert_eq!(account.reserve(print(3), money(3)), Permit::Granted);
    }

    proptest! {
        /// Whatever the costs and the order in which attempts end, the budget holds.
        #[test]
        fn no_order_passes_the_budget(
            budget in 0..1000_i64,
            attempts in proptest::collection::vec((0..300_i64, 0.0..=1.0_f64, 0..3_u8, any::<bool>()), 1..40),
        ) {
            let mut account = Account::with_budget(money(budget));
            let mut under_way: Vec<(Fingerprint, i64, u8)> = Vec::new();
            let end = |account: &mut Account, (print, cost, how): (Fingerprint, i64, u8)| match how {
                0 => account.lose(print, true),
                1 => account.lose(print, false),
                _ => account.settle(print, money(cost)),
            };
            for (number, (worst, share, how, at_once)) in attempts.into_iter().enumerate() {
                let print = print(number as u8);
                if account.reserve(print, money(worst)) == Permit::Granted {
                    under_way.push((print, (worst as f64 * share) as i64, how));
                }
                if at_once && let Some(attempt) = under_way.pop() {
                    end(&mut account, attempt);
                }
                prop_assert!(account.spent() + account.uncertain() <= money(budget));
            }
            under_way.into_iter().for_each(|attempt| end(&mut account, attempt));
            prop_assert!(account.spent() + account.uncertain() <= money(budget));
        }
    }
}
