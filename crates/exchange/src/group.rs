//! Units by what they are: other programs know layers of one kind of unit, an atlas may hold several kinds.

use std::collections::BTreeMap;

use glossator_model::UnitId;

/// Units of one kind in all layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The hook point without its block: `mlp.hook_post`.
    pub site: String,
    /// Units by layer, with their layer; hook points outside blocks count as layer 0.
    pub units: Vec<(u32, UnitId)>,
}

/// Sorts units into kinds, in order of the kinds' names; units keep their order.
pub fn groups(units: &[UnitId]) -> Vec<Group> {
    let mut groups: BTreeMap<String, Vec<(u32, UnitId)>> = BTreeMap::new();
    for &unit in units {
        let name = unit.hook.to_string();
        let site = match name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
            Some((_, site)) => site.to_owned(),
            None => name,
        };
        groups.entry(site).or_default().push((unit.hook.layer().unwrap_or(0) as u32, unit));
    }
    groups.into_iter().map(|(site, units)| Group { site, units }).collect()
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn units_are_sorted_by_kind_and_know_their_layer() {
        let unit = |text: &str| text.parse().unwrap();
        let units = [
            unit("blocks.0.mlp.hook_post:3"),
            unit("blocks.1.hook_resid_post:0"),
            unit("blocks.1.mlp.hook_post:2"),
        ];
        let groups = groups(&units);
        let seen: Vec<_> = groups.iter().map(|group| (group.site.as_str(), group.units.clone())).collect();
        assert_eq!(
            seen,
            [("hook_resid_post", vec![(1, units[1])]), ("mlp.hook_post", vec![(0, units[0]), (1, units[2])])]
        );
    }
}
