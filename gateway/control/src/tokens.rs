//! Bearer tokens: JWTs signed with HMAC-SHA-256 under a key of this gateway.

use crate::users::User;
use dfs_api::{Role, Tokens};
use dfs_model::Clock;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Seconds that an access token lives.
const ACCESS_SECONDS: i64 = 15 * 60;
/// Seconds that a refresh token lives.
const REFRESH_SECONDS: i64 = 7 * 24 * 3600;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenUse {
    Access,
    Refresh,
}

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub sub: String,
    pub role: Role,
    pub token_use: TokenUse,
    pub version: u64,
    pub must_change: bool,
    pub iat: i64,
    pub exp: i64,
}

/// Makes and checks tokens.
pub(crate) struct TokenKeys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    clock: Arc<dyn Clock>,
}

impl TokenKeys {
    pub fn new(key: &[u8], clock: Arc<dyn Clock>) -> TokenKeys {
        TokenKeys { encoding: EncodingKey::from_secret(key), decoding: DecodingKey::from_secret(key), clock }
    }

    /// A pair of tokens for a user. *Errors:* the signer's, in words.
    pub fn issue(&self, user: &User) -> Result<Tokens, String> {
        Ok(Tokens {
            access_token: self.sign(user, TokenUse::Access, ACCESS_SECONDS)?,
            refresh_token: self.sign(user, TokenUse::Refresh, REFRESH_SECONDS)?,
            expires_in: ACCESS_SECONDS as u64,
            must_change_password: user.must_change_password,
        })
    }

    fn sign(&self, user: &User, token_use: TokenUse, seconds: i64) -> Result<String, String> {
        let now = self.clock.wall().secs;
        let claims = Claims {
            sub: user.name.clone(),
            role: user.role,
            token_use,
            version: user.token_version,
            must_change: user.must_change_password,
            iat: now,
            exp: now + seconds,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(|error| error.to_string())
    }

    /// What a token says, if we signed it and it has not expired by our clock.
    pub fn check(&self, token: &str, token_use: TokenUse) -> Option<Claims> {
        let mut rules = Validation::new(Algorithm::HS256);
        // Expiry is tested below, by the gateway's own clock.
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &rules).ok()?.claims;
        let alive = self.clock.wall().secs < claims.exp;
        (alive && claims.token_use == token_use).then_some(claims)
    }
}
