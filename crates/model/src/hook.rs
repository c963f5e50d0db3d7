//! Named places in the forward pass, under the names of TransformerLens (`HookedTransformer`).
//!
//! Values are those of the original model: nothing is folded, centred or rescaled, unlike
//! TransformerLens' default loading. Shapes are per token unless noted.
//!
//! A dictionary spliced into the model ([`Model::splice`](crate::Model::splice)) adds a hook point of its own,
//! `hook_sae_acts_post` below the place it reads, as SAELens names it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, QkNorm};
use crate::error::ModelError;

/// A named place in the forward pass. `Display` and `FromStr` round-trip through its TransformerLens
/// name; the order is the order of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum HookPoint {
    /// `hook_embed` `[d_model]`: the token embedding, scaled where the family scales it.
    Embed,
    /// `hook_pos_embed` `[d_model]`: the learned position embedding.
    PosEmbed,
    /// `blocks.{layer}.…`: a place inside a block.
    Block {
        /// The block, from 0.
        layer: u16,
        /// The place in it.
        site: BlockSite,
    },
    /// `blocks.{layer}.….hook_sae_acts_post` `[features]`: the features of the dictionary that reads a place inside a
    /// block.
    Features {
        /// The block, from 0.
        layer: u16,
        /// The place that the dictionary reads.
        site: BlockSite,
    },
    /// `ln_final.hook_scale` `[1]`: as [`BlockSite::Ln1Scale`].
    LnFinalScale,
    /// `ln_final.hook_normalized` `[d_model]`: as [`BlockSite::Ln1Normalized`].
    LnFinalNormalized,
}

/// The name of a dictionary's features below the place it reads.
const FEATURES: &str = ".hook_sae_acts_post";

/// A place inside a block, in the order of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockSite {
    /// `hook_resid_pre` `[d_model]`: the residual stream that enters the block.
    ResidPre,
    /// `ln1.hook_scale` `[1]`: what the norm divides by, `√(mean(x²) + ε)` (of the centred `x` for
    /// layer norm).
    Ln1Scale,
    /// `ln1.hook_normalized` `[d_model]`: `x / scale` (centred for layer norm), before gain and bias.
    Ln1Normalized,
    /// `attn.hook_q` `[n_heads · d_head]`: projected queries with bias, before q-norm and rotary.
    Q,
    /// `attn.hook_k` `[n_kv_heads · d_head]`: projected keys with bias, before k-norm and rotary.
    K,
    /// `attn.hook_v` `[n_kv_heads · d_head]`: projected values with bias.
    V,
    /// `attn.hook_rot_q` `[n_heads · d_head]`: queries after q-norm and rotary.
    RotQ,
    /// `attn.hook_rot_k` `[n_kv_heads · d_head]`: keys after k-norm and rotary.
    RotK,
    /// `attn.hook_attn_scores` `[head, query, key]` per sequence: scaled, soft-capped; −∞ where masked.
    AttnScores,
    /// `attn.hook_pattern` `[head, query, key]` per sequence: softmax of the scores.
    Pattern,
    /// `attn.hook_z` `[n_heads · d_head]`: values mixed by the pattern.
    Z,
    /// `ln1_post.hook_scale` `[1]`: the norm after attention (Gemma).
    Ln1PostScale,
    /// `ln1_post.hook_normalized` `[d_model]`: the norm after attention, before its gain.
    Ln1PostNormalized,
    /// `hook_attn_out` `[d_model]`: what attention adds to the residual stream (after any post-norm).
    AttnOut,
    /// `hook_resid_mid` `[d_model]`: the stream between attention and MLP; absent in parallel blocks.
    ResidMid,
    /// `ln2.hook_scale` `[1]`: the norm before the MLP (it reads `resid_pre` in parallel blocks).
    Ln2Scale,
    /// `ln2.hook_normalized` `[d_model]`: the norm before the MLP, before gain and bias.
    Ln2Normalized,
    /// `mlp.hook_in` `[d_model]`: what the MLP reads, the norm before it with gain and bias. The name is that of TransformerLens'
    /// bridges and of circuit-tracer.
    MlpIn,
    /// `mlp.hook_pre` `[d_mlp]`: the input of the activation function (the gate in gated families).
    MlpPre,
    /// `mlp.hook_pre_linear` `[d_mlp]`: the linear branch of a gated MLP.
    MlpPreLinear,
    /// `mlp.hook_post` `[d_mlp]`: the neurons, `f(pre)` or `f(pre) · pre_linear`.
    MlpPost,
    /// `ln2_post.hook_scale` `[1]`: the norm after the MLP (Gemma).
    Ln2PostScale,
    /// `ln2_post.hook_normalized` `[d_model]`: the norm after the MLP, before its gain.
    Ln2PostNormalized,
    /// `hook_mlp_out` `[d_model]`: what the MLP adds to the residual stream (after any post-norm).
    MlpOut,
    /// `hook_resid_post` `[d_model]`: the residual stream that leaves the block.
    ResidPost,
}

