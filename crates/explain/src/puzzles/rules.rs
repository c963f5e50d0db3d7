//! The truth about each made-up unit, as a rule that says of any text on which tokens it fires.
//!
//! A token is a word with the space before it, a number, or a punctuation mark ([`super::tokens`]).

/// Whether a unit fires on the token at a place of a text.
pub type Rule = fn(&[&str], usize) -> bool;

/// The rule of a puzzle.
pub(super) fn rule(name: &str) -> Option<Rule> {
    let rule: Rule = match name {
        "not-before-all" => |tokens, at| is(tokens, at, "not") && is(tokens, at + 1, "all"),
        "years" => |tokens, at| {
            let token = bare(tokens, at);
            is_number(tokens, at) && token.len() == 4 && ("1000".."2100").contains(&token)
        },
        "closing-quote" => |tokens, at| {
            is(tokens, at, "\"") && (0..at).filter(|before| is(tokens, *before, "\"")).count() % 2 == 1
        },
        "second-half" => {
            |tokens, at| at > 1 && is_word(tokens, at) && joined(tokens, at) && tokens[at - 1] == "-"
        }
        "months" => |tokens, at| MONTHS.contains(&bare(tokens, at)),
        "capitals-inside" => |tokens, at| begins_large(tokens, at) && !begins_sentence(tokens, at),
        "after-the" => |tokens, at| is_word(tokens, at) && at > 0 && is(tokens, at - 1, "the"),
        "repeated-word" => |tokens, at| {
            let long = is_word(tokens, at) && bare(tokens, at).chars().count() >= 4;
            long && (0..at).any(|before| is(tokens, before, &bare(tokens, at).to_lowercase()))
        },
        "question-mark" => |tokens, at| is(tokens, at, "?"),
        "question-words" => |tokens, at| {
            let word = bare(tokens, at).to_lowercase();
            QUESTION_WORDS.contains(&word.as_str()) && begins_sentence(tokens, at)
        },
        "negative-contraction" => |tokens, at| bare(tokens, at).ends_with("n't"),
        "possessive" => |tokens, at| {
            bare(tokens, at).strip_suffix("'s").is_some_and(|owner| !owner.eq_ignore_ascii_case("it"))
        },
        "ing" => |tokens, at| bare(tokens, at).ends_with("ing"),
        "dollar-amount" => |tokens, at| is_number(tokens, at) && at > 0 && bare(tokens, at - 1) == "$",
        "percentage" => |tokens, at| is_number(tokens, at) && is(tokens, at + 1, "%"),
        "in-brackets" => |tokens, at| {
            let count = |bracket: &str| (0..at).filter(|before| is(tokens, *before, bracket)).count();
            is_word(tokens, at) && count("(") > count(")")
        },
        "after-comma" => |tokens, at| is_word(tokens, at) && at > 0 && is(tokens, at - 1, ","),
        "sentence-start" => |tokens, at| is_word(tokens, at) && begins_sentence(tokens, at),
        "acronyms" => |tokens, at| {
            let token = bare(tokens, at);
            token.len() > 1 && token.bytes().all(|letter| letter.is_ascii_uppercase())
        },
        "colours" => |tokens, at| COLOURS.contains(&bare(tokens, at)),
        "before-than" => |tokens, at| is_word(tokens, at) && is(tokens, at + 1, "than"),
        "double-letter" => |tokens, at| {
            let letters: Vec<char> = bare(tokens, at).to_lowercase().chars().collect();
            is_word(tokens, at) && letters.windows(2).any(|pair| pair[0] == pair[1])
        },
        "function-name" => |tokens, at| is_word(tokens, at) && at > 0 && is(tokens, at - 1, "def"),
        "and-between-numbers" => |tokens, at| {
            is(tokens, at, "and") && at > 0 && is_number(tokens, at - 1) && is_number(tokens, at + 1)
        },
        _ => return None,
    };
    Some(rule)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const QUESTION_WORDS: [&str; 8] = ["who", "what", "when", "where", "why", "how", "which", "whose"];

const COLOURS: [&str; 11] =
    ["red", "green", "blue", "yellow", "black", "white", "brown", "purple", "orange", "grey", "pink"];

/// A token without the space before it; nothing beyond the text.
fn bare<'a>(tokens: &[&'a str], at: usize) -> &'a str {
    tokens.get(at).map_or("", |token| token.trim_start())
}

/// Whether a token is this word, whatever its capitals.
fn is(tokens: &[&str], at: usize, word: &str) -> bool {
    bare(tokens, at).eq_ignore_ascii_case(word)
}

fn is_word(tokens: &[&str], at: usize) -> bool {
    bare(tokens, at).starts_with(char::is_alphabetic)
}

fn is_number(tokens: &[&str], at: usize) -> bool {
    bare(tokens, at).starts_with(|first: char| first.is_ascii_digit())
}

fn begins_large(tokens: &[&str], at: usize) -> bool {
    bare(tokens, at).starts_with(char::is_uppercase)
}

/// Whether no space stands before a token.
fn joined(tokens: &[&str], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| !token.starts_with(' '))
}

fn begins_sentence(tokens: &[&str], at: usize) -> bool {
    at == 0 || matches!(bare(tokens, at - 1), "." | "!" | "?")
}
