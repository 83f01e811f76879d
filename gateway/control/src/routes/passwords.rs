//! Passwords: verified and hashed off the async threads, few at a time; what is wrong with one.

use crate::guard::Refusal;
use crate::plane::ControlPlane;
use crate::rows::UserRow;
use crate::users::HashedPassword;
use dfs_api::Problem;
use dfs_auth::password::{PASSWORD_LEN_MAX, PasswordHash};

/// Verifies a password; a user that does not exist takes as long as a wrong password. *Errors:* 503 when too many wait.
pub(super) async fn verify(
    plane: &ControlPlane,
    user: Option<&UserRow>,
    password: String,
) -> Result<bool, Refusal> {
    if password.len() > PASSWORD_LEN_MAX {
        return Ok(false);
    }
    let stored = user.and_then(|user| PasswordHash::from_stored(&user.password_hash));
    let known = stored.is_some();
    let hash = stored.unwrap_or_else(|| plane.nobody.clone());
    Ok(plane.hash(move || hash.verify(&password)).await? && known)
}

/// Hashes a new password. *Errors:* what is wrong with it, naming the field.
pub(super) async fn hashed(
    plane: &ControlPlane,
    user: &str,
    field: &str,
    password: String,
) -> Result<HashedPassword, Refusal> {
    if password.eq_ignore_ascii_case(user) {
        return Err(Problem::field(field, "the password must not be the user's name").into());
    }
    let entropy = plane.entropy.clone();
    let hashed = plane.hash(move || HashedPassword::new(&password, entropy.as_ref())).await?;
    hashed.map_err(|error| Problem::field(field, error.to_string()).into())
}