impl BlockSite {
    /// Every site with its name inside a block, in the order of execution.
    pub const ALL: [(Self, &'static str); 25] = [
        (Self::ResidPre, "hook_resid_pre"),
        (Self::Ln1Scale, "ln1.hook_scale"),
        (Self::Ln1Normalized, "ln1.hook_normalized"),
        (Self::Q, "attn.hook_q"),
        (Self::K, "attn.hook_k"),
        (Self::V, "attn.hook_v"),
        (Self::RotQ, "attn.hook_rot_q"),
        (Self::RotK, "attn.hook_rot_k"),
        (Self::AttnScores, "attn.hook_attn_scores"),
        (Self::Pattern, "attn.hook_pattern"),
        (Self::Z, "attn.hook_z"),
        (Self::Ln1PostScale, "ln1_post.hook_scale"),
        (Self::Ln1PostNormalized, "ln1_post.hook_normalized"),
        (Self::AttnOut, "hook_attn_out"),
        (Self::ResidMid, "hook_resid_mid"),
        (Self::Ln2Scale, "ln2.hook_scale"),
        (Self::Ln2Normalized, "ln2.hook_normalized"),
        (Self::MlpIn, "mlp.hook_in"),
        (Self::MlpPre, "mlp.hook_pre"),
        (Self::MlpPreLinear, "mlp.hook_pre_linear"),
        (Self::MlpPost, "mlp.hook_post"),
        (Self::Ln2PostScale, "ln2_post.hook_scale"),
        (Self::Ln2PostNormalized, "ln2_post.hook_normalized"),
        (Self::MlpOut, "hook_mlp_out"),
        (Self::ResidPost, "hook_resid_post"),
    ];

    /// The name inside a block, such as `mlp.hook_post`.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Values are `[head, query, key]` per sequence, not `[width]` per token.
    pub fn is_pairwise(self) -> bool {
        matches!(self, Self::AttnScores | Self::Pattern)
    }
}

impl HookPoint {
    /// A site of a block.
    pub fn block(layer: usize, site: BlockSite) -> Self {
        Self::Block { layer: layer as u16, site }
    }

    /// `blocks.{layer}.mlp.hook_post`: the neurons of a layer.
    pub fn mlp_post(layer: usize) -> Self {
        Self::block(layer, BlockSite::MlpPost)
    }

    /// `blocks.{layer}.hook_resid_pre`.
    pub fn resid_pre(layer: usize) -> Self {
        Self::block(layer, BlockSite::ResidPre)
    }

    /// `blocks.{layer}.hook_resid_mid`.
    pub fn resid_mid(layer: usize) -> Self {
        Self::block(layer, BlockSite::ResidMid)
    }

    /// `blocks.{layer}.hook_resid_post`.
    pub fn resid_post(layer: usize) -> Self {
        Self::block(layer, BlockSite::ResidPost)
    }

    /// The features of the dictionary that reads this place, if one could: it lies in a block, and is neither pairwise
    /// nor itself features.
    pub fn features(self) -> Option<Self> {
        match self {
            Self::Block { layer, site } if !site.is_pairwise() => Some(Self::Features { layer, site }),
            _ => None,
        }
    }

    /// The place that the dictionary of these features reads; any other place itself.
    #[must_use]
    pub fn base(self) -> Self {
        match self {
            Self::Features { layer, site } => Self::Block { layer, site },
            place => place,
        }
    }

    /// Whether its values are a dictionary's features.
    pub fn is_features(self) -> bool {
        matches!(self, Self::Features { .. })
    }

    /// The block it lies in, if any.
    pub fn layer(self) -> Option<usize> {
        match self {
            Self::Block { layer, .. } | Self::Features { layer, .. } => Some(layer.into()),
            _ => None,
        }
    }

    /// The site inside its block, if it is one; none for features.
    pub fn site(self) -> Option<BlockSite> {
        match self {
            Self::Block { site, .. } => Some(site),
            _ => None,
        }
    }

    /// Values are `[head, query, key]` per sequence, not `[width]` per token.
    pub fn is_pairwise(self) -> bool {
        self.site().is_some_and(BlockSite::is_pairwise)
    }

    /// Units per token: `d_mlp` for `mlp.hook_post`, `d_model` for the residual stream, the number of features of a
    /// spliced dictionary, … Pairwise hooks (scores and patterns) count their heads.
    pub fn width(self, architecture: &Architecture) -> usize {
        use BlockSite as S;
        if self.is_features() {
            return architecture.dictionary(self).map_or(0, |dictionary| dictionary.features);
        }
        match self.site() {
            Some(S::Ln1Scale | S::Ln2Scale | S::Ln1PostScale | S::Ln2PostScale) => 1,
            Some(S::Q | S::RotQ | S::Z) => architecture.q_width(),
            Some(S::K | S::RotK | S::V) => architecture.kv_width(),
            Some(S::AttnScores | S::Pattern) => architecture.n_heads,
            Some(S::MlpPre | S::MlpPreLinear | S::MlpPost) => architecture.d_mlp,
            None if self == Self::LnFinalScale => 1,
            _ => architecture.d_model,
        }
    }

