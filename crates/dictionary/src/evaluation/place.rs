//! Where a candidate stands: a hook point, or one head of it.

use std::fmt;
use std::ops::Range;

use glossator_model::{Architecture, HookPoint, Units};

use crate::splice::HeadSlice;

/// A hook point's values, all of them or those of one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The hook point.
    pub hook: HookPoint,
    /// The head, if it is about one.
    pub head: Option<HeadSlice>,
}

impl Place {
    /// The whole of a hook point, or one of its heads; none if it has no such head.
    pub fn new(hook: HookPoint, head: Option<usize>, architecture: &Architecture) -> Option<Self> {
        let Some(head) = head else { return Some(hook.into()) };
        let heads = hook.heads(architecture);
        (hook.has_heads() && head < heads).then_some(Self { hook, head: Some(HeadSlice { head, heads }) })
    }

    /// The number of values.
    pub fn width(&self, architecture: &Architecture) -> usize {
        self.columns(self.hook.width(architecture)).len()
    }

    /// Which of the hook point's `width` values they are.
    pub(super) fn columns(&self, width: usize) -> Range<usize> {
        let Some(HeadSlice { head, heads }) = self.head else { return 0..width };
        let own = width / heads;
        head * own..(head + 1) * own
    }

    /// The same for interventions.
    pub(super) fn units(&self) -> Units {
        self.head.map_or(Units::All, |slice| Units::Heads(vec![slice.head as u32]))
    }
}

impl From<HookPoint> for Place {
    fn from(hook: HookPoint) -> Self {
        Self { hook, head: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.hook)?;
        self.head.map_or(Ok(()), |slice| write!(f, ", head {}", slice.head))
    }
}
