//! A client for the control plane, with one clear sentence for everything that can go wrong.

use crate::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a call failed. Each has an exit code of its own in `dfsctl`.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("cannot reach the gateway at {server}: {reason}; is it running? (dfs status)")]
    Unreachable {
        /// Where.
        server: String,
        /// What the network said.
        reason: String,
    },
    /// The token is missing, wrong or expired.
    #[error("not logged in, or the login has expired: run `dfsctl login`")]
    Unauthorized,
    /// The gateway refused.
    #[error("{0}")]
    Refused(Problem),
    /// The answer is not what this program understands.
    #[error("the gateway's answer is not understood: {0}")]
    BadAnswer(String),
}

impl ClientError {
    /// Exit code: 3 unreachable, 4 not logged in, 5 refused, 6 not found, 7 not understood.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            ClientError::Unreachable { .. } => 3,
            ClientError::Unauthorized => 4,
            ClientError::Refused(problem) if problem.status == 404 => 6,
            ClientError::Refused(_) => 5,
            ClientError::BadAnswer(_) => 7,
        }
    }
}

/// A connection to one gateway's control plane.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    server: String,
    token: Option<String>,
}

impl Client {
    /// A client for a server such as `http://127.0.0.1:8080`. Proxies of the environment are not used.
    #[must_use]
    pub fn new(server: &str, token: Option<String>) -> Client {
        let http = reqwest::Client::builder().no_proxy().build().unwrap_or_default();
        Client { http, server: server.trim_end_matches('/').to_owned(), token }
    }

    /// Reads a resource.
    pub async fn get<R: DeserializeOwned>(&self, path: &str) -> Result<R, ClientError> {
        self.answer(self.http.get(self.url(path))).await
    }

    /// Sends a body and reads the answer.
    pub async fn post<B: Serialize, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<R, ClientError> {
        self.answer(self.http.post(self.url(path)).json(body)).await
    }

    /// Replaces a resource and reads the answer.
    pub async fn put<B: Serialize, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<R, ClientError> {
        self.answer(self.http.put(self.url(path)).json(body)).await
    }

    /// Changes parts of a resource and reads the answer.
    pub async fn patch<B: Serialize, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<R, ClientError> {
        self.answer(self.http.patch(self.url(path)).json(body)).await
    }

    /// Deletes a resource.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        let _: serde_json::Value = self.answer(self.http.delete(self.url(path))).await?;
        Ok(())
    }

    /// How the gateway is; needs no login.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get("/health").await
    }

    /// Logs in.
    pub async fn login(&self, username: &str, password: &str) -> Result<Tokens, ClientError> {
        let body = LoginRequest { username: username.to_owned(), password: password.to_owned() };
        self.post("/auth/login", &body).await
    }

    /// One name as a segment of a path: whatever is in it cannot mean another resource.
    #[must_use]
    pub fn segment(name: &str) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
        let dots_only = name.bytes().all(|byte| byte == b'.');
        let mut text = String::new();
        for byte in name.bytes() {
            match plain(byte) || (byte == b'.' && !dots_only) {
                true => text.push(char::from(byte)),
                // Dots alone would be taken for folders even when encoded once.
                false if dots_only => text.push_str("%252E"),
                false => text.push_str(&format!("%{byte:02X}")),
            }
        }
        text
    }

    fn url(&self, path: &str) -> String {
        format!("{}{PREFIX}{path}", self.server)
    }

    async fn answer<R: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<R, ClientError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if (200..300).contains(&status) {
            let text: &[u8] = if body.is_empty() { b"null" } else { &body };
            return serde_json::from_slice(text).map_err(|error| ClientError::BadAnswer(error.to_string()));
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if status == 401 && problem.kind == "unauthorized" => Err(ClientError::Unauthorized),
            Ok(problem) => Err(ClientError::Refused(problem)),
            Err(_) => Err(ClientError::BadAnswer(format!("HTTP status {status}"))),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            reason = inner.to_string();
            source = inner.source();
        }
        ClientError::Unreachable { server: self.server.clone(), reason }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn segment_of_a_hostile_name_stays_one_segment() {
        for (name, wanted) in [
            ("a-b_c.d", "a-b_c.d"),
            ("x?y=1#z", "x%3Fy%3D1%23z"),
            ("a/../b", "a%2F..%2Fb"),
            ("..", "%252E%252E"),
            ("ä", "%C3%A4"),
        ] {
            let text = Client::segment(name);
            assert_eq!(text, wanted);
            let url = reqwest::Url::parse(&format!("http://h/shares/{text}")).unwrap();
            assert_eq!(url.path().split('/').count(), 3, "{url}");
            assert!(url.query().is_none() && url.fragment().is_none());
        }
    }
}
