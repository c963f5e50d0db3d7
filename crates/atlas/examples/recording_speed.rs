//! What recording costs by itself: processor time per token for the 46,080 neurons of a 30-layer model, on made-up
//! activations, one thread. Compare with the forward pass of `cargo run --release --example forward_speed`.
//!
//! `cargo run --release -p glossator-atlas --example recording_speed -- [WINDOWS]`

use std::io::Write as _;

use glossator_atlas::{HookSummary, RecordSettings, Recorder, RunSummary, TokenSelection, WindowTokens};
use glossator_model::{Activation, HookPoint, Observer};

const CONTEXT: usize = 64;
const WIDTH: usize = 1536;
const GROUP: usize = 4;
const LAYERS: f64 = 30.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let windows: usize = std::env::args().nth(1).map_or(Ok(4096), |text| text.parse())?;
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    // Natural text: token ranks by Zipf's law over 49,152 tokens.
    let tokens: Vec<u32> = (0..windows * CONTEXT).map(|_| 49_152.0_f32.powf(random()) as u32 - 1).collect();
    let mut token_counts = vec![0; 49_152];
    tokens.iter().for_each(|token| token_counts[*token as usize] += 1);
    // A long-tailed activation, different in every group of windows.
    let values: Vec<f32> = (0..(GROUP + 64) * CONTEXT * WIDTH)
        .map(|_| (random() + random() + random() - 1.5) * (random() * 4.0).exp() / 10.0)
        .collect();
    let kept_tokens = TokenSelection { min_count: 3, memory: 72 << 20 }.choose(&token_counts, WIDTH as u64);
    let hook = HookPoint::mlp_post(0);
    let mut recorder = Recorder::new(RecordSettings {
        run: RunSummary {
            context: CONTEXT as u32,
            windows: windows as u64,
            tokens: tokens.len() as u64,
            ..RunSummary::default()
        },
        hooks: vec![HookSummary { hook, units: WIDTH as u32, directions: false }],
        token_counts,
        kept_tokens,
    })?;
    let starts: Vec<usize> = (0..=GROUP).map(|index| index * CONTEXT).collect();
    let before = processor_time()?;
    for (group, tokens) in tokens.chunks_exact(GROUP * CONTEXT).enumerate() {
        let batch: Vec<WindowTokens<'_>> = tokens
            .chunks(CONTEXT)
            .enumerate()
            .map(|(index, tokens)| WindowTokens { id: (group * GROUP + index) as u32, tokens })
            .collect();
        let first = (group * 37 % (64 * CONTEXT)) * WIDTH;
        let values = &values[first..first + GROUP * CONTEXT * WIDTH];
        let activation =
            Activation { sequences: 0..GROUP, starts: &starts, width: WIDTH, values, pairwise: false };
        recorder.observer(&batch).observe(hook, &activation);
        recorder.complete(GROUP)?;
    }
    let seconds = processor_time()? - before;
    let per_token = seconds / (windows * CONTEXT) as f64;
    writeln!(
        std::io::stdout(),
        "{:.2} ns per activation; {:.1} µs per token at {LAYERS} layers of {WIDTH} neurons, on one core",
        per_token * 1e9 / WIDTH as f64,
        per_token * 1e6 * LAYERS,
    )?;
    Ok(())
}

/// Seconds that this thread has been running, by Linux' own account.
fn processor_time() -> Result<f64, Box<dyn std::error::Error>> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = statistics.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e9)
}
