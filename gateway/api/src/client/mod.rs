//! A client for the control plane, with one clear sentence for everything that can go wrong.
//!
//! A call that is refused because the access token has expired is made once more with a new one, where the caller gave a way
//! to get it. Nothing else is tried again: a create that may have happened is repeated safely by its idempotency key.

mod error;

pub use error::ClientError;

use crate::*;
use reqwest::header::{ACCEPT, HeaderMap, LINK};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Items asked for at once by [`Client::list`].
const PAGE: usize = 1000;
/// Pages read at most: a gateway whose links go round must not keep a caller for ever.
const PAGES_MAX: usize = 100_000;
/// Longest time for a connection: a gateway that is there answers at once, one behind a dead route never does.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Gets a new access token in place of the one given, which has expired. `None`: there is no way but to log in again.
pub type Renew = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Option<String>> + Send>> + Send + Sync>;

/// A call that was answered, as a watcher sees it: never a secret.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// GET, POST …
    pub method: String,
    /// Path below the prefix.
    pub path: String,
    /// HTTP status.
    pub status: u16,
    /// Id of the request, as the gateway's log has it.
    pub request_id: Option<String>,
}

/// Is told of every answer.
pub type Watch = Arc<dyn Fn(&Exchange) + Send + Sync>;

/// How a client talks.
#[derive(Clone, Default)]
pub struct ClientOptions {
    /// Access token.
    pub token: Option<String>,
    /// PEM certificates to trust, instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// A socket on this machine, instead of the network.
    pub unix_socket: Option<PathBuf>,
    /// Longest time for a call; none: as long as the gateway takes.
    pub timeout: Option<Duration>,
    /// Gets a new access token.
    pub renew: Option<Renew>,
    /// Is told of every answer.
    pub watch: Option<Watch>,
}

/// A connection to one gateway's control plane.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    server: String,
    token: Arc<RwLock<Option<String>>>,
    renew: Option<Renew>,
    watch: Option<Watch>,
}

impl Client {
    /// A client for a server such as `http://127.0.0.1:8080`. Proxies of the environment are not used.
    #[must_use]
    pub fn new(server: &str, token: Option<String>) -> Client {
        let http = reqwest::Client::builder().no_proxy().build().unwrap_or_default();
        Client::on(http, server, ClientOptions { token, ..ClientOptions::default() })
    }

