//! Sessions: a login begins a family of tokens; each refresh replaces its refresh token by the next.
//!
//! ```text
//!   login ──▶ generation 1 ──refresh──▶ 2 ──refresh──▶ 3 …            the row holds the hash of the newest
//!                  │ again within 30 s: the answer was lost, 2 is given once more
//!                  └ later, or when 3 is out: somebody has a copy, the family ends
//! ```
//! *Invariants:* an access token is good only while its session's row and its user's row agree with it, so that logging out, a
//! new password, another role, being disabled or deleted void it at once. Functions here are pure: they look at a snapshot and
//! answer the change to be made.

#[cfg(test)]
mod tests;

use crate::change::Change;
use crate::mirror::Snapshot;
use crate::rows::{IdempotencyRow, SessionRow, UserRow};
use crate::tokens::{ACCESS_SECONDS, Claims, LOCAL_USER, RefreshClaims, TokenKeys, TokenUse, sha256};
use dfs_api::Tokens;
use std::sync::Arc;

/// Sessions of one user; the one unused for longest ends for a new one.
pub(crate) const SESSIONS_PER_USER_MAX: usize = 32;
/// Sessions in all: what the mirror holds of them stays below some tens of MiB.
pub(crate) const SESSIONS_MAX: usize = 50_000;
/// Seconds within which the refresh token before may be sent again.
const RETRY_SECONDS: i64 = 30;
/// Rows that one clearing removes at most: a commit stays short.
const CLEARED_MAX: usize = 1000;

/// What became of a refresh token.
pub(crate) enum Refreshed {
    /// The next tokens, once the change is committed.
    Next(Change, Tokens),
    /// The tokens that were given last time; nothing changes.
    Again(Tokens),
    /// It was used before: the change ends the family.
    Reused(Change, SessionRow),
    /// It is not valid.
    Invalid,
}

/// Begins a session for a user as he is after the change. *Errors:* the signer's, in words.
pub(crate) fn begin(
    keys: &TokenKeys,
    snapshot: &Snapshot,
    user: &UserRow,
    address: &str,
    hours: u32,
) -> Result<(Change, Tokens), String> {
    let now = keys.now();
    let mut session = SessionRow {
        id: keys.random_id(),
        user: user.name.clone(),
        token_version: user.token_version,
        created_at: now,
        refreshed_at: now,
        expires_at: ends(now, hours),
        generation: 1,
        refresh_hash: String::new(),
        key_id: keys.signing_key(),
        previous_hash: None,
        address: address.to_owned(),
    };
    let tokens = tokens(keys, user, &session)?;
    session.refresh_hash = sha256(&tokens.refresh_token);
    Ok((make_room(snapshot, user, now).put(&session), tokens))
}

/// Takes a refresh token. *Errors:* the signer's, in words.
pub(crate) fn refresh(
    keys: &TokenKeys,
    snapshot: &Snapshot,
    token: &str,
    hours: u32,
) -> Result<Refreshed, String> {
    let Some(claims) = keys.refresh(token) else { return Ok(Refreshed::Invalid) };
    let key = SessionRow::key_of(&claims.sub, &claims.sid);
    let Some((session, user)) = alive(keys, snapshot, &key) else { return Ok(Refreshed::Invalid) };
    let (now, hash) = (keys.now(), sha256(token));
    if claims.generation == session.generation && hash == session.refresh_hash {
        let mut next = SessionRow {
            refreshed_at: now,
            expires_at: ends(now, hours),
            generation: session.generation + 1,
            key_id: keys.signing_key(),
            previous_hash: Some(hash),
            ..session.as_ref().clone()
        };
        let tokens = tokens(keys, user, &next)?;
        next.refresh_hash = sha256(&tokens.refresh_token);
        return Ok(Refreshed::Next(Change::default().put(&next), tokens));
    }
    let is_retry = session.previous_hash.as_ref() == Some(&hash)
        && (0..=RETRY_SECONDS).contains(&now.saturating_sub(session.refreshed_at));
    if is_retry {
        let again = tokens(keys, user, session).ok();
        let again = again.filter(|tokens| sha256(&tokens.refresh_token) == session.refresh_hash);
        return Ok(again.map_or(Refreshed::Invalid, Refreshed::Again));
    }
    if claims.generation < session.generation {
        return Ok(Refreshed::Reused(Change::default().remove::<SessionRow>(&key), session.as_ref().clone()));
    }
    Ok(Refreshed::Invalid)
}

