//! Bearer tokens: JWTs signed with HMAC-SHA-256 under the keys of this gateway.
//!
//! The key file has one key, or two after the keys were rotated: the first signs, both are believed, so that nobody is logged
//! out by a rotation. Each token names its key (`kid`). What a token says is believed only together with the rows of its
//! session and its user (`sessions.rs`), so that it can be made void before it expires.

use aws_lc_rs::digest::{SHA256, digest};
use dfs_api::Role;
use dfs_model::{Clock, Entropy};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Seconds that an access token lives.
pub(crate) const ACCESS_SECONDS: i64 = 15 * 60;
/// Seconds that a token for a command on this machine lives.
const LOCAL_SECONDS: i64 = 60;
/// Bytes of a key.
pub const TOKEN_KEY_BYTES: usize = 32;
/// Keys that are believed: the newest, and the one before.
const KEYS_MAX: usize = 2;

/// Whom a command on the machine itself acts as. No user can be named so.
pub const LOCAL_USER: &str = "(local)";

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenUse {
    Access,
    Refresh,
}

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Name of the user.
    pub sub: String,
    pub role: Role,
    pub token_use: TokenUse,
    /// The session; empty for a command on this machine.
    pub sid: String,
    /// Version of the user's tokens.
    pub version: u64,
    pub must_change: bool,
    pub iat: i64,
    pub exp: i64,
    pub jti: String,
}

/// What a refresh token says. Nothing in it is drawn at random: the same one can be made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefreshClaims {
    pub sub: String,
    pub token_use: TokenUse,
    pub sid: String,
    pub generation: u64,
    pub iat: i64,
    pub exp: i64,
}

struct TokenKey {
    id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// Makes and checks tokens.
pub(crate) struct TokenKeys {
    /// Newest first; at least one.
    ring: RwLock<Vec<TokenKey>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 in hex.
pub(crate) fn sha256(text: &str) -> String {
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

fn ring(file: &[u8]) -> Vec<TokenKey> {
    // A file of another length is one key, as it was made before keys could be rotated.
    let whole = file.len() != TOKEN_KEY_BYTES * KEYS_MAX;
    let keys = if whole { vec![file] } else { file.chunks(TOKEN_KEY_BYTES).collect() };
    let made = keys.into_iter().map(|key| TokenKey {
        id: hex(&digest(&SHA256, &[b"key id", key].concat()).as_ref()[..8]),
        encoding: EncodingKey::from_secret(key),
        decoding: DecodingKey::from_secret(key),
    });
    made.collect()
}

/// The key file after a rotation: a new key that signs, and the one that signed before, which is believed until the next.
#[must_use]
pub fn rotated_token_key(file: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
    let mut key = [0; TOKEN_KEY_BYTES];
    entropy.fill(&mut key);
    let before = file.get(..TOKEN_KEY_BYTES).unwrap_or(file);
    [key.as_slice(), before].concat()
}

/// An administrator's token for a command on this machine that can read the key file; it lives for a minute.
///
/// *Errors:* the signer's, in words.
pub fn local_token(file: &[u8], clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<String, String> {
    let keys = TokenKeys::new(file, clock, entropy);
    let now = keys.now();
    keys.sign_access(&Claims {
        sub: LOCAL_USER.to_owned(),
        role: Role::Admin,
        token_use: TokenUse::Access,
        sid: String::new(),
        version: 0,
        must_change: false,
        iat: now,
        exp: now + LOCAL_SECONDS,
        jti: keys.random_id(),
    })
}

impl TokenKeys {
    pub fn new(file: &[u8], clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> TokenKeys {
        TokenKeys { ring: RwLock::new(ring(file)), clock, entropy }
    }

    /// Goes on with the keys of a file that was rotated.
    pub fn reload(&self, file: &[u8]) {
        *self.ring.write() = ring(file);
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        self.clock.wall().secs
    }

    /// 128 random bits in hex.
    pub fn random_id(&self) -> String {
        format!("{:032x}", self.entropy.random_u128())
    }

    /// Name of the key that signs now.
    pub fn signing_key(&self) -> String {
        self.ring.read().first().map(|key| key.id.clone()).unwrap_or_default()
    }

    pub fn sign_access(&self, claims: &Claims) -> Result<String, String> {
        self.sign(&self.signing_key(), claims)
    }

    /// Signs with a certain key of the ring, so that a token can be made again. *Errors:* in words.
    pub fn sign<T: Serialize>(&self, key_id: &str, claims: &T) -> Result<String, String> {
        let ring = self.ring.read();
        let key = ring.iter().find(|key| key.id == key_id).ok_or("the key was rotated away")?;
        let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, claims, &key.encoding).map_err(|error| error.to_string())
    }

    fn decode<T: DeserializeOwned + Clone>(&self, token: &str) -> Option<T> {
        let named = jsonwebtoken::decode_header(token).ok()?.kid?;
        let ring = self.ring.read();
        let key = ring.iter().find(|key| key.id == named)?;
        let mut rules = Validation::new(Algorithm::HS256);
        // Expiry is tested by the callers, by the gateway's own clock.
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        Some(jsonwebtoken::decode::<T>(token, &key.decoding, &rules).ok()?.claims)
    }

    /// What an access token says, if we signed it and it has not expired by our clock.
    pub fn access(&self, token: &str) -> Option<Claims> {
        let claims: Claims = self.decode(token)?;
        (claims.token_use == TokenUse::Access && self.now() < claims.exp).then_some(claims)
    }

    /// What a refresh token says, if we signed it and it has not expired by our clock.
    pub fn refresh(&self, token: &str) -> Option<RefreshClaims> {
        let claims: RefreshClaims = self.decode(token)?;
        (claims.token_use == TokenUse::Refresh && self.now() < claims.exp).then_some(claims)
    }
}