    /// The same with more to say. *Errors:* [`ClientError::Unusable`] for certificates that are none.
    pub fn with(server: &str, options: ClientOptions) -> Result<Client, ClientError> {
        let unusable = |error: reqwest::Error| ClientError::Unusable(reason(&error));
        let mut http = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_WITHIN);
        if let Some(pem) = &options.ca {
            let trusted = reqwest::Certificate::from_pem_bundle(pem).map_err(unusable)?;
            if trusted.is_empty() {
                return Err(ClientError::Unusable("there is no certificate in the CA file".to_owned()));
            }
            http = http.tls_certs_only(trusted);
        }
        if let Some(path) = &options.unix_socket {
            http = http.unix_socket(path.as_path());
        }
        if let Some(limit) = options.timeout {
            http = http.timeout(limit);
        }
        Ok(Client::on(http.build().map_err(unusable)?, server, options))
    }

    fn on(http: reqwest::Client, server: &str, options: ClientOptions) -> Client {
        Client {
            http,
            server: server.trim_end_matches('/').to_owned(),
            token: Arc::new(RwLock::new(options.token)),
            renew: options.renew,
            watch: options.watch,
        }
    }

    /// Reads a resource.
    pub async fn get<R: DeserializeOwned>(&self, path: &str) -> Result<R, ClientError> {
        parsed(self.call(Method::GET, path, |request| request).await?).await
    }

    /// Reads a list, all pages of it.
    pub async fn list<R: DeserializeOwned>(&self, path: &str) -> Result<Vec<R>, ClientError> {
        let mut items = Vec::new();
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut next = Some(format!("{path}{joint}limit={PAGE}"));
        for _ in 0..PAGES_MAX {
            let Some(page) = next else { return Ok(items) };
            let response = self.call(Method::GET, &page, |request| request).await?;
            next = next_page(response.headers()).filter(|after| *after != page);
            items.append(&mut parsed::<Vec<R>>(response).await?);
        }
        Err(ClientError::BadAnswer("the list does not end".to_owned()))
    }

    /// Sends a body and reads the answer.
    pub async fn post<B: Serialize, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<R, ClientError> {
        parsed(self.call(Method::POST, path, |request| request.json(body)).await?).await
    }

    /// Creates something at most once, however often it is called with the same key.
    pub async fn post_once<B: Serialize, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        key: &str,
    ) -> Result<R, ClientError> {
        let with_key = |request: RequestBuilder| request.header("idempotency-key", key).json(body);
        parsed(self.call(Method::POST, path, with_key).await?).await
    }

    /// Replaces a resource and reads the answer.
    pub async fn put<B: Serialize, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<R, ClientError> {
        parsed(self.call(Method::PUT, path, |request| request.json(body)).await?).await
    }

    /// Changes parts of a resource and reads the answer.
    pub async fn patch<B: Serialize, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<R, ClientError> {
        parsed(self.call(Method::PATCH, path, |request| request.json(body)).await?).await
    }

    /// Deletes a resource.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, path, |request| request).await.map(|_| ())
    }

    /// Sends a body and reads an answer that is no JSON, such as a backup.
    pub async fn post_for_bytes<B: Serialize>(&self, path: &str, body: &B) -> Result<Vec<u8>, ClientError> {
        bytes(self.call(Method::POST, path, |request| request.json(body)).await?).await
    }

    /// Sends bytes with further headers and reads the answer.
    pub async fn post_bytes<R: DeserializeOwned>(
        &self,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<R, ClientError> {
        let with_bytes = |mut request: RequestBuilder| {
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.header("content-type", "application/octet-stream").body(body.to_vec())
        };
        parsed(self.call(Method::POST, path, with_bytes).await?).await
    }

    /// Reads a resource in another form than JSON, piece by piece as it comes: `take` gets each.
    pub async fn get_pieces(
        &self,
        path: &str,
        accept: &str,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), ClientError> {
        let mut response = self.call(Method::GET, path, |request| request.header(ACCEPT, accept)).await?;
        loop {
            match response.chunk().await {
                Ok(Some(piece)) => take(&piece),
                Ok(None) => return Ok(()),
                Err(error) => return Err(ClientError::BadAnswer(reason(&error))),
            }
        }
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

    /// A path with the wish to do it although clients are cut off.
    #[must_use]
    pub fn forced(path: &str, force: bool) -> String {
        match (force, path.contains('?')) {
            (false, _) => path.to_owned(),
            (true, false) => format!("{path}?force=true"),
            (true, true) => format!("{path}&force=true"),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{PREFIX}{path}", self.server)
    }

    fn token(&self) -> Option<String> {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One call, made again once with a new token where the old one has expired.
    async fn call(
        &self,
        method: Method,
        path: &str,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, ClientError> {
        let token = self.token();
        let refused = match self.send(method.clone(), path, &fill, token.as_deref()).await {
            Err(ClientError::Unauthorized) => ClientError::Unauthorized,
            other => return other,
        };
        let (Some(renew), Some(old)) = (&self.renew, token) else { return Err(refused) };
        let Some(new) = renew(old).await else { return Err(refused) };
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = Some(new.clone());
        self.send(method, path, &fill, Some(&new)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
        token: Option<&str>,
    ) -> Result<Response, ClientError> {
        let mut request = fill(self.http.request(method.clone(), self.url(path)));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        if let Some(watch) = &self.watch {
            let id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
            let (method, path) = (method.to_string(), path.to_owned());
            watch(&Exchange { method, path, status, request_id: id.map(str::to_owned) });
        }
        if (200..300).contains(&status) {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if status == 401 && problem.kind == "unauthorized" => Err(ClientError::Unauthorized),
            Ok(problem) => Err(ClientError::Refused(problem)),
            Err(_) => Err(ClientError::BadAnswer(format!("HTTP status {status}"))),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        ClientError::Unreachable { server: self.server.clone(), reason: reason(error) }
    }
}

/// The innermost cause: the outer ones only say that something went wrong.
fn reason(error: &reqwest::Error) -> String {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    reason
}

async fn bytes(response: Response) -> Result<Vec<u8>, ClientError> {
    let body = response.bytes().await.map_err(|error| ClientError::BadAnswer(reason(&error)))?;
    Ok(body.to_vec())
}

async fn parsed<R: DeserializeOwned>(response: Response) -> Result<R, ClientError> {
    let body = bytes(response).await?;
    let text: &[u8] = if body.is_empty() { b"null" } else { &body };
    serde_json::from_slice(text).map_err(|error| ClientError::BadAnswer(error.to_string()))
}

/// Path of the next page, below the prefix, out of `link: </api/v1/…>; rel="next"`.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok());
    let mut links = links.flat_map(|link| link.split(", "));
    let next = links.find(|link| link.ends_with("rel=\"next\""))?;
    let path = next.strip_prefix('<')?.split_once('>')?.0;
    path.strip_prefix(PREFIX).map(str::to_owned)
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

    #[test]
    fn next_page_is_the_link_with_that_relation_and_only_below_the_prefix() {
        let page = |link: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, link.parse().unwrap());
            next_page(&headers)
        };
        let next = "</api/v1/users?limit=2&after=bo>; rel=\"next\"";
        assert_eq!(page(next).as_deref(), Some("/users?limit=2&after=bo"));
        assert_eq!(page("</api/v1/users>; rel=\"first\""), None);
        assert_eq!(page("<http://elsewhere/users>; rel=\"next\""), None);
        assert_eq!(next_page(&HeaderMap::new()), None);
    }

    #[test]
    fn refusals_have_exit_codes_of_their_own() {
        let code = |status| ClientError::Refused(Problem::new(status, "x", "")).exit_code();
        assert_eq!([401, 404, 409, 429, 503, 507, 400, 500].map(code), [9, 6, 10, 11, 11, 12, 5, 5]);
        assert_eq!(ClientError::Unauthorized.exit_code(), 4);
    }
}
