//! A unit: one scalar of the forward pass that can be explained.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::hook::HookPoint;

/// A coordinate of a hook point, written `blocks.15.mlp.hook_post:99`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct UnitId {
    /// The place.
    pub hook: HookPoint,
    /// The coordinate there, below [`HookPoint::width`].
    pub index: u32,
}

impl UnitId {
    /// A coordinate of a hook point.
    pub fn new(hook: HookPoint, index: usize) -> Self {
        Self { hook, index: index as u32 }
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.hook, self.index)
    }
}

impl FromStr for UnitId {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let unit = text.rsplit_once(':').and_then(|(hook, index)| {
            let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
            Some(Self { hook: hook.parse().ok()?, index: index.parse().ok().filter(|_| digits)? })
        });
        unit.ok_or_else(|| ModelError::UnknownUnit { text: text.to_owned() })
    }
}

impl From<UnitId> for String {
    fn from(unit: UnitId) -> Self {
        unit.to_string()
    }
}

impl TryFrom<String> for UnitId {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}
