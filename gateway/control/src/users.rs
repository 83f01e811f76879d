//! Passwords of users: how they are hashed for every protocol, and the first administrator.

use crate::rows::UserRow;
use dfs_api::Role;
use dfs_auth::password::{PasswordError, PasswordHash};
use dfs_model::Entropy;

/// The hashes of a password. Making them takes tens of milliseconds: not for async threads.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedPassword {
    /// argon2id in PHC string form.
    pub password_hash: String,
    /// NT hash in hex.
    pub nt_hash: String,
}

impl std::fmt::Debug for HashedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashedPassword(..)")
    }
}

impl HashedPassword {
    /// Hashes a password. *Errors:* what is wrong with it.
    pub fn new(password: &str, entropy: &dyn Entropy) -> Result<HashedPassword, PasswordError> {
        let hash = PasswordHash::new(password, entropy)?;
        Ok(HashedPassword {
            password_hash: hash.as_str().to_owned(),
            nt_hash: dfs_auth::password::nt_hash(password),
        })
    }
}

impl UserRow {
    /// An administrator with this password, made at a moment (seconds since 1970).
    #[must_use]
    pub fn admin(name: &str, password: HashedPassword, must_change: bool, now: i64) -> UserRow {
        UserRow {
            name: name.to_owned(),
            password_hash: password.password_hash,
            nt_hash: Some(password.nt_hash),
            role: Role::Admin,
            must_change_password: must_change,
            token_version: 1,
            enabled: true,
            full_name: String::new(),
            email: String::new(),
            uid: None,
            gid: None,
            groups: Vec::new(),
            created_at: now,
            last_login_at: None,
        }
    }

    /// Gives the user another password: every token issued before is void.
    pub fn set_password(&mut self, password: HashedPassword, must_change: bool) {
        self.password_hash = password.password_hash;
        self.nt_hash = Some(password.nt_hash);
        self.must_change_password = must_change;
        self.token_version += 1;
    }
}
