//! What is made of an answer in words: one sentence, or a failure.
//!
//! An explanation is the first line of the answer, without the words that every answer begins with, without quotation marks
//! around it and a full stop at its end. A refusal, an empty answer, one that was cut off within its first sentence, and one that
//! only repeats what was asked ([`Echo`]) are failures; they are counted and never stored as explanations.

use glossator_llm::{Answer, Failure, FailureKind, Finish, Outcome};

use super::Echo;

/// The longest explanation, in characters. One sentence was asked for.
const LONGEST: usize = 600;

/// How refusals begin, in lower case.
const REFUSALS: [&str; 8] =
    ["i'm sorry", "i am sorry", "sorry,", "i cannot", "i can't", "i can not", "i'm unable", "as an ai"];

/// The explanation in an outcome; `begin` is what the answer was to begin with, `echo` what it must not repeat.
pub fn sentence(outcome: &Outcome, begin: Option<&str>, echo: &Echo) -> Result<String, Failure> {
    let answer = outcome.as_ref().map_err(Clone::clone)?;
    let failed = |kind, message: &str| Failure { kind, message: message.to_owned(), usage: answer.usage };
    let text = answer.text.trim_start();
    let line = text.lines().next().unwrap_or_default().trim();
    if REFUSALS.iter().any(|refusal| line.to_lowercase().replace('’', "'").starts_with(refusal)) {
        return Err(failed(FailureKind::Refused, line));
    }
    let whole = whole(answer, text, line).ok_or_else(|| failed(FailureKind::Truncated, line))?;
    let sentence = tidy(whole, begin);
    if !sentence.chars().any(char::is_alphanumeric) {
        return Err(failed(FailureKind::Malformed, "the answer is empty"));
    }
    if sentence.chars().count() > LONGEST {
        return Err(failed(FailureKind::Malformed, "the answer is far longer than a sentence"));
    }
    if let Some(message) = echo.repeated(sentence) {
        return Err(failed(FailureKind::Malformed, message));
    }
    Ok(sentence.to_owned())
}

/// The line, or what of it ends with a sentence if the answer was cut off there.
fn whole<'a>(answer: &Answer, text: &str, line: &'a str) -> Option<&'a str> {
    let goes_on = text.lines().nth(1).is_some();
    if answer.finish == Finish::Stop || goes_on || line.ends_with('.') {
        return Some(line);
    }
    line.rfind(". ").map(|end| &line[..=end])
}

/// The line without what frames the explanation in it.
fn tidy<'a>(line: &'a str, begin: Option<&str>) -> &'a str {
    let quotes: &[char] = &['"', '“', '”', '`'];
    let mut line = line;
    if let Some(begin) = begin
        && let Some(head) = line.get(..begin.len())
        && head.eq_ignore_ascii_case(begin)
    {
        line = line[begin.len()..].trim_start_matches([':', ' ']);
    }
    let inner = line.strip_prefix(quotes).and_then(|rest| rest.trim_end_matches('.').strip_suffix(quotes));
    // Quotation marks are left where they belong to a word, as in `"not" before "all"`.
    let line = inner.filter(|inner| !inner.contains(quotes)).unwrap_or(line);
    line.trim().trim_end_matches('.').trim()
}

#[cfg(test)]
mod tests {
    use glossator_llm::Usage;

    use super::*;

    fn read(text: &str, finish: Finish) -> Result<String, FailureKind> {
        let answer = Answer { text: text.to_owned(), finish, ..Answer::default() };
        sentence(&Ok(answer), Some("This neuron looks for"), &Echo::default()).map_err(|failure| failure.kind)
    }

    #[test]
    fn a_sentence_is_found_in_an_answer() {
        for (text, expected) in [
            (" words for rain.", "words for rain"),
            ("This neuron looks for words for rain.", "words for rain"),
            ("this neuron looks for: words for rain\n\nExamples: …", "words for rain"),
            ("\"words for rain\"", "words for rain"),
            ("\"not\" before \"all\".", "\"not\" before \"all\""),
            ("日本語の雨。", "日本語の雨。"),
        ] {
            assert_eq!(read(text, Finish::Stop).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_sentence_is_a_failure() {
        for (text, finish, kind) in [
            ("", Finish::Stop, FailureKind::Malformed),
            ("...", Finish::Stop, FailureKind::Malformed),
            ("I’m sorry, but I can’t help.", Finish::Stop, FailureKind::Refused),
            ("As an AI language model", Finish::Stop, FailureKind::Refused),
            ("words for rain and", Finish::Length, FailureKind::Truncated),
        ] {
            assert_eq!(read(text, finish), Err(kind), "{text}");
        }
        assert_eq!(read(&"word ".repeat(200), Finish::Stop), Err(FailureKind::Malformed));
        let failure =
            Failure { kind: FailureKind::Unreachable, message: String::new(), usage: Usage::default() };
        assert_eq!(sentence(&Err(failure.clone()), None, &Echo::default()), Err(failure));
    }

    #[test]
    fn a_cut_off_answer_counts_if_its_first_sentence_is_whole() {
        assert_eq!(read("words for rain. It also", Finish::Length).as_deref(), Ok("words for rain"));
        assert_eq!(read("words for rain\nand", Finish::Length).as_deref(), Ok("words for rain"));
        assert_eq!(read("words for rain.", Finish::Length).as_deref(), Ok("words for rain"));
    }
}
