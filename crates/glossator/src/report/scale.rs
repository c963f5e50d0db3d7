//! Axes: from values to places, with round numbers marked.

/// An axis over the values of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// Covers the finite values, and a little more. None if none is finite.
    pub(super) fn new(values: impl Iterator<Item = f64>) -> Option<Self> {
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return None;
        }
        let margin = if high > low { 0.04 * (high - low) } else { 0.5 };
        Some(Self { low: low - margin, high: high + margin })
    }

    /// Where a value lies: 0 at the low end, 1 at the high end. None for what is not on the axis.
    pub(super) fn place(self, value: f64) -> Option<f64> {
        let share = (value - self.low) / (self.high - self.low);
        (0.0..=1.0).contains(&share).then_some(share)
    }

    /// Round values on the axis with their names.
    pub(super) fn ticks(self) -> Vec<(f64, String)> {
        let step = self.step();
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|i| i as f64 * step).map(|value| (value, name(value))).collect()
    }

    /// 1, 2 or 5 times a power of ten that divides the axis into four to ten parts.
    fn step(self) -> f64 {
        let rough = (self.high - self.low) / 8.0;
        let power = 10_f64.powf(rough.log10().floor());
        let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough).unwrap_or(10.0);
        factor * power
    }
}

fn name(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e5).contains(&value.abs()) {
        return format!("{value:.0e}");
    }
    // Multiples of a step have digits that mean nothing.
    format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::new([0.0, 1.0].into_iter()).unwrap();
        let names: Vec<String> = scale.ticks().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert!(scale.place(0.5).is_some_and(|place| (place - 0.5).abs() < 1e-12));
        assert_eq!((scale.place(3.0), scale.place(f64::NAN)), (None, None));
        let scale = Scale::new([-300.0, 100.0].into_iter()).unwrap();
        assert_eq!(scale.ticks()[0], (-300.0, "-300".to_owned()));
    }

    #[test]
    fn one_value_has_an_axis_and_none_has_not() {
        assert!(Scale::new([7.0].into_iter()).is_some_and(|scale| scale.place(7.0) == Some(0.5)));
        assert_eq!(Scale::new([f64::NAN].into_iter()), None);
    }
}
