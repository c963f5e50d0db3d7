//! The hook points of a dictionary, in the words of the program that wrote it, and what fits there.

use anyhow::{bail, ensure};
use glossator_dictionary::Dictionary;
use glossator_model::{BlockSite, HookPoint, Model};

/// The hook point that is given, or else the one that the files name.
pub(crate) fn resolve(
    given: Option<HookPoint>,
    named: Option<&str>,
    flag: &str,
    model: &Model,
) -> anyhow::Result<HookPoint> {
    let hook = match (given, named) {
        (Some(hook), _) => hook,
        (None, Some(name)) => find(name, flag)?,
        (None, None) => bail!("the files do not say which hook point this is about: name it with {flag}"),
    };
    ensure!(
        hook.exists_in(model.architecture()),
        "the model has no hook point {hook}: name another with {flag}"
    );
    Ok(hook)
}

/// The hook point of a name: TransformerLens' own, or a module's of transformers or dictionary_learning.
pub(crate) fn find(name: &str, flag: &str) -> anyhow::Result<HookPoint> {
    match name.parse().ok().or_else(|| translate(name)) {
        Some(hook) => Ok(hook),
        None => bail!("the files call the hook point `{name}`, which is not known here: name it with {flag}"),
    }
}

/// Module names of transformers (sparsify) and of dictionary_learning: `layers.3.mlp`, `mlp_out_layer_3`; and other names
/// for places that have one here.
fn translate(name: &str) -> Option<HookPoint> {
    if name == "embed_tokens" {
        return Some(HookPoint::Embed);
    }
    if let Some((layer, site)) = name.strip_prefix("blocks.").and_then(|name| name.split_once('.')) {
        return Some(HookPoint::block(layer.parse().ok()?, alias(site)?));
    }
    let parts: Vec<&str> = name.split(['.', '_']).collect();
    let layer = parts.iter().find_map(|part| part.parse().ok())?;
    let site = if parts.contains(&"mlp") {
        BlockSite::MlpOut
    } else if parts.iter().any(|part| matches!(*part, "attn" | "attention" | "self")) {
        BlockSite::AttnOut
    } else if parts.contains(&"pre") {
        BlockSite::ResidPre
    } else {
        // The output of a whole block.
        BlockSite::ResidPost
    };
    Some(HookPoint::block(layer, site))
}

/// Names of TransformerLens' options and bridges, and of circuit-tracer.
fn alias(site: &str) -> Option<BlockSite> {
    match site {
        "hook_in" => Some(BlockSite::ResidPre),
        "attn.hook_out" => Some(BlockSite::AttnOut),
        "hook_mlp_in" => Some(BlockSite::ResidMid),
        "mlp.hook_out" => Some(BlockSite::MlpOut),
        "hook_out" => Some(BlockSite::ResidPost),
        _ => None,
    }
}

/// Refuses a dictionary that cannot read these hook points at all.
pub(crate) fn check_width(
    dictionary: &Dictionary,
    hook: HookPoint,
    hook_out: HookPoint,
    model: &Model,
) -> anyhow::Result<()> {
    for (hook, width) in [(hook, dictionary.d_input), (hook_out, dictionary.d_output)] {
        ensure!(
            !hook.is_pairwise(),
            "{hook} holds a value for each pair of tokens, which no dictionary reads"
        );
        let architecture = model.architecture();
        let whole = hook.width(architecture);
        let heads = hook.heads(architecture);
        let fits = whole == width || (dictionary.metadata.head.is_some() && whole == width * heads);
        ensure!(
            fits,
            "{hook} of this model is {whole} wide, but the dictionary is {width} wide: it belongs to another model or \
             hook point"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_translated() {
        for (name, hook) in [
            ("layers.3", "blocks.3.hook_resid_post"),
            ("layers.3.mlp", "blocks.3.hook_mlp_out"),
            ("h.11.attn", "blocks.11.hook_attn_out"),
            ("model.layers.0.self_attn", "blocks.0.hook_attn_out"),
            ("embed_tokens", "hook_embed"),
            ("resid_post_layer_4", "blocks.4.hook_resid_post"),
            ("resid_pre_layer_4", "blocks.4.hook_resid_pre"),
            ("mlp_out_layer_4", "blocks.4.hook_mlp_out"),
            ("attention_out_layer_4", "blocks.4.hook_attn_out"),
            ("blocks.4.hook_mlp_in", "blocks.4.hook_resid_mid"),
            ("blocks.4.mlp.hook_out", "blocks.4.hook_mlp_out"),
            ("blocks.4.attn.hook_out", "blocks.4.hook_attn_out"),
            ("blocks.4.hook_out", "blocks.4.hook_resid_post"),
        ] {
            assert_eq!(translate(name).map(|hook| hook.to_string()).as_deref(), Some(hook), "{name}");
        }
        for unknown in ["lm_head", "blocks.4.hook_q_input", "blocks.4.mlp.hook_gate", "blocks.x.hook_out"] {
            assert_eq!(translate(unknown), None, "{unknown}");
        }
        // What circuit-tracer's transcoders read.
        let read = find("blocks.4.mlp.hook_in", "--hook").unwrap();
        assert_eq!(read, HookPoint::block(4, BlockSite::MlpIn));
    }
}
