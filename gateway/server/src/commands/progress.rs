//! What a command is doing, on a terminal's last line; nothing where nobody watches.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Steps of a command.
pub(super) struct Steps {
    bar: ProgressBar,
}

impl Steps {
    pub(super) fn begin(first: &'static str) -> Steps {
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} … {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(first);
        bar.enable_steady_tick(Duration::from_millis(100));
        Steps { bar }
    }

    pub(super) fn next(&self, step: &'static str) {
        self.bar.set_message(step);
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
