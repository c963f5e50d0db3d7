//! Progress where standard error is no terminal, such as the log of a job on a cluster: what a bar would show, as a line of its
//! own every half minute.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::TermLike;

/// The time between two lines.
pub(crate) const EVERY: Duration = Duration::from_secs(30);

/// Columns of a line.
const WIDTH: u16 = 160;

/// A terminal that a bar can be drawn on, which passes on one state of it now and then.
pub(crate) struct ProgressLines<W> {
    every: Duration,
    state: Mutex<State<W>>,
}

struct State<W> {
    writer: W,
    /// The bar as it would stand on a terminal.
    drawn: String,
    written: Instant,
}

impl<W: Write> ProgressLines<W> {
    /// Lines to `writer`, the first after `every`: work that is done sooner leaves none.
    pub(crate) fn new(writer: W, every: Duration) -> Self {
        let state = State { writer, drawn: String::new(), written: Instant::now() };
        Self { every, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> fmt::Debug for ProgressLines<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ProgressLines").field("every", &self.every).finish_non_exhaustive()
    }
}

impl<W: Write + Send> TermLike for ProgressLines<W> {
    fn width(&self) -> u16 {
        WIDTH
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.state().drawn.push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.state().drawn.clear();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.written.elapsed() >= self.every && !state.drawn.trim().is_empty() {
            state.written = Instant::now();
            let line = format!("{}\n", state.drawn.trim());
            state.writer.write_all(line.as_bytes())?;
        }
        state.drawn.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use indicatif::{ProgressBar, ProgressDrawTarget};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a bar that counts to three leaves.
    fn written(every: Duration) -> String {
        let shared = Shared::default();
        let lines = Box::new(ProgressLines::new(shared.clone(), every));
        let bar = ProgressBar::with_draw_target(Some(3), ProgressDrawTarget::term_like(lines));
        bar.set_style(indicatif::ProgressStyle::with_template("{pos}/{len} units").unwrap());
        for _ in 0..3 {
            bar.inc(1);
            bar.tick();
        }
        bar.abandon();
        let bytes = shared.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_state_is_a_line_and_none_comes_too_soon() {
        let lines = written(Duration::ZERO);
        assert!(lines.contains("1/3 units\n") && lines.ends_with("3/3 units\n"), "{lines:?}");
        assert!(lines.lines().all(|line| line.ends_with("/3 units")), "{lines:?}");
        assert_eq!(written(EVERY), "");
    }
}
