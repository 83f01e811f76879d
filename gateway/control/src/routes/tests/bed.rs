//! A control plane that listens on a port of this machine, its folder, and a client that sees status and headers.

use super::gateway::{Gateway, adapter};
use crate::live::PlaneLimits;
use crate::plane::{ControlPlane, PlaneOptions};
use crate::rows::{Row, UserRow};
use crate::testing::{HandClock, TestEntropy, embedded};
use crate::users::HashedPassword;
use crate::{Change, sessions};
use dfs_api::{AuditQuery, AuditRecord, Problem, Role};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(super) const PASSWORD: &str = "correct horse battery";

pub(super) struct Bed {
    pub folder: TempDir,
    pub clock: HandClock,
    pub gateway: Arc<Gateway>,
    pub plane: Arc<ControlPlane>,
    pub door: SocketAddr,
    limits: PlaneLimits,
    serving: Serving,
}

/// The task that serves, ended with its bed.
struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn is<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    pub fn json(&self) -> Value {
        self.is()
    }

    /// The answer, which must have this status.
    pub fn with(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The problem, which must have this status and type.
    pub fn refused(&self, status: u16, kind: &str) -> Problem {
        let problem: Problem = self.is();
        assert_eq!(
            (self.status, problem.status, problem.kind.as_str()),
            (status, status, kind),
            "{problem:?}"
        );
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem.request_id.as_ref(), self.headers.get("x-request-id"));
        problem
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Limits under which a clock that stands still refuses nothing.
pub(super) fn free() -> PlaneLimits {
    PlaneLimits { requests_per_second: 0, login_tries_per_minute: 1000, ..PlaneLimits::default() }
}

impl Bed {
    pub async fn new() -> Bed {
        Bed::limited(free()).await
    }

    pub async fn limited(limits: PlaneLimits) -> Bed {
        let folder = tempfile::tempdir().unwrap();
        let gateway = Arc::new(Gateway::default());
        gateway.0.lock().adapter = Some(adapter());
        let clock = HandClock::new();
        let (plane, door, serving) = open(&folder, &clock, &gateway, limits).await;
        let bed = Bed { folder, clock, gateway, plane, door, limits, serving: Serving(serving) };
        bed.user("admin", Role::Admin).await;
        bed
    }

    /// The same folder after a restart of the gateway's program.
    pub async fn restarted(self) -> Bed {
        let Bed { folder, clock, gateway, plane, mut serving, limits, .. } = self;
        serving.0.abort();
        let _ = (&mut serving.0).await;
        // Connections that are being closed hold the plane for a moment longer.
        for _ in 0..1000 {
            if Arc::strong_count(&plane) == 1 {
                break;
            }
            tokio::task::yield_now().await;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        drop(plane);
        let (plane, door, serving) = open(&folder, &clock, &gateway, limits).await;
        Bed { folder, clock, gateway, plane, door, limits, serving: Serving(serving) }
    }

    /// A user whose password is [`PASSWORD`].
    pub async fn user(&self, name: &str, role: Role) {
        let password = HashedPassword::new(PASSWORD, &TestEntropy).unwrap();
        let row = UserRow { role, ..UserRow::admin(name, password, false, 1) };
        self.put(&row).await;
    }

    pub async fn put<R: Row>(&self, row: &R) {
        self.plane.database.commit(Change::default().put(row), None).await.unwrap();
    }

    /// An access token of a user, without asking for the password.
    pub async fn token(&self, name: &str) -> String {
        let snapshot = self.plane.database.snapshot();
        let user = snapshot.get::<UserRow>(name).unwrap();
        let (change, tokens) = sessions::begin(&self.plane.tokens, &snapshot, user, "test", 24).unwrap();
        self.plane.database.commit(change, None).await.unwrap();
        tokens.access_token
    }

    pub async fn admin(&self) -> As<'_> {
        As { bed: self, token: Some(self.token("admin").await) }
    }

    pub fn anybody(&self) -> As<'_> {
        As { bed: self, token: None }
    }

    pub fn with(&self, token: &str) -> As<'_> {
        As { bed: self, token: Some(token.to_owned()) }
    }

    /// The audit log, newest first.
    pub async fn audit(&self) -> Vec<AuditRecord> {
        let query = AuditQuery { limit: Some(1000), ..AuditQuery::default() };
        self.plane.database.audit(&query).await.unwrap()
    }

    /// Metadata store `m`, cold store `c` and share `s`.
    pub async fn share(&self) {
        let admin = self.admin().await;
        admin.post("/metadata-stores", json!({ "name": "m", "kind": "embedded" })).await.with(201);
        admin.post("/cold-stores", json!({ "name": "c", "kind": "memory" })).await.with(201);
        admin.post("/shares", json!({ "name": "s", "metadata": "m", "cold": "c" })).await.with(201);
    }

    /// Sends a request as it is and reads the answer to its end.
    pub async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.door).await.unwrap();
        // The gateway may answer and close before it has read everything.
        let _ = stream.write_all(request).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        parsed(&bytes)
    }
}

async fn open(
    folder: &TempDir,
    clock: &HandClock,
    gateway: &Arc<Gateway>,
    limits: PlaneLimits,
) -> (Arc<ControlPlane>, SocketAddr, JoinHandle<()>) {
    let plane = ControlPlane::new(PlaneOptions {
        database: Arc::new(embedded(folder.path()).await),
        backend: gateway.clone(),
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(TestEntropy),
        token_key: vec![7; 32],
        version: "1.2.3",
        limits,
    });
    let plane = plane.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let door = listener.local_addr().unwrap();
    let served = plane.clone();
    let serving = tokio::spawn(async move {
        let _ = served.serve(listener, std::future::pending()).await;
    });
    (plane, door, serving)
}

/// Somebody who calls.
pub(super) struct As<'a> {
    bed: &'a Bed,
    token: Option<String>,
}

impl As<'_> {
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None, &[]).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body), &[]).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call("PUT", path, Some(body), &[]).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call("PATCH", path, Some(body), &[]).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None, &[]).await
    }

    pub async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = body.map(|body| body.to_string().into_bytes());
        let kind = body.as_ref().map(|_| "application/json");
        self.send(method, path, kind, &body.unwrap_or_default(), headers).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        kind: Option<&str>,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Answer {
        let path = match path.strip_prefix("//") {
            Some(rest) => format!("/{rest}"),
            None => format!("/api/v1{path}"),
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        if let Some(token) = &self.token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        if let Some(kind) = kind {
            head.push_str(&format!("content-type: {kind}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        self.bed.raw(&[head.as_bytes(), body].concat()).await
    }
}

fn parsed(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer with headers");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let rest = &bytes[end + 4..];
    let is_chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
    let body = if is_chunked { unchunked(rest) } else { rest.to_vec() };
    Answer { status, headers, body }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").expect("a chunk's length");
        let len = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if len == 0 {
            return whole;
        }
        whole.extend_from_slice(&bytes[end + 2..end + 2 + len]);
        bytes = &bytes[end + 4 + len..];
    }
}
