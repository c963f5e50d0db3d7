//! What a run wants at each hook point, resolved once before the forward pass.

use std::collections::BTreeMap;

use crate::architecture::Architecture;
use crate::batch::Run;
use crate::error::ModelError;
use crate::hook::{BlockSite, HookPoint};
use crate::hook_pattern::nearest_names;
use crate::intervention::Intervention;

/// What happens to a value at a hook point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Touch {
    /// Nothing: the value need not exist.
    None,
    /// An observer reads it.
    Observed,
    /// An intervention changes it, and an observer may read it.
    Changed,
}

/// A run resolved against an architecture.
pub(super) struct Plan<'a> {
    touches: Vec<Touch>,
    wanted: Vec<bool>,
    changes: BTreeMap<HookPoint, Vec<&'a Intervention>>,
    /// The last hook point that is wanted; `None` when the logits are.
    last: Option<HookPoint>,
    /// Whether the logits are wanted.
    pub(super) logits: bool,
}

impl<'a> Plan<'a> {
    /// Checks that every hook and intervention fits the architecture.
    pub(super) fn new(architecture: &Architecture, run: &Run<'a>) -> Result<Self, ModelError> {
        let slots = slots(architecture.n_layers);
        let mut plan = Self {
            touches: vec![Touch::None; slots],
            wanted: vec![false; slots],
            changes: BTreeMap::new(),
            last: if run.logits { None } else { run.hooks.iter().max().copied() },
            logits: run.logits,
        };
        for &hook in run.hooks {
            check_hook(architecture, hook)?;
            plan.wanted[slot(hook, architecture.n_layers)] = true;
            plan.touch_at_least(hook, Touch::Observed, architecture.n_layers);
        }
        for intervention in run.interventions {
            check_hook(architecture, intervention.hook)?;
            intervention.check(architecture)?;
            plan.touch_at_least(intervention.hook, Touch::Changed, architecture.n_layers);
            plan.changes.entry(intervention.hook).or_default().push(intervention);
        }
        Ok(plan)
    }

    /// Features are read from, and their changes written to, the place of their dictionary.
    fn touch_at_least(&mut self, hook: HookPoint, touch: Touch, n_layers: usize) {
        for place in [hook, hook.base()] {
            let touched = &mut self.touches[slot(place, n_layers)];
            *touched = touch.max(*touched);
        }
    }

    /// Whether nothing is wanted at all.
    pub(super) fn is_empty(&self) -> bool {
        !self.logits && self.last.is_none()
    }

    /// What happens at a hook point.
    pub(super) fn touch(&self, hook: HookPoint, n_layers: usize) -> Touch {
        self.touches[slot(hook, n_layers)]
    }

    /// Whether an observer wants the values.
    pub(super) fn is_wanted(&self, hook: HookPoint, n_layers: usize) -> bool {
        self.wanted[slot(hook, n_layers)]
    }

    /// The interventions at a hook point, in the order given.
    pub(super) fn changes(&self, hook: HookPoint) -> &[&'a Intervention] {
        self.changes.get(&hook).map_or(&[], Vec::as_slice)
    }

    /// Whether nothing is wanted after this hook point.
    pub(super) fn ends_at(&self, hook: HookPoint) -> bool {
        self.last == Some(hook)
    }
}

/// Entries of the tables of a plan.
fn slots(n_layers: usize) -> usize {
    4 + 2 * n_layers * BlockSite::ALL.len()
}

/// The position of a hook point in the tables of a plan.
fn slot(hook: HookPoint, n_layers: usize) -> usize {
    const SITES: usize = BlockSite::ALL.len();
    match hook {
        HookPoint::Embed => 0,
        HookPoint::PosEmbed => 1,
        HookPoint::LnFinalScale => 2,
        HookPoint::LnFinalNormalized => 3,
        HookPoint::Block { layer, site } => 4 + usize::from(layer) * SITES + site as usize,
        HookPoint::Features { layer, site } => 4 + (n_layers + usize::from(layer)) * SITES + site as usize,
    }
}

fn check_hook(architecture: &Architecture, hook: HookPoint) -> Result<(), ModelError> {
    if hook.exists_in(architecture) {
        return Ok(());
    }
    let name = hook.to_string();
    let near = nearest_names(&name, &HookPoint::all(architecture));
    Err(ModelError::UnknownHook { name, near })
}
