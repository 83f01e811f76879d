//! How many packs to upload at once: additive increase while the store answers quickly, multiplicative decrease when it
//! throttles or fails.

use crate::Decision;
use std::time::Duration;

/// A put slower than this many times the best seen tells of a queue at the other end: the window stays.
const QUEUE_FACTOR: u32 = 4;

/// How one upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadOutcome {
    /// Stored, after this time.
    Stored(Duration),
    /// The store asked for less.
    Throttled,
    /// Failed, timed out or unknown.
    Failed,
}

/// What the upload window depends on.
#[derive(Clone, Copy, Debug)]
pub struct UploadFacts {
    /// The window now, in packs.
    pub window: f64,
    /// Its bound.
    pub window_max: usize,
    /// Fastest upload lately.
    pub best: Duration,
    /// How one more ended.
    pub outcome: UploadOutcome,
}

pub(crate) fn fixed(facts: &UploadFacts) -> Decision<f64> {
    let most = (facts.window_max.max(1)) as f64;
    let (window, reason) = match facts.outcome {
        UploadOutcome::Stored(took) if took > facts.best.saturating_mul(QUEUE_FACTOR) => {
            (facts.window, "stored, but slowly: the store is busy")
        }
        UploadOutcome::Stored(_) => {
            (facts.window + 1.0 / facts.window.max(1.0), "stored quickly: a little wider")
        }
        UploadOutcome::Throttled => (facts.window / 2.0, "throttled: half as wide"),
        UploadOutcome::Failed => (facts.window * 0.75, "failed: narrower"),
    };
    Decision::new(window.clamp(1.0, most), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(window: f64, outcome: UploadOutcome) -> f64 {
        fixed(&UploadFacts { window, window_max: 16, best: Duration::from_millis(20), outcome }).value
    }

    #[test]
    fn quick_uploads_widen_to_the_bound_and_no_further() {
        let mut window = 1.0;
        for _ in 0..400 {
            window = step(window, UploadOutcome::Stored(Duration::from_millis(25)));
        }
        assert!((window - 16.0).abs() < 1e-9, "{window}");
    }

    #[test]
    fn throttling_halves_and_never_closes_the_window() {
        assert!((step(8.0, UploadOutcome::Throttled) - 4.0).abs() < 1e-9);
        assert!((step(1.0, UploadOutcome::Failed) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn slow_uploads_hold_the_window() {
        assert!((step(5.0, UploadOutcome::Stored(Duration::from_millis(200))) - 5.0).abs() < 1e-9);
    }
}
