//! Planted rules must be recovered, the original's known failures must not occur, and prediction must agree with a
//! matcher that tries every alignment of every pattern.

use std::collections::{BTreeMap, HashMap};

use glossator_model::HookPoint;
use proptest::prelude::*;

use super::pattern::{Element, Pattern, merge};
use super::*;
use crate::Predictor;
use crate::text::escaped;
use Element::{Start, Token, Wildcard};

const PAD: u32 = 99;
const FRAME: Frame = Frame { bos: None, padding: PAD };

/// Units whose activation on the last token is a function of the whole sequence.
struct Mock<F>(F);

impl<F: FnMut(u32, &[u32]) -> f32> UnitActivations for Mock<F> {
    fn last(&mut self, requests: &[Request]) -> Result<Vec<f32>, ExplainError> {
        Ok(requests.iter().map(|request| (self.0)(request.unit.index, &request.tokens)).collect())
    }
}

fn unit(index: usize) -> UnitId {
    UnitId::new(HookPoint::mlp_post(0), index)
}

/// The patterns found for one unit that follows `rule`, from these texts.
fn found(rule: impl Fn(&[u32]) -> f32, frame: Frame, texts: &[&[u32]]) -> Vec<Pattern> {
    let examples = texts.iter().map(|tokens| Example { tokens: tokens.to_vec(), activation: rule(tokens) });
    let subject = Subject { unit: unit(0), examples: examples.collect(), evidence: Evidence::default() };
    explain(&[subject], frame, &mut Mock(|_, tokens: &[u32]| rule(tokens))).unwrap()[0].patterns()
}

fn pattern(elements: &[Element], activation: f32, examples: u32) -> Pattern {
    Pattern { elements: elements.to_vec(), activation, examples }
}

fn exactly(length: u16) -> Element {
    Wildcard { min: length, max: length }
}

fn on(fires: bool) -> f32 {
    if fires { 2.0 } else { 0.0 }
}

#[test]
fn a_single_token() {
    let rule = |tokens: &[u32]| on(tokens.ends_with(&[7]));
    assert_eq!(found(rule, FRAME, &[&[1, 2, 7], &[7], &[3, 7]]), [pattern(&[Token(7)], 2.0, 3)]);
}

#[test]
fn a_bigram_in_order() {
    let rule = |tokens: &[u32]| on(tokens.ends_with(&[5, 7]));
    assert_eq!(found(rule, FRAME, &[&[1, 2, 5, 7], &[5, 7]]), [pattern(&[Token(7), Token(5)], 2.0, 2)]);
}

#[test]
fn order_matters() {
    // Fires on 7 when 5 comes before 6, somewhere in the text.
    let rule = |tokens: &[u32]| {
        let place = |wanted| tokens.iter().rposition(|token| *token == wanted);
        on(tokens.ends_with(&[7]) && matches!((place(5), place(6)), (Some(five), Some(six)) if five < six))
    };
    let patterns = found(rule, FRAME, &[&[6, 5, 1, 6, 7]]);
    assert_eq!(patterns, [pattern(&[Token(7), Token(6), exactly(1), Token(5)], 2.0, 1)]);
    let trie = Trie::new(&patterns, None, BTreeMap::new());
    assert_eq!(trie.predict(&[5, 2, 6, 7]), [0.0, 0.0, 0.0, 2.0]);
    assert_eq!(trie.predict(&[6, 2, 5, 7]), [0.0; 4]);
}

/// Units that follow a rule, in a model that takes the numbers of a decade for similar.
struct Alike<F>(F);

impl<F: FnMut(&[u32]) -> f32> UnitActivations for Alike<F> {
    fn last(&mut self, requests: &[Request]) -> Result<Vec<f32>, crate::ExplainError> {
        Ok(requests.iter().map(|request| (self.0)(&request.tokens)).collect())
    }

    fn similar(&mut self, tokens: &[u32], count: usize) -> Result<Vec<Vec<u32>>, crate::ExplainError> {
        let decade = |token: u32| (token / 10 * 10..).filter(move |other| *other != token).take(count);
        Ok(tokens.iter().map(|&token| decade(token).collect()).collect())
    }
}

