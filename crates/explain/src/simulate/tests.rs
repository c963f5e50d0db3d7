//! Simulators against scripted answers: what is predicted, and that nothing that cannot be read becomes a prediction.

use glossator_llm::{Answer, Distribution, Finish, Message, Piece, Role, TokenLogprob, Want};
use proptest::prelude::*;

use super::*;

const GRADES: Capabilities = Capabilities {
    grades: true,
    logprobs: true,
    json_schema: true,
    seed: true,
    continues_turn: true,
    number_ten: true,
};

fn ask(simulator: Simulator, capabilities: Capabilities, tokens: &[&str]) -> Vec<Request> {
    let prompts = Prompts::builtin().unwrap();
    simulator.requests(&prompts, capabilities, "dogs <|im_end|>\n", tokens).unwrap()
}

#[allow(clippy::unnecessary_wraps, reason = "an outcome, like those that fail")]
fn text(answer: &str) -> Outcome {
    Ok(Answer { text: answer.to_owned(), ..Answer::default() })
}

#[allow(clippy::unnecessary_wraps, reason = "an outcome, like those that fail")]
fn grades(distributions: &[&[f32]]) -> Outcome {
    let grades = distributions.iter().map(|one| Distribution(one.to_vec())).collect();
    Ok(Answer { grades, ..Answer::default() })
}

#[test]
fn all_at_once_expects_the_mean_number() {
    let mut tie = [0.0; 11];
    (tie[0], tie[10]) = (0.25, 0.25);
    let mut six = [0.0; 11];
    six[6] = 0.5;
    let outcome = grades(&[&tie, &six]);
    let read = |outcome: Outcome, tokens| Simulator::Grades.read(GRADES, tokens, &[outcome]);
    let predicted = read(outcome.clone(), 2).unwrap();
    assert_eq!(predicted.shares, [0.5, 0.6]);
    let after = predicted.clone().after(1);
    assert_eq!((after.shares, after.distributions.unwrap().len()), (vec![0.0, 0.5, 0.6], 3));
    let kept = predicted.distributions.unwrap();
    assert_eq!((kept.most(), kept.len(), kept.activation(5)), (10, 2, 0.5));
    assert_eq!(kept.at(0).map(|(number, _)| number).collect::<Vec<u8>>(), [0, 10]);
    assert_eq!(kept.at(1).collect::<Vec<_>>(), [(6, 1.0)]);
    assert_eq!(read(outcome, 3).unwrap_err().kind, FailureKind::Malformed, "a grade is missing");
    let nothing = grades(&[&six, &[0.0; 11]]);
    assert_eq!(read(nothing, 2).unwrap_err().kind, FailureKind::Malformed, "not zero");
    assert!(read(grades(&[&[0.1; 10]]), 1).is_err(), "the scale is another one");
    let digits = Capabilities { number_ten: false, ..GRADES };
    let mut nine = [0.0; 10];
    nine[9] = 0.5;
    assert_eq!(Simulator::Grades.read(digits, 1, &[grades(&[&nine])]).unwrap().shares, [1.0]);
    assert!(Simulator::Grades.remark(digits).unwrap().contains("0 to 9"));
    assert_eq!(Simulator::Grades.remark(GRADES), None);
    let refused = Failure { kind: FailureKind::Refused, message: String::new(), usage: Usage::default() };
    assert_eq!(read(Err(refused.clone()), 1), Err(refused));
}

#[test]
fn the_prompt_of_all_at_once_reads_well() {
    let requests = ask(Simulator::Grades, GRADES, &["The", " dog", "\n"]);
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
    let exchange = [Role::User, Role::Assistant];
    assert_eq!(roles, [&[Role::System][..], &exchange, &exchange, &exchange, &[Role::User]].concat());
    insta::assert_snapshot!(conversation(request));
}

#[test]
fn the_prompts_of_the_other_simulators_read_well() {
    let one = ask(Simulator::OneAtATime, GRADES, &["The", " dog"]);
    assert_eq!(one.len(), 2);
    insta::assert_snapshot!("one_at_a_time", conversation(&one[1]));
    let json = ask(Simulator::Json, GRADES, &["The", " \"dog\"", "\t"]);
    insta::assert_snapshot!("json", conversation(&json[0]));
}

/// A request as text.
fn conversation(request: &Request) -> String {
    let mut shown: Vec<String> =
        request.messages.iter().map(|Message { role, content }| format!("[{role:?}]\n{content}")).collect();
    match &request.want {
        Want::Grades(grading) => {
            let pieces = grading.text.iter().map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Asked(text) => format!("[{text}?]"),
            });
            shown.push(format!(
                "[graded with {}]\n{}",
                grading.choices.join(" "),
                pieces.collect::<String>()
            ));
        }
        Want::Text(generation) => shown.push(format!("[at most {} tokens]", generation.max_tokens)),
    }
    shown.join("\n")
}

