//! The decision about one reservation, as a pure function of facts.
//!
//! ```text
//!  occupancy  0 ......... 60 % ............... 90 % ........ 97 % ....... 100 %
//!  data       free        slowed smoothly      waits
//!  small      free        slowed smoothly      free          waits
//!  control    free        free                 free          free (waits for a segment only)
//! ```
//!
//! In the slowed band all clients together get `drain × (1 − x) / x`, x from 0 at 60 % to 1 at 90 %: no delay at its
//! lower edge, exactly what drains in its middle, nothing at its upper edge, so load settles inside of it whatever its
//! kind. Each client gets an equal part of that, so that one that writes little is delayed little.

use std::time::Duration;

/// Below this occupancy nobody is slowed.
pub const FREE_UNTIL: f64 = 0.60;
/// From this occupancy on only small commits and control records get room.
pub const DATA_UNTIL: f64 = 0.90;
/// From this occupancy on only control records get room.
pub const SMALL_UNTIL: f64 = 0.97;
/// Longest delay of one request in the slowed band: well below the protocols' deadlines (2 s and 10 s).
pub const PACE_MAX: Duration = Duration::from_millis(1500);
/// Drain rate assumed where less is measured: an outage shall slow writers, not stop them, until 90 %.
pub const DRAIN_FLOOR_BYTES_PER_SECOND: f64 = 8.0 * 1024.0 * 1024.0;

/// What a reservation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// Ordinary data.
    Data,
    /// A small write that is to be stable on reply.
    SmallCommit,
    /// Truncate, punch, times.
    Control,
}

/// What a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// 0 … 1, may exceed 1.
    pub occupancy: f64,
    /// What is asked for.
    pub kind: Reserve,
    /// Bytes asked for.
    pub bytes: u64,
    /// Measured bytes that drain in a second.
    pub drain_bytes_per_second: f64,
    /// Clients that write at the moment, this one included.
    pub clients: usize,
    /// Whether what is dirty cannot be uploaded until an operator acts.
    pub permanent: bool,
}

/// What becomes of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Room now.
    Go,
    /// Room after the client has been held back for this long per request of its own (its requests queue up).
    Pace(Duration),
    /// No room until something drains.
    Wait,
    /// No room until an operator acts.
    NoSpace,
}

/// Decides about one reservation.
#[must_use]
pub fn decide(facts: &Facts) -> Decision {
    if facts.kind == Reserve::Control || facts.occupancy < FREE_UNTIL {
        return Decision::Go;
    }
    if facts.occupancy >= DATA_UNTIL {
        return match facts.kind {
            _ if facts.permanent => Decision::NoSpace,
            Reserve::SmallCommit if facts.occupancy < SMALL_UNTIL => Decision::Go,
            _ => Decision::Wait,
        };
    }
    let x = (facts.occupancy - FREE_UNTIL) / (DATA_UNTIL - FREE_UNTIL);
    let drain = facts.drain_bytes_per_second.max(DRAIN_FLOOR_BYTES_PER_SECOND);
    let rate = drain * (1.0 - x) / x.max(1e-6) / facts.clients.max(1) as f64;
    let seconds = facts.bytes as f64 / rate.max(1.0);
    Decision::Pace(Duration::from_secs_f64(seconds.min(PACE_MAX.as_secs_f64())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn facts(occupancy: f64, kind: Reserve) -> Facts {
        let drain_bytes_per_second = 100.0 * MIB as f64;
        Facts { occupancy, kind, bytes: MIB, drain_bytes_per_second, clients: 1, permanent: false }
    }

    fn pace(facts: &Facts) -> Duration {
        match decide(facts) {
            Decision::Pace(delay) => delay,
            other => panic!("{other:?} at {facts:?}"),
        }
    }

    #[test]
    fn data_below_the_band_goes_and_above_it_waits() {
        assert_eq!(decide(&facts(0.59, Reserve::Data)), Decision::Go);
        for occupancy in [0.90, 0.95, 1.0, 1.7] {
            assert_eq!(decide(&facts(occupancy, Reserve::Data)), Decision::Wait);
        }
    }

    #[test]
    fn last_tenth_serves_small_commits_then_control_only() {
        assert_eq!(decide(&facts(0.93, Reserve::SmallCommit)), Decision::Go);
        assert_eq!(decide(&facts(0.98, Reserve::SmallCommit)), Decision::Wait);
        assert_eq!(decide(&facts(1.2, Reserve::Control)), Decision::Go);
    }

    #[test]
    fn delay_grows_without_a_step_through_the_band() {
        let delays: Vec<Duration> =
            (0..300).map(|n| pace(&facts(0.6 + f64::from(n) * 0.001, Reserve::Data))).collect();
        assert!(delays[0] < Duration::from_micros(10), "{:?}", delays[0]);
        assert!(delays.windows(2).all(|pair| pair[0] <= pair[1]));
        // No more than 1.5 × per 0.1 % of the pool once above the first percent, up to the cap.
        let steps = delays.windows(2).skip(10).take_while(|pair| pair[1] < PACE_MAX / 2);
        for pair in steps {
            assert!(pair[1].as_secs_f64() <= pair[0].as_secs_f64() * 1.5 + 1e-4, "{pair:?}");
        }
    }

    #[test]
    fn delay_in_the_middle_equals_the_drain() {
        let delay = pace(&facts(0.75, Reserve::Data));
        assert!((delay.as_secs_f64() - 0.01).abs() < 1e-4, "1 MiB at 100 MiB/s: {delay:?}");
    }

    #[test]
    fn delay_is_shared_by_clients_and_falls_with_size() {
        let one = pace(&facts(0.8, Reserve::Data));
        let ten = pace(&Facts { clients: 10, ..facts(0.8, Reserve::Data) });
        let small = pace(&Facts { bytes: 4096, ..facts(0.8, Reserve::Data) });
        assert!((ten.as_secs_f64() / one.as_secs_f64() - 10.0).abs() < 0.01);
        assert!((one.as_secs_f64() / small.as_secs_f64() - 256.0).abs() < 1.0);
    }

    #[test]
    fn delay_with_nothing_draining_is_bounded() {
        for occupancy in [0.7, 0.89, 0.8999] {
            let stuck =
                Facts { drain_bytes_per_second: 0.0, clients: 1000, ..facts(occupancy, Reserve::Data) };
            assert!(pace(&stuck) <= PACE_MAX);
        }
    }

    #[test]
    fn permanent_cause_refuses_writes_above_the_band_and_lets_control_go() {
        let refuse = |occupancy, kind| decide(&Facts { permanent: true, ..facts(occupancy, kind) });
        assert_eq!(refuse(0.91, Reserve::Data), Decision::NoSpace);
        assert_eq!(refuse(0.91, Reserve::SmallCommit), Decision::NoSpace);
        assert_eq!(refuse(0.91, Reserve::Control), Decision::Go);
        assert_eq!(refuse(0.5, Reserve::Data), Decision::Go);
        assert!(matches!(refuse(0.8, Reserve::Data), Decision::Pace(_)), "the log is used up to 90 %");
    }
}
