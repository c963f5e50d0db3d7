//! Detection: which texts activate the unit, told from the explanation alone (Paulo et al. 2024, section 4).
//!
//! Nothing in the texts is marked. Balanced accuracy and AUROC say how well the explanation separates texts on which the
//! unit fires from random ones, from its neighbours' and from near misses.

use glossator_llm::{Outcome, Request};

use super::example::Example;
use super::question::{Demonstration, Subject, Way, judgements};
use crate::score::Judgement;

const INSTRUCTIONS: &str = "A part of a language model reacts to something in texts. You are given an explanation of \
what it reacts to, and a short piece of text, cut out of a longer one, in which unusual characters are escaped. Say \
whether the explanation describes something that occurs in that text. Most texts hold nothing of the kind.";

const DEMONSTRATIONS: [Demonstration; 2] = [
    Demonstration {
        explanation: "names of months",
        things: &[
            (" was moved to the second week of October, when all of them are back from", true),
            ("\\nHe may come later, if the weather lets him, and march straight to the door", false),
        ],
    },
    Demonstration {
        explanation: "the closing bracket of a function call",
        things: &[
            ("    for (i, name) in names {\\n        let mut total = 0;\\n", false),
            ("\\n    print(sum(values))\\n    return", true),
        ],
    },
];

fn subject(explanation: &str) -> Subject<'_> {
    Subject {
        instructions: INSTRUCTIONS,
        demonstrations: &DEMONSTRATIONS,
        explanation,
        question: "Does what the explanation describes occur?",
        thing: "Text",
    }
}

/// The requests that ask about `examples`, in order.
pub fn requests(way: Way, explanation: &str, examples: &[Example]) -> Vec<Request> {
    let texts: Vec<String> = examples.iter().map(|example| example.shown(&[])).collect();
    subject(explanation).requests(way, &texts)
}

/// The judgements on `examples`, from the outcomes of [`requests`].
pub fn judge(way: Way, examples: &[Example], outcomes: &[Outcome]) -> Vec<Judgement> {
    let truths: Vec<bool> = examples.iter().map(|example| example.fires).collect();
    judgements(way, &truths, outcomes)
}
