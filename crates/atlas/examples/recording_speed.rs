//! What recording costs by itself, for the 46,080 neurons of a 30-layer model on made-up activations, on all cores:
//! its time, and the time in which memory could have delivered what it touches. Compare with the forward pass of
//! `cargo run --release -p glossator-model --example forward_speed`. Takes about 4 GiB of memory.
//!
//! `cargo run --release -p glossator-atlas --example recording_speed -- [WINDOWS]`

use std::collections::BTreeSet;
use std::hint::black_box;
use std::io::Write as _;
use std::ops::Range;
use std::time::Instant;

use glossator_atlas::{HookSummary, RecordSettings, Recorder, RunSummary, TokenSelection, WindowTokens};
use glossator_model::{Activation, HookPoint, Observer};
use rayon::prelude::*;

const CONTEXT: usize = 64;
const WIDTH: usize = 1536;
const LAYERS: usize = 30;
/// Windows that the forward pass hands over together, and windows per forward pass.
const GROUP: usize = 4;
const BATCH: usize = 64;
const VOCABULARY: usize = 49_152;
/// Bytes of a unit's state, besides the token table, that a group reads and writes: 21 limbs of sums, three cache
/// lines of strata, about three of the histogram, extremes and counts.
const STATE: usize = 2 * (21 * 8 + 3 * 64 + 3 * 64 + 28);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let windows: usize = std::env::args().nth(1).map_or(Ok(1024), |text| text.parse())?;
    let mut random = generator();
    // Natural text: token ranks by Zipf's law.
    let tokens: Vec<u32> =
        (0..windows * CONTEXT).map(|_| (VOCABULARY as f32).powf(random()) as u32 - 1).collect();
    // A long-tailed activation, different in every group of windows.
    let values: Vec<f32> = (0..(GROUP + 64) * CONTEXT * WIDTH)
        .map(|_| (random() + random() + random() - 1.5) * (random() * 4.0).exp() / 10.0)
        .collect();
    let mut recorder = Recorder::new(settings(windows, &tokens))?;
    let kept: BTreeSet<u32> = recorder.settings().kept_tokens.iter().copied().collect();
    for (batch, tokens) in tokens.chunks_exact(BATCH * CONTEXT).enumerate() {
        (0..BATCH / GROUP).into_par_iter().for_each_init(Vec::new, |buffer, group| {
            let first = (batch * BATCH / GROUP + group) * GROUP;
            let tokens = &tokens[group * GROUP * CONTEXT..][..GROUP * CONTEXT];
            record(&recorder, first, tokens, &values, buffer);
        });
        recorder.complete(BATCH)?;
    }
    let units = (WIDTH * LAYERS) as f64;
    let recorded = (recorder.recorded() as usize * CONTEXT) as f64;
    let distinct: usize = tokens
        .chunks_exact(GROUP * CONTEXT)
        .map(|group| group.iter().filter(|token| kept.contains(token)).collect::<BTreeSet<_>>().len())
        .sum();
    let bytes = units * ((distinct * 8) as f64 + recorded / (GROUP * CONTEXT) as f64 * STATE as f64);
    let threads = rayon::current_num_threads() as f64;
    let seconds = recorder.time().as_secs_f64() / threads;
    let bound = bytes / bandwidth();
    writeln!(
        std::io::stdout(),
        "{:.2} ns of one core per activation; {:.1} s for 262,144 tokens on {threads} cores\n\
         memory: {:.1} bytes per activation, {:.1} GB/s; read and written at full speed {:.1} s, which is {:.0} % of \
         the time",
        seconds * threads * 1e9 / (recorded * units),
        seconds / recorded * 262_144.0,
        bytes / (recorded * units),
        bytes / bound / 1e9,
        bound / recorded * 262_144.0,
        100.0 * bound / seconds,
    )?;
    Ok(())
}

/// Numbers from 0 to 1.
fn generator() -> impl FnMut() -> f32 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    }
}

fn settings(windows: usize, tokens: &[u32]) -> RecordSettings {
    let mut token_counts = vec![0; VOCABULARY];
    tokens.iter().for_each(|token| token_counts[*token as usize] += 1);
    let selection = TokenSelection { min_count: 3, memory: 2 << 30 };
    let run = RunSummary {
        context: CONTEXT as u32,
        windows: windows as u64,
        tokens: tokens.len() as u64,
        ..RunSummary::default()
    };
    let hook = |layer| HookSummary {
        hook: HookPoint::mlp_post(layer),
        units: WIDTH as u32,
        directions: false,
        neurons: None,
    };
    RecordSettings {
        run,
        hooks: (0..LAYERS).map(hook).collect(),
        kept_tokens: selection.choose(&token_counts, (WIDTH * LAYERS) as u64),
        token_counts,
    }
}

/// Records the group of windows from `first` on at every layer.
fn record(recorder: &Recorder, first: usize, tokens: &[u32], values: &[f32], buffer: &mut Vec<f32>) {
    let windows: Vec<WindowTokens<'_>> = tokens
        .chunks(CONTEXT)
        .enumerate()
        .map(|(index, tokens)| WindowTokens { id: (first + index) as u32, tokens })
        .collect();
    let starts: Vec<usize> = (0..=GROUP).map(|index| index * CONTEXT).collect();
    for layer in 0..LAYERS {
        // Just written, as by a forward pass.
        let from = ((first * 7 + layer * 13) % (64 * CONTEXT)) * WIDTH;
        buffer.clear();
        buffer.extend_from_slice(&values[from..from + GROUP * CONTEXT * WIDTH]);
        let sequences: Range<usize> = 0..GROUP;
        let activation =
            Activation { sequences, starts: &starts, width: WIDTH, values: buffer, pairwise: false };
        recorder.observer(&windows).observe(HookPoint::mlp_post(layer), &activation);
    }
}

/// Bytes per second that all cores together read and write, adding to a large array in place; best of some runs.
fn bandwidth() -> f64 {
    let mut values = vec![1.0_f64; 64 << 20];
    let mut run = || {
        let started = Instant::now();
        values.par_chunks_mut(1 << 20).for_each(|values| values.iter_mut().for_each(|value| *value += 1.0));
        (values.len() * 16) as f64 / started.elapsed().as_secs_f64()
    };
    let best = (0..5).map(|_| run()).fold(0.0, f64::max);
    black_box(values);
    best
}