#[test]
fn similar_tokens_that_fire_too_are_patterns() {
    // Fires on 27 or 22 after 15, the more so on 22.
    let rule = |tokens: &[u32]| match tokens {
        [.., 15, 22] => 3.0,
        [.., 15, 27] => 2.0,
        _ => 0.0,
    };
    let examples = vec![Example { tokens: vec![1, 15, 27], activation: 2.0 }];
    let subject = Subject { unit: unit(0), examples, evidence: Evidence::default() };
    let patterns = explain(&[subject], FRAME, &mut Alike(rule)).unwrap()[0].patterns();
    let expected = [pattern(&[Token(22), Token(15)], 3.0, 1), pattern(&[Token(27), Token(15)], 2.0, 1)];
    assert_eq!(patterns, expected);
}

#[test]
fn a_gap_of_varying_length() {
    // 3 … 7 with one to three tokens between.
    let rule = |tokens: &[u32]| {
        on(tokens.ends_with(&[7]) && (2..=4).any(|back| tokens.iter().rev().nth(back) == Some(&3)))
    };
    let patterns = found(rule, FRAME, &[&[3, 1, 7], &[2, 3, 1, 2, 4, 7]]);
    assert_eq!(patterns, [pattern(&[Token(7), Wildcard { min: 1, max: 3 }, Token(3)], 2.0, 2)]);
    let trie = Trie::new(&patterns, None, BTreeMap::new());
    assert_eq!(trie.predict(&[3, 8, 8, 7]), [0.0, 0.0, 0.0, 2.0], "a length between those seen");
    assert_eq!(trie.predict(&[3, 7, 7])[1], 0.0);
}

#[test]
fn the_shortest_suffix_is_found_at_every_length_and_no_longer_one_is_tried() {
    use search::LONGEST;
    // Fires on 7 when 3 stands `distance` tokens before it.
    for distance in 1..LONGEST + 4 {
        let rule =
            |tokens: &[u32]| on(tokens.ends_with(&[7]) && tokens.iter().rev().nth(distance) == Some(&3));
        let mut text = vec![1; 20];
        text[19 - distance] = 3;
        text[19] = 7;
        let longest = std::cell::Cell::new(0);
        let rule = |tokens: &[u32]| {
            longest.set(longest.get().max(tokens.len()));
            rule(tokens)
        };
        let examples = vec![Example { tokens: text, activation: 2.0 }];
        let subject = Subject { unit: unit(0), examples, evidence: Evidence::default() };
        let tries = explain(&[subject], FRAME, &mut Mock(|_, tokens: &[u32]| rule(tokens))).unwrap();
        let expected = match distance {
            1 => pattern(&[Token(7), Token(3)], 2.0, 1),
            _ if distance < LONGEST => pattern(&[Token(7), exactly(distance as u16 - 1), Token(3)], 2.0, 1),
            _ => {
                let literally: Vec<Element> = [7].into_iter().chain([1; LONGEST - 1]).map(Token).collect();
                pattern(&literally, 2.0, 1)
            }
        };
        assert_eq!(tries[0].patterns(), [expected], "at distance {distance}");
        assert!(longest.get() <= LONGEST + 2, "a lead, one more padding token, and the suffix");
    }
}

#[test]
fn a_position_in_the_sequence() {
    let rule = |tokens: &[u32]| on(tokens.len() == 2);
    assert_eq!(found(rule, FRAME, &[&[4, 7]]), [pattern(&[exactly(2), Start], 2.0, 1)]);
    let rule = |tokens: &[u32]| on(tokens.len() == 1 && tokens[0] == 7);
    let patterns = found(rule, FRAME, &[&[7]]);
    assert_eq!(patterns, [pattern(&[Token(7), Start], 2.0, 1)]);
    assert_eq!(Trie::new(&patterns, None, BTreeMap::new()).predict(&[7, 7]), [2.0, 0.0]);
}

#[test]
fn success_at_the_first_position_is_not_taken_for_the_rule() {
    // Fires on anything at the very beginning (as attention sinks do), and on 7 after 5 anywhere.
    let rule = |tokens: &[u32]| if tokens.len() == 1 { 9.0 } else { on(tokens.ends_with(&[5, 7])) };
    assert_eq!(found(rule, FRAME, &[&[1, 2, 5, 7]]), [pattern(&[Token(7), Token(5)], 2.0, 1)]);
}

#[test]
fn a_begin_of_sequence_token_is_a_frame_and_no_part_of_patterns() {
    let frame = Frame { bos: Some(0), padding: PAD };
    let rule = |tokens: &[u32]| on(tokens[0] == 0 && tokens.ends_with(&[5, 7]));
    let patterns = found(rule, frame, &[&[0, 5, 7], &[0, 3, 5, 7]]);
    assert_eq!(patterns, [pattern(&[Token(7), Token(5)], 2.0, 2)]);
    let rule = |tokens: &[u32]| on(tokens.len() == 3 && tokens[0] == 0 && tokens[2] == 7);
    let patterns = found(rule, frame, &[&[0, 4, 7]]);
    assert_eq!(patterns, [pattern(&[Token(7), exactly(1), Start], 2.0, 1)]);
    assert_eq!(Trie::new(&patterns, Some(0), BTreeMap::new()).predict(&[0, 4, 7, 7]), [0.0, 0.0, 2.0, 0.0]);
}

