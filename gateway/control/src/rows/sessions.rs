//! Rows about sessions, and about requests that may be sent again.

use serde::{Deserialize, Serialize};

/// A session: a family of tokens that began with one login.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// 128 random bits in hex.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// The user's token version at the login.
    pub token_version: u64,
    /// Seconds since 1970 at the login.
    pub created_at: i64,
    /// Seconds since 1970 at the last refresh.
    pub refreshed_at: i64,
    /// Seconds since 1970 when it ends unless it is refreshed.
    pub expires_at: i64,
    /// Number of the refresh token that is valid now.
    pub generation: u64,
    /// SHA-256 of that token, hex.
    pub refresh_hash: String,
    /// Name of the key that signed it.
    pub key_id: String,
    /// SHA-256 of the token before, hex: within a short time it may be sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_hash: Option<String>,
    /// Address of the login.
    #[serde(default)]
    pub address: String,
}

impl SessionRow {
    /// The key of a session: the sessions of a user stand together.
    #[must_use]
    pub fn key_of(user: &str, id: &str) -> String {
        format!("{user}/{id}")
    }
}

impl std::fmt::Debug for SessionRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionRow")
            .field("user", &self.user)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// The answer of a request that may be sent again under the same key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRow {
    /// Caller, route and key, or a hash of them.
    pub id: String,
    /// SHA-256 of the request's body, hex.
    pub body_hash: String,
    /// Status of the answer.
    pub status: u16,
    /// Body of the answer.
    pub body: String,
    /// Seconds since 1970.
    pub at: i64,
}

impl std::fmt::Debug for IdempotencyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdempotencyRow").field("id", &self.id).finish_non_exhaustive()
    }
}
