//! The prompts of explainers on made-up units, whole; and methods by name.

use glossator_atlas::Atlas;
use glossator_atlas::testing::write_synthetic;
use glossator_llm::Role;
use glossator_model::UnitId;

use super::*;

const CONTINUES: Capabilities = Capabilities {
    grades: false,
    logprobs: false,
    json_schema: false,
    seed: false,
    continues_turn: true,
    number_ten: false,
};

fn atlas() -> (tempfile::TempDir, Atlas) {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 1, 30).unwrap();
    let atlas = Atlas::open(directory.path()).unwrap();
    (directory, atlas)
}

fn unit(index: u32) -> UnitId {
    UnitId { hook: "blocks.0.mlp.hook_post".parse().unwrap(), index }
}

/// The last question of a request, after the worked examples.
fn question(method: Method, evidence: &Evidence<'_>) -> Option<String> {
    let draft = method.drafts(evidence).into_iter().next()?;
    let request = method.request(&Prompts::builtin().unwrap(), CONTINUES, &draft, 0).unwrap();
    let turns = request.messages.iter().rev().take(2).rev();
    Some(
        turns
            .map(|message| format!("[{:?}]\n{}", message.role, message.content))
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

#[test]
fn questions_read_well() {
    let (_directory, atlas) = atlas();
    let mut evidence = Evidence::of(&atlas, unit(1)).unwrap();
    evidence.patterns = Some("\" cat\" after \"<|im_end|>\"".to_owned());
    for method in Method::ALL {
        let asked = question(method, &evidence).unwrap_or_else(|| "nothing can be asked".to_owned());
        insta::assert_snapshot!(method.name(), asked);
    }
}

#[test]
fn the_whole_prompt_of_marked_excerpts_reads_well() {
    let (_directory, atlas) = atlas();
    let draft = &Method::MaxActivating.drafts(&Evidence::of(&atlas, unit(8)).unwrap())[0];
    let request = Method::MaxActivating.request(&Prompts::builtin().unwrap(), CONTINUES, draft, 0).unwrap();
    let shown: Vec<String> =
        request.messages.iter().map(|message| format!("[{:?}]\n{}", message.role, message.content)).collect();
    insta::assert_snapshot!("max-act_whole", shown.join("\n"));
    // A model that does not go on with a turn is asked a question.
    let plain = Capabilities { continues_turn: false, ..CONTINUES };
    let request = Method::MaxActivating.request(&Prompts::builtin().unwrap(), plain, draft, 0).unwrap();
    assert_eq!(request.messages.last().unwrap().role, Role::User);
}

#[test]
fn only_samples_after_the_first_are_drawn() {
    let (_directory, atlas) = atlas();
    let draft = &Method::Tokens.drafts(&Evidence::of(&atlas, unit(1)).unwrap())[0];
    let temperature = |sample| {
        let request = Method::Tokens.request(&Prompts::builtin().unwrap(), CONTINUES, draft, sample).unwrap();
        let Want::Text(generation) = request.want else { panic!() };
        (request.sample, generation.temperature)
    };
    assert_eq!([temperature(0), temperature(3)], [(0, 0.0), (3, 1.0)]);
}

/// Nothing but training excerpts is shown, for any unit and method.
#[test]
fn explainers_see_training_excerpts_only() {
    let (_directory, atlas) = atlas();
    for index in 0..30 {
        let evidence = Evidence::of(&atlas, unit(index)).unwrap();
        let training: Vec<u32> =
            atlas.unit(unit(index)).unwrap().training().map(|excerpt| excerpt.window).collect();
        assert!(!evidence.top.is_empty());
        assert!(evidence.top.iter().chain(&evidence.lower).all(|excerpt| training.contains(&excerpt.window)));
        for method in Method::ALL {
            assert!(
                method
                    .drafts(&evidence)
                    .iter()
                    .flat_map(|draft| &draft.windows)
                    .all(|w| training.contains(w))
            );
        }
    }
}

#[test]
fn methods_have_names() {
    for method in Method::ALL {
        assert_eq!(method.to_string().parse::<Method>().unwrap(), method);
    }
    assert_eq!("llm".parse::<Method>().unwrap(), Method::MaxActivating);
    assert_eq!(Method::Pairs.explainer("m"), "llm:pairs@m");
    for wrong in ["", "llm:", "llm:nothing", "pairs", "lookup"] {
        assert!(wrong.parse::<Method>().is_err(), "{wrong}");
    }
}
