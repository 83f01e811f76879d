//! Progress of long work, drawn on standard error where that is a terminal.

use dfs_api::units::show_size;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar, or a wheel where nobody knows how long it takes. It is gone when the work is done.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins with what is to be done, in bytes; none: nobody knows.
    pub fn start(what: &str, total: Option<u64>) -> Progress {
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = match total {
            Some(_) => "{wide_msg} [{bar:30}] {percent:>3} %",
            None => "{spinner} {wide_msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        Progress { bar }
    }

    /// So many bytes are left.
    pub fn left(&self, what: &str, left: u64) {
        if let Some(total) = self.bar.length() {
            // Clients go on writing: what is left may grow beyond what there was.
            self.bar.set_position(total.saturating_sub(left).max(self.bar.position()));
        }
        self.bar.set_message(format!("{what}: {} left", show_size(left)));
    }

    /// It goes on.
    pub fn tick(&self) {
        self.bar.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
