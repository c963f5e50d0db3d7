//! Hook points, patterns and units as text.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its goldens should stop")]

mod common;

use common::{FAMILIES, Golden};
use glossator_model::{HookPattern, HookPoint, ModelError, UnitId};

#[test]
fn names_round_trip_and_order_is_execution() {
    for family in FAMILIES {
        let architecture = Golden::open(family).model.architecture().clone();
        let hooks = HookPoint::all(&architecture);
        assert!(hooks.is_sorted(), "{family}");
        for hook in hooks {
            assert_eq!(hook.to_string().parse::<HookPoint>().unwrap(), hook);
            let unit = UnitId::new(hook, 3);
            assert_eq!(unit.to_string().parse::<UnitId>().unwrap(), unit);
            let json = serde_json::to_string(&unit).unwrap();
            assert_eq!(json, format!("\"{hook}:3\""));
            assert_eq!(serde_json::from_str::<UnitId>(&json).unwrap(), unit);
        }
    }
}

#[test]
fn nonsense_is_no_hook_point() {
    for name in
        ["", "blocks", "blocks.0", "blocks.00.hook_resid_pre", "blocks.+1.hook_resid_pre", "hook_embed "]
    {
        assert!(matches!(name.parse::<HookPoint>(), Err(ModelError::UnknownHook { .. })), "{name}");
    }
    for unit in ["hook_embed", "hook_embed:", "hook_embed:-1", "hook_embed:+1", "hook_embed:5000000000", ":1"]
    {
        assert!(unit.parse::<UnitId>().is_err(), "{unit}");
    }
}

#[test]
fn patterns_expand_in_order_and_name_their_neighbours() {
    let architecture = Golden::open("gemma3").model.architecture().clone();
    let expand = |pattern: &str| {
        let pattern: HookPattern = pattern.parse()?;
        pattern.expand(&architecture).map(|hooks| hooks.iter().map(HookPoint::to_string).collect::<Vec<_>>())
    };
    let posts = expand("blocks.*.mlp.hook_post").unwrap();
    assert_eq!(posts, ["blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post", "blocks.2.mlp.hook_post"]);
    assert_eq!(expand("blocks.1-2.mlp.hook_post").unwrap(), posts[1..]);
    assert_eq!(expand("blocks.0,2.hook_resid_*").unwrap().len(), 6);
    assert_eq!(expand("blocks.1.attn.*").unwrap().len(), 8);
    assert_eq!(expand("hook_embed").unwrap(), ["hook_embed"]);
    assert_eq!(expand("ln_final.*").unwrap(), ["ln_final.hook_scale", "ln_final.hook_normalized"]);
    let error = expand("blocks.0.mlp.hook_pots").unwrap_err().to_string();
    assert!(error.contains("nearest names here: blocks.0.mlp.hook_post"), "{error}");
    assert!(expand("blocks.3.mlp.hook_post").is_err());
    assert!(expand("blocks.x.mlp.hook_post").is_err());
}