    /// How many heads its width divides into; 1 for hooks without heads.
    pub fn heads(self, architecture: &Architecture) -> usize {
        use BlockSite as S;
        match self.site() {
            Some(S::Q | S::RotQ | S::Z | S::AttnScores | S::Pattern) => architecture.n_heads,
            Some(S::K | S::RotK | S::V) => architecture.n_kv_heads,
            _ => 1,
        }
    }

    /// Whether its values divide into heads (also when there is only one).
    pub fn has_heads(self) -> bool {
        self.site().is_some_and(|site| (BlockSite::Q..=BlockSite::Z).contains(&site))
    }

    /// The named axes of its values, such as `[position, n_heads, d_head]`, with their sizes.
    pub fn shape(self, architecture: &Architecture) -> String {
        let heads = self.heads(architecture);
        if self.is_pairwise() {
            return format!("[head {heads}, query, key]");
        }
        let width = self.width(architecture);
        if self.has_heads() {
            return format!("[position, head {heads}, d_head {}]", architecture.d_head);
        }
        format!("[position, {width}]")
    }

    /// Whether a model of this architecture has this place.
    pub fn exists_in(self, architecture: &Architecture) -> bool {
        use BlockSite as S;
        let (layer, site) = match self {
            Self::Embed | Self::LnFinalScale | Self::LnFinalNormalized => return true,
            Self::PosEmbed => return architecture.learned_positions,
            Self::Features { .. } => return architecture.dictionary(self).is_some(),
            Self::Block { layer, site } => (usize::from(layer), site),
        };
        if layer >= architecture.n_layers {
            return false;
        }
        match site {
            S::RotQ | S::RotK => architecture.rotary(layer).is_some() || architecture.qk_norm != QkNorm::None,
            S::Ln1PostScale | S::Ln1PostNormalized | S::Ln2PostScale | S::Ln2PostNormalized => {
                architecture.post_norms
            }
            S::ResidMid => !architecture.parallel_residual,
            S::MlpPreLinear => architecture.mlp.gated,
            _ => true,
        }
    }

    /// Every hook point of an architecture, in the order of execution.
    pub fn all(architecture: &Architecture) -> Vec<Self> {
        let blocks = (0..architecture.n_layers)
            .flat_map(|layer| BlockSite::ALL.map(|(site, _)| Self::block(layer, site)))
            .flat_map(|place| [Some(place), place.features()].into_iter().flatten());
        [Self::Embed, Self::PosEmbed]
            .into_iter()
            .chain(blocks)
            .chain([Self::LnFinalScale, Self::LnFinalNormalized])
            .filter(|hook| hook.exists_in(architecture))
            .collect()
    }
}

impl Ord for HookPoint {
    /// The order of execution: features follow the place they are read from.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let order = |hook: &Self| match *hook {
            Self::Embed => (0, 0, None, false),
            Self::PosEmbed => (1, 0, None, false),
            Self::Block { layer, site } => (2, layer, Some(site), false),
            Self::Features { layer, site } => (2, layer, Some(site), true),
            Self::LnFinalScale => (3, 0, None, false),
            Self::LnFinalNormalized => (4, 0, None, false),
        };
        order(self).cmp(&order(other))
    }
}

impl PartialOrd for HookPoint {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embed => f.write_str("hook_embed"),
            Self::PosEmbed => f.write_str("hook_pos_embed"),
            Self::Block { layer, site } => write!(f, "blocks.{layer}.{}", site.name()),
            Self::Features { layer, site } => write!(f, "blocks.{layer}.{}{FEATURES}", site.name()),
            Self::LnFinalScale => f.write_str("ln_final.hook_scale"),
            Self::LnFinalNormalized => f.write_str("ln_final.hook_normalized"),
        }
    }
}

impl FromStr for HookPoint {
    type Err = ModelError;

    fn from_str(name: &str) -> Result<Self, ModelError> {
        match name {
            "hook_embed" => return Ok(Self::Embed),
            "hook_pos_embed" => return Ok(Self::PosEmbed),
            "ln_final.hook_scale" => return Ok(Self::LnFinalScale),
            "ln_final.hook_normalized" => return Ok(Self::LnFinalNormalized),
            _ => {}
        }
        let in_block = || {
            let (layer, site) = name.strip_prefix("blocks.")?.split_once('.')?;
            let plain = layer == "0" || !layer.starts_with(['0', '+']);
            let layer = layer.parse().ok().filter(|_| plain)?;
            let (site, features) = match site.strip_suffix(FEATURES) {
                Some(site) => (site, true),
                None => (site, false),
            };
            let site = BlockSite::ALL.iter().find(|(_, known)| *known == site)?.0;
            let place = Self::Block { layer, site };
            if features { place.features() } else { Some(place) }
        };
        in_block().ok_or_else(|| ModelError::UnknownHook { name: name.to_owned(), near: String::new() })
    }
}

impl From<HookPoint> for String {
    fn from(hook: HookPoint) -> Self {
        hook.to_string()
    }
}

impl TryFrom<String> for HookPoint {
    type Error = ModelError;

    fn try_from(name: String) -> Result<Self, ModelError> {
        name.parse()
    }
}
