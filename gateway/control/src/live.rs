//! Settings of the control plane that change while it runs: what the configuration file says, unless it was set here.

use crate::around::pace::Pace;
use crate::brake::LoginBrake;
use dfs_api::Problem;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

/// Limits of the control plane, as the configuration file has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneLimits {
    /// Requests that one address may send in a second; 0: as many as it likes.
    pub requests_per_second: u32,
    /// Requests worked on at the same time.
    pub max_requests: usize,
    /// Logins that one address may try in a minute without the right password.
    pub login_tries_per_minute: u32,
    /// Hours after which a login ends that is not used.
    pub session_hours: u32,
    /// Days that records of the audit log are kept.
    pub audit_keep_days: u32,
}

impl Default for PlaneLimits {
    fn default() -> PlaneLimits {
        PlaneLimits {
            requests_per_second: 200,
            max_requests: 256,
            login_tries_per_minute: 10,
            session_hours: 7 * 24,
            audit_keep_days: 365,
        }
    }
}

/// A setting that the control plane itself goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    RequestsPerSecond,
    LoginTriesPerMinute,
    SessionHours,
    AuditKeepDays,
}

impl Key {
    pub const ALL: [Key; 4] =
        [Key::RequestsPerSecond, Key::LoginTriesPerMinute, Key::SessionHours, Key::AuditKeepDays];

    pub fn named(name: &str) -> Option<Key> {
        Key::ALL.into_iter().find(|key| key.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Key::RequestsPerSecond => "control.requests_per_second",
            Key::LoginTriesPerMinute => "control.login_tries_per_minute",
            Key::SessionHours => "control.session_hours",
            Key::AuditKeepDays => "audit.keep_days",
        }
    }

    pub fn says(self) -> &'static str {
        match self {
            Key::RequestsPerSecond => {
                "Requests that one address may send in a second; 0: as many as it likes."
            }
            Key::LoginTriesPerMinute => {
                "Logins that one address may try in a minute without the right password."
            }
            Key::SessionHours => "Hours after which a login ends that is not used.",
            Key::AuditKeepDays => "Days that records of the audit log are kept.",
        }
    }

    /// What it may be.
    pub fn range(self) -> (u32, u32) {
        match self {
            Key::RequestsPerSecond => (0, 1_000_000),
            Key::LoginTriesPerMinute => (1, 1000),
            Key::SessionHours => (1, 8760),
            Key::AuditKeepDays => (1, 36_500),
        }
    }

    pub fn of(self, limits: &PlaneLimits) -> u32 {
        match self {
            Key::RequestsPerSecond => limits.requests_per_second,
            Key::LoginTriesPerMinute => limits.login_tries_per_minute,
            Key::SessionHours => limits.session_hours,
            Key::AuditKeepDays => limits.audit_keep_days,
        }
    }

    /// A value as a number that it may be. *Errors:* what it may be.
    pub fn parse(self, value: &Value) -> Result<u32, Problem> {
        let (least, most) = self.range();
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            Problem::field("value", format!("{} is a number from {least} to {most}", self.name()))
        })
    }
}

/// The values in force.
pub(crate) struct Live {
    pub limits: PlaneLimits,
    session_hours: AtomicU32,
    audit_keep_days: AtomicU32,
}

impl Live {
    pub fn new(limits: PlaneLimits) -> Live {
        Live {
            session_hours: AtomicU32::new(limits.session_hours),
            audit_keep_days: AtomicU32::new(limits.audit_keep_days),
            limits,
        }
    }

    pub fn session_hours(&self) -> u32 {
        self.session_hours.load(Ordering::Relaxed)
    }

    pub fn audit_keep_days(&self) -> u32 {
        self.audit_keep_days.load(Ordering::Relaxed)
    }

    /// Puts a value into force.
    pub fn apply(&self, key: Key, value: u32, pace: &Pace, brake: &LoginBrake) {
        match key {
            Key::RequestsPerSecond => pace.set(u64::from(value)),
            Key::LoginTriesPerMinute => brake.set(value),
            Key::SessionHours => self.session_hours.store(value, Ordering::Relaxed),
            Key::AuditKeepDays => self.audit_keep_days.store(value, Ordering::Relaxed),
        }
    }

    /// What the configuration file says of a setting, and what holds without it.
    pub fn values(&self, key: Key) -> (Value, Value) {
        (json!(key.of(&self.limits)), json!(key.of(&PlaneLimits::default())))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn value_out_of_range_is_refused_with_the_range() {
        for key in Key::ALL {
            assert_eq!(Key::named(key.name()), Some(key));
            let (least, most) = key.range();
            assert_eq!(key.parse(&json!(most)).unwrap(), most);
            assert_eq!(key.parse(&json!(least)).unwrap(), least);
            assert_eq!(key.parse(&key_default(key)).unwrap(), key.of(&PlaneLimits::default()));
            for odd in
                [json!(u64::from(most) + 1), json!("7"), json!(-1), json!(1.5), json!(null), json!([1])]
            {
                let refused = key.parse(&odd).unwrap_err();
                assert_eq!((refused.status, refused.field.as_deref()), (400, Some("value")), "{odd}");
                assert!(refused.detail.contains(&most.to_string()), "{refused}");
            }
        }
        assert_eq!(Key::named("control.listen"), None);
    }

    fn key_default(key: Key) -> Value {
        Live::new(PlaneLimits::default()).values(key).1
    }
}