/// What an access token says, if it is good now.
pub(crate) fn authenticate(keys: &TokenKeys, snapshot: &Snapshot, token: &str) -> Option<Claims> {
    let claims = keys.access(token)?;
    if claims.sub == LOCAL_USER {
        return Some(claims);
    }
    let (session, user) = alive(keys, snapshot, &SessionRow::key_of(&claims.sub, &claims.sid))?;
    let agrees = session.token_version == claims.version
        && user.role == claims.role
        && user.must_change_password == claims.must_change;
    agrees.then_some(claims)
}

/// Ends the session of a token.
pub(crate) fn end(claims: &Claims) -> Change {
    Change::default().remove::<SessionRow>(&SessionRow::key_of(&claims.sub, &claims.sid))
}

/// Ends every session of a user.
pub(crate) fn end_all(snapshot: &Snapshot, user: &str) -> Change {
    let sessions = of_user(snapshot, user);
    sessions.iter().fold(Change::default(), |change, session| {
        change.remove::<SessionRow>(&SessionRow::key_of(user, &session.id))
    })
}

/// The sessions of a user.
pub(crate) fn of_user(snapshot: &Snapshot, user: &str) -> Vec<Arc<SessionRow>> {
    snapshot.prefixed::<SessionRow>(&format!("{user}/")).cloned().collect()
}

/// Removes rows that are of no more use: sessions that ended, and answers from before a moment. May leave some for the next
/// time.
#[must_use]
pub(crate) fn clear(snapshot: &Snapshot, now: i64, answers_before: i64) -> Change {
    let ended = snapshot.rows::<SessionRow>().filter(|session| session.expires_at <= now);
    let change = ended.take(CLEARED_MAX).fold(Change::default(), |change, session| {
        change.remove::<SessionRow>(&SessionRow::key_of(&session.user, &session.id))
    });
    let old = snapshot.rows::<IdempotencyRow>().filter(|answer| answer.at < answers_before);
    old.take(CLEARED_MAX).fold(change, |change, answer| change.remove::<IdempotencyRow>(&answer.id))
}

fn ends(now: i64, hours: u32) -> i64 {
    now.saturating_add(i64::from(hours.max(1)) * 3600)
}

/// A session that has not ended, and its user who may have it.
fn alive<'a>(
    keys: &TokenKeys,
    snapshot: &'a Snapshot,
    key: &str,
) -> Option<(&'a Arc<SessionRow>, &'a Arc<UserRow>)> {
    let session = snapshot.get::<SessionRow>(key)?;
    let user = snapshot.get::<UserRow>(&session.user)?;
    let good = keys.now() < session.expires_at && user.enabled && user.token_version == session.token_version;
    good.then_some((session, user))
}

/// The tokens of a session in its generation. The refresh token is the same whenever it is made.
fn tokens(keys: &TokenKeys, user: &UserRow, session: &SessionRow) -> Result<Tokens, String> {
    let now = keys.now();
    let access = Claims {
        sub: user.name.clone(),
        role: user.role,
        token_use: TokenUse::Access,
        sid: session.id.clone(),
        version: user.token_version,
        must_change: user.must_change_password,
        iat: now,
        exp: session.expires_at.min(now + ACCESS_SECONDS),
        jti: keys.random_id(),
    };
    let refresh = RefreshClaims {
        sub: user.name.clone(),
        token_use: TokenUse::Refresh,
        sid: session.id.clone(),
        generation: session.generation,
        iat: session.refreshed_at,
        exp: session.expires_at,
    };
    Ok(Tokens {
        access_token: keys.sign_access(&access)?,
        refresh_token: keys.sign(&session.key_id, &refresh)?,
        expires_in: u64::try_from(access.exp - now).unwrap_or(0),
        must_change_password: user.must_change_password,
    })
}

/// Ends what stands in the way of one more session.
fn make_room(snapshot: &Snapshot, user: &UserRow, now: i64) -> Change {
    let mut own = of_user(snapshot, &user.name);
    own.sort_by_key(|session| session.refreshed_at);
    let too_many = (own.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX);
    let is_void =
        |session: &SessionRow| session.expires_at <= now || session.token_version != user.token_version;
    let gone = own.iter().enumerate().filter(|(nth, session)| *nth < too_many || is_void(session));
    let change = gone.fold(Change::default(), |change, (_, session)| {
        change.remove::<SessionRow>(&SessionRow::key_of(&session.user, &session.id))
    });
    if snapshot.count::<SessionRow>() < SESSIONS_MAX || !change.is_empty() {
        return change;
    }
    let oldest = snapshot.rows::<SessionRow>().min_by_key(|session| session.refreshed_at);
    oldest.map_or(change, |session| {
        Change::default().remove::<SessionRow>(&SessionRow::key_of(&session.user, &session.id))
    })
}
