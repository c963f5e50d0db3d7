//! A trie in one readable line, such as `"ing" after " am| is| are"; "#" after ^`.
//!
//! What the unit fires on comes first, then `after` and what must stand before it, in reading order. Alternatives stand
//! between bars, `_` is any one token, `…` any number of tokens, `^` the beginning of the sequence. The parts are
//! ordered by their share of the activation (mean times number of examples), and the line ends when it is long.

use std::collections::BTreeMap;

use super::pattern::{Element, Pattern};
use super::trie::Trie;
use crate::text::escaped;

/// Characters after which no further part is begun.
const LONG: usize = 160;

/// Alternatives that are spelled out in one place.
const ALTERNATIVES: usize = 6;

/// One place of a part, reading left to right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Tokens(Vec<u32>),
    Any,
    Gap,
    Start,
}

/// Patterns that are written as one: what is fired on, and what must stand before.
#[derive(Debug, Clone)]
struct Part {
    fires: Place,
    context: Vec<Place>,
    weight: f64,
}

/// The line; `text` gives token texts. The empty trie is `nothing found`.
pub fn readable<'a>(trie: &Trie, text: impl Fn(u32) -> &'a str) -> String {
    let mut patterns = trie.patterns();
    patterns.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    let mut parts: Vec<Part> = patterns.iter().map(Part::of).collect();
    merge_contexts(&mut parts);
    merge_fires(&mut parts);
    let groups = by_fires(parts);
    let total = groups.len();
    let mut line = String::new();
    let mut written = 0;
    for (fires, contexts) in groups {
        if written > 0 {
            if line.chars().count() >= LONG {
                break;
            }
            line.push_str("; ");
        }
        line.push_str(&part(&fires, &contexts, &text));
        written += 1;
    }
    match total - written {
        _ if total == 0 => "nothing found".to_owned(),
        0 => line,
        more => format!("{line}; and {more} more"),
    }
}

fn weight(pattern: &Pattern) -> f64 {
    f64::from(pattern.activation) * f64::from(pattern.examples)
}

impl Part {
    fn of(pattern: &Pattern) -> Self {
        let mut places = Vec::new();
        for element in pattern.elements.iter().rev() {
            match *element {
                Element::Token(token) => places.push(Place::Tokens(vec![token])),
                Element::Wildcard { min, max } if min == max => {
                    places.extend(std::iter::repeat_n(Place::Any, usize::from(min)));
                }
                Element::Wildcard { .. } => places.push(Place::Gap),
                Element::Start => places.push(Place::Start),
            }
        }
        let fires = places.pop().unwrap_or(Place::Any);
        Self { fires, context: places, weight: weight(pattern) }
    }
}

/// Unites parts that fire on the same and whose contexts differ in one token, strongest first.
fn merge_contexts(parts: &mut Vec<Part>) {
    let mut merged: Vec<Part> = Vec::new();
    for part in parts.drain(..) {
        let partner = merged.iter_mut().find_map(|present| {
            let place =
                (present.fires == part.fires).then(|| differing_place(&present.context, &part.context))??;
            Some((present, place))
        });
        match partner {
            Some((present, place)) => {
                if let (Place::Tokens(tokens), Place::Tokens(more)) =
                    (&mut present.context[place], &part.context[place])
                {
                    tokens.extend(more);
                }
                present.weight += part.weight;
            }
            None => merged.push(part),
        }
    }
    *parts = merged;
}

/// The only place where two contexts differ, if both have tokens there.
fn differing_place(left: &[Place], right: &[Place]) -> Option<usize> {
    if left.len() != right.len() {
        return None;
    }
    let mut differing = (0..left.len()).filter(|&place| left[place] != right[place]);
    let place = differing.next()?;
    let tokens = matches!((&left[place], &right[place]), (Place::Tokens(_), Place::Tokens(_)));
    (tokens && differing.next().is_none()).then_some(place)
}

/// Unites parts that fire on different tokens in the same contexts, strongest first.
fn merge_fires(parts: &mut Vec<Part>) {
    let mut merged: Vec<Part> = Vec::new();
    for part in parts.drain(..) {
        let partner = merged.iter_mut().find(|present| present.context == part.context);
        match partner.map(|present| (&mut present.fires, &mut present.weight)) {
            Some((Place::Tokens(tokens), weight)) if matches!(part.fires, Place::Tokens(_)) => {
                if let Place::Tokens(more) = &part.fires {
                    tokens.extend(more);
                }
                *weight += part.weight;
            }
            _ => merged.push(part),
        }
    }
    *parts = merged;
}

/// Parts that fire on the same, together; heaviest first.
fn by_fires(mut parts: Vec<Part>) -> Vec<(Place, Vec<Vec<Place>>)> {
    parts.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let mut groups: BTreeMap<Place, (f64, Vec<Vec<Place>>)> = BTreeMap::new();
    for part in parts {
        let group = groups.entry(part.fires).or_default();
        group.0 += part.weight;
        group.1.push(part.context);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by(|(_, (a, _)), (_, (b, _))| b.total_cmp(a));
    groups.into_iter().map(|(fires, (_, contexts))| (fires, contexts)).collect()
}

fn part<'a>(fires: &Place, contexts: &[Vec<Place>], text: &impl Fn(u32) -> &'a str) -> String {
    let fires = places(std::slice::from_ref(fires), text);
    let anywhere = contexts.iter().any(Vec::is_empty);
    let mut shown = String::new();
    for (index, context) in contexts.iter().filter(|context| !context.is_empty()).enumerate() {
        if shown.chars().count() >= LONG {
            shown.push_str(" or more");
            break;
        }
        shown.push_str(if index > 0 { " or " } else { "" });
        shown.push_str(&places(context, text));
    }
    match (shown.is_empty(), anywhere) {
        (true, _) => fires,
        (false, false) => format!("{fires} after {shown}"),
        (false, true) => format!("{fires}, also after {shown}"),
    }
}

/// Places one after the other; single tokens in a row share their quotes.
fn places<'a>(places: &[Place], text: &impl Fn(u32) -> &'a str) -> String {
    let mut pieces: Vec<String> = Vec::new();
    let mut run: Option<String> = None;
    for place in places {
        if let Place::Tokens(tokens) = place
            && let [token] = tokens[..]
        {
            run.get_or_insert_default().push_str(&escaped(text(token)));
            continue;
        }
        pieces.extend(run.take().map(in_quotes));
        pieces.push(match place {
            Place::Tokens(tokens) => in_quotes(alternatives(tokens, text)),
            Place::Any => "_".to_owned(),
            Place::Gap => "…".to_owned(),
            Place::Start => "^".to_owned(),
        });
    }
    pieces.extend(run.map(in_quotes));
    pieces.join(" ")
}

fn in_quotes(text: impl AsRef<str>) -> String {
    format!("\"{}\"", text.as_ref())
}

fn alternatives<'a>(tokens: &[u32], text: &impl Fn(u32) -> &'a str) -> String {
    let mut texts: Vec<String> =
        tokens.iter().take(ALTERNATIVES).map(|&token| escaped(text(token))).collect();
    if tokens.len() > ALTERNATIVES {
        texts.push(format!("+{}", tokens.len() - ALTERNATIVES));
    }
    texts.join("|")
}
