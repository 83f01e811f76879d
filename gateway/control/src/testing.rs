//! What the tests of this crate share: a clock that is moved by hand, randomness, folders, people.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::database::ControlDatabase;
use crate::rows::{GrantRow, GroupRow, SessionRow, UserRow};
use crate::secrets::SecretsKey;
use crate::users::HashedPassword;
use dfs_api::{AuditRecord, AuditResult, GrantKind, PermissionLevel, Role};
use dfs_model::{Clock, Entropy, Monotonic, Timestamp};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub struct HandClock(Arc<AtomicI64>);

impl HandClock {
    pub fn new() -> HandClock {
        HandClock(Arc::new(AtomicI64::new(2_000_000_000)))
    }

    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn wall(&self) -> Timestamp {
        Timestamp::new(self.0.load(Ordering::Relaxed), 0)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.load(Ordering::Relaxed) as u64 * 1_000_000_000)
    }
}

/// Bytes that differ from call to call and from run to run.
pub struct TestEntropy;

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        use std::hash::{BuildHasher, Hasher, RandomState};
        for chunk in bytes.chunks_mut(8) {
            let drawn = RandomState::new().build_hasher().finish().to_le_bytes();
            chunk.iter_mut().zip(drawn).for_each(|(byte, drawn)| *byte = drawn);
        }
    }
}

/// The key of a folder.
pub fn key(folder: &Path) -> SecretsKey {
    SecretsKey::open(&folder.join("secrets.key"), Arc::new(TestEntropy)).unwrap()
}

/// The embedded database of a folder.
pub async fn embedded(folder: &Path) -> ControlDatabase {
    ControlDatabase::open_embedded(&folder.join("control.redb"), key(folder)).await.unwrap()
}

/// Hashes that are none: hashing takes long, and few tests look at it.
pub fn hashed(word: &str) -> HashedPassword {
    HashedPassword { password_hash: format!("hash of {word}"), nt_hash: format!("nt of {word}") }
}

pub fn user(name: &str, role: Role) -> UserRow {
    UserRow { role, ..UserRow::admin(name, hashed(name), false, 1) }
}

pub fn group(name: &str, gid: Option<u32>) -> GroupRow {
    GroupRow { name: name.to_owned(), gid, description: String::new(), created_at: 1 }
}

pub fn grant(share: &str, kind: GrantKind, name: &str, level: PermissionLevel) -> GrantRow {
    GrantRow { share: share.to_owned(), kind, name: name.to_owned(), level }
}

pub fn session(user: &str, id: &str) -> SessionRow {
    SessionRow {
        id: id.to_owned(),
        user: user.to_owned(),
        token_version: 1,
        created_at: 1,
        refreshed_at: 1,
        expires_at: i64::MAX,
        generation: 1,
        refresh_hash: "hash".to_owned(),
        key_id: "key".to_owned(),
        previous_hash: None,
        address: "192.0.2.1".to_owned(),
    }
}

pub fn record(at: i64, user: &str, action: &str, target: &str) -> AuditRecord {
    AuditRecord {
        id: 0,
        at,
        user: user.to_owned(),
        role: Some(Role::Admin),
        address: "192.0.2.1".to_owned(),
        request_id: "r-1".to_owned(),
        action: action.to_owned(),
        target: target.to_owned(),
        result: AuditResult::Done,
        problem: None,
        before: None,
        after: Some(serde_json::json!({ "name": target })),
    }
}