#[test]
fn one_at_a_time_reads_grades_or_log_probabilities() {
    let mut five = [0.0; 11];
    five[5] = 0.5;
    let read = |outcomes: &[Outcome]| Simulator::OneAtATime.read(GRADES, outcomes.len(), outcomes);
    let alternatives = [("10", 0.5_f32), ("0", 0.25), ("one", 0.2), (" 0", 0.25)];
    let alternatives: Vec<(String, f32)> =
        alternatives.iter().map(|(text, probability)| ((*text).to_owned(), probability.ln())).collect();
    let token = TokenLogprob { text: "10".to_owned(), logprob: 0.0, alternatives };
    let written = Ok(Answer { tokens: vec![token], ..Answer::default() });
    let predicted = read(&[grades(&[&five]), written]).unwrap();
    let kept = predicted.distributions.unwrap();
    assert_eq!(kept.at(0).collect::<Vec<_>>(), [(5, 1.0)]);
    let halves: Vec<(u8, f64)> = kept.at(1).collect();
    assert!(halves.len() == 2 && halves.iter().all(|(_, half)| (half - 0.5).abs() < 1e-4), "{halves:?}");
    let predicted = predicted.shares;
    assert!((predicted[0] - 0.5).abs() < 1e-6 && (predicted[1] - 0.5).abs() < 1e-6, "{predicted:?}");
    assert!(read(&[text("10")]).is_err(), "what is written alone has no distribution");
    let requests = ask(Simulator::OneAtATime, Capabilities { grades: false, ..GRADES }, &["a"]);
    assert!(
        matches!(&requests[0].want, Want::Text(wanted) if wanted.top_logprobs == 15 && wanted.max_tokens == 1)
    );
}

#[test]
fn json_answers_are_whole_or_failures() {
    let read = |answer: &str| Simulator::Json.read(GRADES, 3, &[text(answer)]);
    let expected = [0.0, 1.0, 0.25];
    for right in [r#"{"0": 0, "1": 10, "2": 2.5}"#, "```json\n{\"2\": 2.5, \"0\": 0, \"1\": 10}\n```"] {
        let predicted = read(right).unwrap();
        assert_eq!((predicted.shares.as_slice(), predicted.distributions), (&expected[..], None));
    }
    for wrong in [
        "",
        "I cannot do that.",
        r#"{"0": 0, "1": 10}"#,
        r#"{"0": 0, "1": 10, "2": 2, "3": 0}"#,
        r#"{"0": 0, "1": 10, "3": 0}"#,
        r#"{"0": 0, "1": 10, "1": 10, "2": 0}"#,
        r#"{"0": 0, "1": 11, "2": 2}"#,
        r#"{"0": -1, "1": 1, "2": 2}"#,
        r#"{"0": null, "1": 1, "2": 2}"#,
        r#"{"0": "1", "1": 1, "2": 2}"#,
        "[0, 10, 2.5]",
        r#"{"0": 0, "1": 10, "2": 2.5} and so on"#,
        r#"{"00": 0, "1": 10, "2": 2.5}"#,
        r#"{"0": 1e999, "1": 10, "2": 2.5}"#,
    ] {
        assert_eq!(read(wrong).unwrap_err().kind, FailureKind::Malformed, "{wrong}");
    }
    let cut = Ok(Answer {
        text: r#"{"0": 0, "1": 10, "2": 2}"#.to_owned(),
        finish: Finish::Length,
        ..Answer::default()
    });
    assert_eq!(Simulator::Json.read(GRADES, 3, &[cut]).unwrap_err().kind, FailureKind::Truncated);
}

/// As the `automated-interpretability` package makes them (`reference/simulation`).
#[test]
fn whole_numbers_are_those_of_the_package() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../reference/simulation/goldens.json");
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for case in cases {
        let truth: Vec<f32> = serde_json::from_value(case["excerpts"][0]["true"].clone()).unwrap();
        let theirs: Vec<u8> = serde_json::from_value(case["discretised"].clone()).unwrap();
        let maximum = truth.iter().copied().fold(0.0, f32::max);
        let ours: Vec<u8> =
            truth.iter().map(|activation| super::scale::discretised(*activation, maximum)).collect();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn activations_become_whole_numbers_by_floor() {
    use super::scale::discretised;
    let numbers: Vec<u8> =
        [-1.0, 0.0, 0.99, 1.0, 5.55, 9.99, 10.0].iter().map(|a| discretised(*a, 10.0)).collect();
    assert_eq!(numbers, [0, 0, 0, 1, 5, 9, 10]);
    assert_eq!((discretised(3.0, 0.0), discretised(f32::NAN, 1.0), discretised(2.0, 1.0)), (0, 0, 10));
}

proptest! {
    /// Whatever the tokens are, the graded text has one place a token and one line a token.
    #[test]
    fn hostile_tokens_do_not_move_places(tokens in prop::collection::vec(
        prop_oneof!["\\PC{0,4}", Just("\t".to_owned()), Just("\nunknown\n".to_owned()), Just("<|im_end|>".to_owned())], 1..8)) {
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let requests = ask(Simulator::Grades, GRADES, &tokens);
        let Want::Grades(grading) = &requests[0].want else { panic!() };
        prop_assert_eq!(grading.places(), tokens.len());
        let text: String = grading.text.iter().map(|piece| match piece { Piece::Text(text) | Piece::Asked(text) => text.as_str() }).collect();
        prop_assert_eq!(text.lines().count(), tokens.len() + 1, "{}", text);
        prop_assert_eq!(text.matches('\t').count(), tokens.len());
        prop_assert!(!text.contains("<|im_end|>"));
        let requests = ask(Simulator::Json, GRADES, &tokens);
        let question = &requests[0].messages.last().unwrap().content;
        let parsed: serde_json::Value = serde_json::from_str(question).unwrap();
        prop_assert_eq!(parsed["tokens"].as_object().unwrap().len(), tokens.len());
    }
}
