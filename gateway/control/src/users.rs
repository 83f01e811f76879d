//! People who may manage the gateway.

use dfs_api::Role;
use dfs_auth::password::PasswordHash;
use dfs_model::Entropy;
use serde::{Deserialize, Serialize};

/// A user. The password is kept as an argon2id hash only.
#[derive(Clone, Serialize, Deserialize)]
pub struct User {
    /// Name, unique.
    pub name: String,
    /// argon2id in PHC string form.
    pub password_hash: String,
    /// What he may do.
    pub role: Role,
    /// Nothing but changing the password is allowed until it was changed.
    pub must_change_password: bool,
    /// Raised with each password change: tokens of older versions are void.
    pub token_version: u64,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl User {
    /// An administrator with this password. *Errors:* a sentence that says what is wrong with the password.
    pub fn admin(
        name: &str,
        password: &str,
        must_change: bool,
        entropy: &dyn Entropy,
    ) -> Result<User, String> {
        let hash = PasswordHash::new(password, entropy).map_err(|error| error.to_string())?;
        Ok(User {
            name: name.to_owned(),
            password_hash: hash.as_str().to_owned(),
            role: Role::Admin,
            must_change_password: must_change,
            token_version: 1,
        })
    }
}
