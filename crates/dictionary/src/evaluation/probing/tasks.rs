//! From the labels of windows to balanced tasks: does a window have this label?

use std::collections::BTreeMap;

/// Fewest windows of either class among the training windows, and among the test windows.
const FEWEST: [usize; 2] = [40, 10];
/// One document in so many is for the test.
const TEST_SHARE: u32 = 5;

/// What is known of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledWindow {
    /// The document it is from; whole documents are for training or for the test.
    pub document: u32,
    /// The document's label.
    pub label: String,
}

/// One label against all others, with as many windows of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) label: String,
    /// The windows (rising) and whether they have the label.
    pub(super) training: Vec<(u32, bool)>,
    pub(super) test: Vec<(u32, bool)>,
}

/// The tasks for which there are windows enough, by label.
pub(super) fn tasks(windows: &[LabelledWindow]) -> Vec<Task> {
    let mut labels: BTreeMap<&str, usize> = BTreeMap::new();
    for window in windows {
        *labels.entry(&window.label).or_default() += 1;
    }
    labels.keys().filter_map(|label| task(windows, label)).collect()
}

fn task(windows: &[LabelledWindow], label: &str) -> Option<Task> {
    let side = |test: bool, fewest: usize| {
        let of_class = |class: bool| {
            let here = windows.iter().enumerate().filter(move |(_, window)| {
                is_test(window.document) == test && (window.label == label) == class
            });
            here.map(|(index, _)| index as u32).collect::<Vec<u32>>()
        };
        let (positive, negative) = (of_class(true), of_class(false));
        let count = positive.len().min(negative.len());
        let mut chosen: Vec<(u32, bool)> = evenly(&positive, count).map(|window| (window, true)).collect();
        chosen.extend(evenly(&negative, count).map(|window| (window, false)));
        chosen.sort_unstable();
        (count >= fewest).then_some(chosen)
    };
    Some(Task { label: label.to_owned(), training: side(false, FEWEST[0])?, test: side(true, FEWEST[1])? })
}

/// Documents come in an order that a hash of their text decides, so that every fifth is as good as chance.
fn is_test(document: u32) -> bool {
    document % TEST_SHARE == TEST_SHARE - 1
}

/// `count` entries at equal distances.
fn evenly(all: &[u32], count: usize) -> impl Iterator<Item = u32> {
    (0..count).map(move |i| all[i * all.len() / count])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows() -> Vec<LabelledWindow> {
        let label = |document: u32| match document / 5 % 20 {
            0..6 => "a",
            6..19 => "b",
            _ => "rare",
        };
        (0..600).map(|i| LabelledWindow { document: i / 2, label: label(i / 2).to_owned() }).collect()
    }

    #[test]
    fn tasks_are_balanced_and_documents_on_one_side() {
        let (windows, mut all) = (windows(), tasks(&windows()));
        // `rare` has 24 training windows.
        assert_eq!(all.iter().map(|task| task.label.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let task = all.remove(0);
        for (side, is_test_side) in [(&task.training, false), (&task.test, true)] {
            let positive = side.iter().filter(|(_, class)| *class).count();
            assert_eq!(positive * 2, side.len());
            for (window, class) in side {
                let window = &windows[*window as usize];
                assert_eq!((window.label == "a", is_test(window.document)), (*class, is_test_side));
            }
            assert!(side.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }

    #[test]
    fn too_few_windows_make_no_task() {
        assert!(tasks(&windows()[..60]).is_empty());
    }
}
