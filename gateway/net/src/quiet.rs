//! Log lines that a peer can provoke, limited in rate: one per second and kind, with the number left out before it.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(1);

/// Decides whether a line may be written now.
#[derive(Debug, Default)]
pub struct Quiet(Mutex<(Option<Instant>, u64)>);

impl Quiet {
    /// Says how many lines were left out since the last one, or `None` when this one is to be left out too.
    pub fn allow(&self) -> Option<u64> {
        self.allow_at(Instant::now())
    }

    fn allow_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        if state.0.is_some_and(|last| now.duration_since(last) < PAUSE) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_within_a_second_are_counted_not_written() {
        let (quiet, now) = (Quiet::default(), Instant::now());
        assert_eq!(quiet.allow_at(now), Some(0));
        assert_eq!(quiet.allow_at(now), None);
        assert_eq!(quiet.allow_at(now + PAUSE / 2), None);
        assert_eq!(quiet.allow_at(now + PAUSE), Some(2));
    }
}
