//! Hashes that decide order, split and identity (XXH3; all of them depend on content, never on names).

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed, xxh3_128};

use crate::plan::CorpusPlan;
use crate::tokenize::Tokenize;

/// Separates the uses of one hash, so that the split says nothing about the order.
#[derive(Clone, Copy)]
enum Purpose {
    Order = 1,
    Place = 2,
    HeldOut = 3,
}

/// Identity of a document: its text.
pub(crate) fn content(text: &str) -> u128 {
    xxh3_128(text.as_bytes())
}

/// Documents are taken in ascending order of this.
pub(crate) fn order(content: u128, seed: u64) -> u64 {
    of(Purpose::Order, content, 0, seed)
}

/// Decides the places of windows in a document: `draw` numbers the decisions.
pub(crate) fn place(content: u128, draw: u64, seed: u64) -> u64 {
    of(Purpose::Place, content, draw, seed)
}

/// Whether a document is held out; the same for every seed, so that no run trains on what another one held out.
pub(crate) fn is_held_out(content: u128, share: f64) -> bool {
    (of(Purpose::HeldOut, content, 0, 0) as f64) < share * 2_f64.powi(64)
}

fn of(purpose: Purpose, content: u128, draw: u64, seed: u64) -> u64 {
    let mut bytes = [0; 25];
    bytes[..16].copy_from_slice(&content.to_le_bytes());
    bytes[16..24].copy_from_slice(&draw.to_le_bytes());
    bytes[24] = purpose as u8;
    xxh3_64_with_seed(&bytes, seed)
}

/// Identity of a corpus: the distinct texts, everything in the plan that decides windows, and the tokenizer.
pub(crate) fn corpus(
    contents: impl Iterator<Item = u128>,
    plan: &CorpusPlan,
    bos: Option<u32>,
    tokenizer: &dyn Tokenize,
) -> String {
    let mut hash = Xxh3::new();
    hash.update(b"glossator corpus 1");
    let numbers = [
        plan.context as u64,
        plan.tokens,
        plan.seed,
        bos.map_or(u64::MAX, u64::from),
        plan.held_out.to_bits(),
        plan.split as u64,
        plan.windows_per_document as u64,
        tokenizer.fingerprint(),
    ];
    for number in numbers {
        hash.update(&number.to_le_bytes());
    }
    for content in contents {
        hash.update(&content.to_le_bytes());
    }
    format!("{:032x}", hash.digest128())
}