#[test]
fn two_senses_keep_their_own_activations() {
    let rule = |tokens: &[u32]| match tokens {
        [.., 5, 7] => 4.0,
        [.., 8] => 1.0,
        _ => 0.0,
    };
    let patterns = found(rule, FRAME, &[&[1, 5, 7], &[2, 8], &[3, 8]]);
    assert_eq!(patterns, [pattern(&[Token(7), Token(5)], 4.0, 1), pattern(&[Token(8)], 1.0, 2)]);
}

#[test]
fn the_half_that_remains_is_measured_against_the_example() {
    // 7 alone keeps 40 %, 6 7 keeps 60 %, 5 6 7 all of it; of what 6 7 keeps, 6 carries a third.
    let rule = |tokens: &[u32]| match tokens {
        [.., 5, 6, 7] => 1.0,
        [.., 6, 7] => 0.6,
        [.., 7] => 0.4,
        _ => 0.0,
    };
    let patterns = found(rule, FRAME, &[&[5, 6, 7]]);
    assert_eq!(patterns, [pattern(&[Token(7), exactly(1)], 0.6, 1)]);
}

#[test]
fn the_wildcard_branch_is_followed_where_the_exact_one_fails() {
    let patterns = [
        pattern(&[Token(3), Token(2), Token(1)], 1.0, 1),
        pattern(&[Token(3), exactly(1), Token(4)], 5.0, 1),
    ];
    let trie = Trie::new(&patterns, None, BTreeMap::new());
    assert_eq!(trie.predict(&[4, 2, 3]), [0.0, 0.0, 5.0], "greedy descent into 2 would find nothing");
}

#[test]
fn a_short_pattern_does_not_shadow_a_longer_one() {
    let trie = Trie::new(
        &[pattern(&[Token(3)], 1.0, 1), pattern(&[Token(3), Token(2)], 5.0, 1)],
        None,
        BTreeMap::new(),
    );
    assert_eq!(trie.predict(&[2, 3, 3]), [0.0, 5.0, 1.0]);
}

#[test]
fn of_equally_long_matches_the_more_exact_and_then_the_stronger_wins() {
    let wide = pattern(&[Token(3), exactly(1)], 9.0, 1);
    let trie = Trie::new(&[wide.clone(), pattern(&[Token(3), Token(2)], 5.0, 1)], None, BTreeMap::new());
    assert_eq!(trie.predict(&[2, 3])[1], 5.0);
    let trie = Trie::new(&[wide, pattern(&[exactly(1), Token(2)], 4.0, 1)], None, BTreeMap::new());
    assert_eq!(trie.predict(&[2, 3])[1], 9.0);
}

#[test]
fn wildcards_on_wildcards_do_not_multiply() {
    // Of a hostile atlas: every alignment tried by itself would take longer than the universe is old.
    let gap = Wildcard { min: 0, max: 60 };
    let elements: Vec<Element> = [Token(1), gap].into_iter().cycle().take(80).collect();
    let trie = Trie::new(&[pattern(&elements, 3.0, 1)], None, BTreeMap::new());
    assert_eq!(trie.predict(&[1; 64])[63], 3.0);
}

#[test]
fn searches_of_many_units_share_their_rounds() {
    let subjects: Vec<Subject> = (0..20)
        .map(|index| {
            let examples =
                (0..3).map(|text| Example { tokens: vec![text, 50, index as u32], activation: 2.0 });
            Subject { unit: unit(index), examples: examples.collect(), evidence: Evidence::default() }
        })
        .collect();
    let mut calls = HashMap::<usize, usize>::new();
    struct Counting<'a>(&'a mut HashMap<usize, usize>);
    impl UnitActivations for Counting<'_> {
        fn last(&mut self, requests: &[Request]) -> Result<Vec<f32>, ExplainError> {
            *self.0.entry(requests.len()).or_default() += 1;
            let fires = |request: &Request| on(request.tokens.last() == Some(&request.unit.index));
            Ok(requests.iter().map(fires).collect())
        }
    }
    let tries = explain(&subjects, FRAME, &mut Counting(&mut calls)).unwrap();
    assert_eq!(
        calls,
        HashMap::from([(60, 3)]),
        "suffix, position, wildcard: one call each for all 60 searches"
    );
    for (index, trie) in tries.iter().enumerate() {
        assert_eq!(trie.patterns(), [pattern(&[Token(index as u32)], 2.0, 3)]);
    }
}

