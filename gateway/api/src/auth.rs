//! Logging in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks for tokens.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct LoginRequest {
    pub username: String,
    pub password: String,
}

/// Asks for new tokens.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RefreshRequest {
    pub refresh_token: String,
}

/// Tokens: bearer JWTs.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// For requests.
    pub access_token: String,
    /// For new tokens.
    pub refresh_token: String,
    /// Seconds until the access token expires.
    pub expires_in: u64,
    /// The password was set by somebody else: nothing but changing it is allowed with this token.
    pub must_change_password: bool,
}

/// Changes the caller's password. Every token issued before is void afterwards.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct PasswordChange {
    pub old_password: String,
    pub new_password: String,
}

/// Who the caller is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Me {
    pub username: String,
    pub role: Role,
    pub must_change_password: bool,
}

/// What a user of the control plane may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at himself.
    #[default]
    User,
    /// Look at everything, flush.
    Operator,
    /// Everything.
    Admin,
}
