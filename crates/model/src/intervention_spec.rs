//! Interventions as text: `HOOK[:UNITS][@POSITIONS]OP`, as in `blocks.3.mlp.hook_post:99,200-210@-1=0`.
//!
//! * `UNITS`: coordinates `99`, inclusive ranges `200-210`, or heads `h3`, `h0-2`; all when absent;
//! * `POSITIONS`: `5`, `-1` (the last), half-open ranges `2..5`, `-3..`; all when absent;
//! * `OP`: `=V` sets, `+=V` adds, `*=V` scales, `=zero` zeroes; `V` is a number, or for `=` and `+=` a
//!   list `[1,0.5,…]` with one number per selected unit.

use std::fmt;
use std::str::FromStr;

use crate::error::ModelError;
use crate::intervention::{Change, Intervention, Positions, Units};

impl FromStr for Intervention {
    type Err = ModelError;

    fn from_str(spec: &str) -> Result<Self, ModelError> {
        parse(spec).map_err(|message| ModelError::Intervention { spec: spec.to_owned(), message })
    }
}

fn parse(spec: &str) -> Result<Intervention, String> {
    let form = "write HOOK[:UNITS][@POSITIONS]=VALUE (or += or *=), as in blocks.3.mlp.hook_post:99@-1=0";
    let (place, value) = spec.split_once('=').ok_or(form)?;
    let (place, operator) = match place.as_bytes().last() {
        Some(b'+') => (&place[..place.len() - 1], '+'),
        Some(b'*') => (&place[..place.len() - 1], '*'),
        _ => (place, '='),
    };
    let (place, positions) = match place.split_once('@') {
        Some((place, positions)) => (place, parse_positions(positions)?),
        None => (place, Positions::All),
    };
    let (hook, units) = match place.split_once(':') {
        Some((hook, units)) => (hook, parse_units(units)?),
        None => (place, Units::All),
    };
    let hook = hook.parse().map_err(|error: ModelError| error.to_string())?;
    Ok(Intervention { hook, positions, units, change: parse_change(operator, value)? })
}

fn parse_change(operator: char, value: &str) -> Result<Change, String> {
    if value == "zero" && operator == '=' {
        return Ok(Change::Zero);
    }
    if let Some(list) = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let values = list.split(',').map(parse_number).collect::<Result<_, _>>()?;
        return match operator {
            '=' => Ok(Change::SetVector(values)),
            '+' => Ok(Change::AddVector(values)),
            _ => Err("a list can be set (=) or added (+=), not multiplied".into()),
        };
    }
    let value = parse_number(value)?;
    Ok(match operator {
        '+' => Change::Add(value),
        '*' => Change::Scale(value),
        _ => Change::Set(value),
    })
}

fn parse_number(text: &str) -> Result<f32, String> {
    let number: f32 = text.trim().parse().map_err(|_| format!("`{text}` is not a number"))?;
    if number.is_finite() { Ok(number) } else { Err(format!("`{text}` is not a finite number")) }
}

fn parse_positions(text: &str) -> Result<Positions, String> {
    let position = |text: &str| text.parse::<i64>().map_err(|_| format!("`{text}` is not a position"));
    let range = |part: &str| match part.split_once("..") {
        Some((first, last)) => {
            let first = if first.is_empty() { 0 } else { position(first)? };
            Ok((first, if last.is_empty() { None } else { Some(position(last)?) }))
        }
        None => position(part).map(single),
    };
    text.split(',').map(range).collect::<Result<_, String>>().map(Positions::Ranges)
}

/// The range that holds one position; the last one has no end to count to.
fn single(position: i64) -> (i64, Option<i64>) {
    (position, if position == -1 { None } else { Some(position.saturating_add(1)) })
}

fn parse_units(text: &str) -> Result<Units, String> {
    let (numbers, heads) = match text.strip_prefix('h') {
        Some(heads) => (heads, true),
        None => (text, false),
    };
    let mut units = Vec::new();
    for part in numbers.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` is not a unit"));
        let (first, last) = (number(first)?, number(last)?);
        if last < first || last - first > 1 << 24 {
            return Err(format!("`{part}` is not a range of units"));
        }
        units.extend(first..=last);
    }
    Ok(if heads { Units::Heads(units) } else { Units::Coordinates(units) })
}

impl fmt::Display for Intervention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}{}", self.hook, self.units, self.positions, self.change)
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, units) = match self {
            Self::All => return Ok(()),
            Self::Coordinates(units) => ("", units),
            Self::Heads(heads) => ("h", heads),
        };
        write!(f, ":{mark}{}", joined(units))
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Ranges(ranges) = self else { return Ok(()) };
        let parts: Vec<String> = ranges
            .iter()
            .map(|&(first, last)| match last {
                _ if (first, last) == single(first) => first.to_string(),
                Some(last) => format!("{first}..{last}"),
                None => format!("{first}.."),
            })
            .collect();
        write!(f, "@{}", parts.join(","))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(value) => write!(f, "={value}"),
            Self::SetVector(values) => write!(f, "=[{}]", joined(values)),
            Self::Add(value) => write!(f, "+={value}"),
            Self::AddVector(values) => write!(f, "+=[{}]", joined(values)),
            Self::Scale(value) => write!(f, "*={value}"),
            Self::Zero => f.write_str("=zero"),
            Self::Replace(_) => f.write_str("=(a closure)"),
        }
    }
}

fn joined<T: fmt::Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_round_trip() {
        for spec in [
            "blocks.3.mlp.hook_post:99,200,201@-1=0",
            "blocks.0.hook_resid_post@2..5,-3..+=[1,-0.5]",
            "blocks.1.attn.hook_z:h0,2@-2=zero",
            "hook_embed@7*=0.25",
            "blocks.0.attn.hook_pattern:h1=0.5",
        ] {
            assert_eq!(spec.parse::<Intervention>().unwrap().to_string(), spec);
        }
    }

    #[test]
    fn ranges_of_units_are_inclusive() {
        let intervention: Intervention = "blocks.0.mlp.hook_post:3-5,9=1".parse().unwrap();
        assert_eq!(intervention.units, Units::Coordinates(vec![3, 4, 5, 9]));
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (spec, reason) in [
            ("blocks.0.hook_resid_post", "write HOOK"),
            ("blocks.0.hook_resid_past=0", "no hook point"),
            ("hook_embed=much", "is not a number"),
            ("hook_embed=inf", "not a finite number"),
            ("hook_embed@x=0", "is not a position"),
            ("hook_embed:9-3=0", "is not a range"),
            ("hook_embed:0-4000000000=0", "is not a range"),
            ("hook_embed*=[1,2]", "not multiplied"),
        ] {
            let error = spec.parse::<Intervention>().unwrap_err().to_string();
            assert!(error.contains(reason), "{spec}: {error}");
        }
    }
}