#[test]
fn undefined_activations_find_nothing_but_the_whole_text() {
    let examples = vec![Example { tokens: vec![1, 2], activation: 1.0 }];
    let subject = Subject { unit: unit(0), examples, evidence: Evidence::default() };
    let tries = explain(&[subject], FRAME, &mut Mock(|_, _: &[u32]| f32::NAN)).unwrap();
    assert_eq!(tries[0].patterns(), [pattern(&[Token(2), Token(1), Start], 1.0, 1)]);
}

fn letters(token: u32) -> &'static str {
    ["a", " b", "c\n", "\"d|", "e", "f", "g", "h", "i", "j"][token as usize % 10]
}

#[test]
fn one_readable_line() {
    let line = |patterns: &[Pattern]| readable(&Trie::new(patterns, None, BTreeMap::new()), letters);
    assert_eq!(line(&[]), "nothing found");
    assert_eq!(line(&[pattern(&[Token(4)], 1.0, 1)]), r#""e""#);
    let siblings = [
        pattern(&[Token(4), Token(0)], 1.0, 3),
        pattern(&[Token(4), Token(1)], 1.0, 2),
        pattern(&[Token(4), Token(2)], 1.0, 1),
    ];
    assert_eq!(line(&siblings), r#""e" after "a| b|c\n""#);
    let mixed = [
        pattern(&[Token(4), Wildcard { min: 1, max: 3 }, Token(0), exactly(1), Token(1)], 1.0, 9),
        pattern(&[Token(4), Token(6), Token(5)], 1.0, 5),
        pattern(&[Token(7), Start], 4.0, 1),
        pattern(&[Token(8), Start], 3.0, 1),
        pattern(&[Token(3)], 1.0, 2),
        pattern(&[Token(3), Token(5)], 1.0, 1),
        pattern(&[exactly(2), Token(6)], 1.0, 1),
    ];
    let expected = r#""e" after " b" _ "a" … or "fg"; "h|i" after ^; "\"d\|", also after "f"; _ after "g" _"#;
    assert_eq!(line(&mixed), expected);
}

#[test]
fn long_lines_end() {
    let many: Vec<Pattern> =
        (0..200).map(|i| pattern(&[Token(i), Token(1000 + i), Token(2000 + i)], 1.0, 1)).collect();
    let line = readable(&Trie::new(&many, None, BTreeMap::new()), letters);
    assert!(line.chars().count() < 220 && line.contains("; and "), "{line}");
}

#[test]
fn graphviz_quotes_everything() {
    let trie = Trie::new(
        &[pattern(&[Token(3), Wildcard { min: 0, max: 2 }, Token(2), Start], 1.5, 2)],
        None,
        BTreeMap::new(),
    );
    let expected = r#"digraph "u\"1" {
  label="u\"1"; rankdir=LR; node [shape=box, style=rounded, fontname=monospace];
  n0 [label="\\\"d\\|"];
  n1 [label="any 0 to 2", color=grey];
  n1 -> n0;
  n2 [label="c\\n"];
  n2 -> n1;
  n3 [label="^\n1.500 (2×)", peripheries=2, color=grey];
  n3 -> n2;
}
"#;
    assert_eq!(graphviz(&trie, "u\"1", letters), expected);
}

#[test]
fn damaged_bodies_are_refused() {
    let padding = Padding { token: PAD, rule: "test".to_owned() };
    let body =
        to_json(&Trie::new(&[pattern(&[Token(1)], 1.0, 1)], None, BTreeMap::new()), &padding, 1, letters);
    let token = serde_json::json!({"token": 1, "text": "a"});
    for damage in [
        serde_json::json!([{"steps": [{"token": "x"}]}]),
        serde_json::json!([{"steps": []}]),
        serde_json::json!([{"steps": [{"wildcard": [3, 1]}], "activation": 1.0, "examples": 1}]),
        serde_json::json!([{"steps": [{"start": false}], "activation": 1.0, "examples": 1}]),
        serde_json::json!([{"steps": [token]}, {"steps": [token]}]),
        serde_json::json!([{"steps": [token], "activation": 1.0}]),
        serde_json::json!([{"steps": vec![&token; 5000], "activation": 1.0, "examples": 1}]),
        serde_json::json!(7),
    ] {
        let mut damaged = body.clone();
        damaged["children"] = damage;
        assert!(from_json(&damaged).is_err(), "{damaged}");
    }
}

/// serde_json refuses JSON that is nested more than 128 deep; long patterns must not be.
#[test]
fn the_longest_patterns_read_back() {
    let long = |last| pattern(&(0..600).map(Token).chain([Token(last), Start]).collect::<Vec<_>>(), 1.0, 1);
    let trie = Trie::new(&[long(1), long(2)], None, BTreeMap::new());
    let padding = Padding { token: PAD, rule: "test".to_owned() };
    let text = to_json(&trie, &padding, 1, letters).to_string();
    assert_eq!(from_json(&serde_json::from_str(&text).unwrap()).unwrap(), trie);
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        4 => (0_u32..4).prop_map(Token),
        1 => (0_u16..3, 0_u16..3).prop_map(|(min, more)| Wildcard { min, max: (min + more).max(1) }),
    ]
}

fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
    let one = (prop::collection::vec(element(), 1..5), any::<bool>(), 1_u8..9, 1_u32..4);
    let one = one.prop_map(|(mut elements, anchored, activation, examples)| {
        elements.dedup_by(|a, b| matches!((a, b), (Wildcard { .. }, Wildcard { .. })));
        elements.extend(anchored.then_some(Start));
        Pattern { elements, activation: f32::from(activation), examples }
    });
    prop::collection::vec(one, 0..8)
}

/// Every alignment of `elements` (in reading order from the end) with the end of `tokens`, as (tokens, exact tokens).
fn alignments(elements: &[Element], tokens: &[u32]) -> Vec<(usize, usize)> {
    let Some((element, rest)) = elements.split_first() else { return vec![(0, 0)] };
    let longer = |used: usize, exact: usize| {
        let shorter = alignments(rest, &tokens[..tokens.len() - used]);
        shorter.into_iter().map(move |(span, more)| (span + used, exact + more)).collect::<Vec<_>>()
    };
    match *element {
        Token(token) if tokens.last() == Some(&token) => longer(1, 1),
        Wildcard { min, max } => (min..=max)
            .filter(|&n| usize::from(n) <= tokens.len())
            .flat_map(|n| longer(usize::from(n), 0))
            .collect(),
        Start if tokens.is_empty() => vec![(1, 0)],
        Token(_) | Start => Vec::new(),
    }
}

proptest! {
    #[test]
    fn prediction_equals_trying_every_alignment(patterns in patterns(), tokens in prop::collection::vec(0_u32..4, 1..8)) {
        let merged = merge(&patterns);
        let predicted = Trie::new(&merged, None, BTreeMap::new()).predict(&tokens);
        for end in 1..=tokens.len() {
            let matches = merged.iter().flat_map(|pattern| {
                let found = alignments(&pattern.elements, &tokens[..end]);
                found.into_iter().map(|(span, exact)| (span, exact, pattern.activation))
            });
            let best = matches.max_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
            prop_assert_eq!(predicted[end - 1], best.map_or(0.0, |best| best.2));
        }
    }

    #[test]
    fn merging_keeps_every_match_and_every_example(patterns in patterns(), tokens in prop::collection::vec(0_u32..4, 1..6)) {
        let merged = merge(&patterns);
        let examples = |patterns: &[Pattern]| patterns.iter().map(|pattern| pattern.examples).sum::<u32>();
        prop_assert_eq!(examples(&merged), examples(&patterns));
        let matches = |patterns: &[Pattern]| patterns.iter().any(|p| !alignments(&p.elements, &tokens).is_empty());
        prop_assert!(!matches(&patterns) || matches(&merged));
    }

    #[test]
    fn the_stored_form_reads_back(patterns in patterns(), bos in prop::option::of(0_u32..4)) {
        let trie = Trie::new(&merge(&patterns), bos, BTreeMap::new());
        let padding = Padding { token: PAD, rule: "test".to_owned() };
        let text = to_json(&trie, &padding, 16, letters).to_string();
        prop_assert_eq!(from_json(&serde_json::from_str(&text).unwrap()).unwrap(), trie);
    }

    #[test]
    fn readable_lines_never_break_or_hide(patterns in patterns()) {
        let line = readable(&Trie::new(&merge(&patterns), None, BTreeMap::new()), letters);
        prop_assert!(!line.is_empty() && !line.chars().any(char::is_control));
        prop_assert_eq!(escaped("\u{7}"), "\\u{7}");
    }
}
