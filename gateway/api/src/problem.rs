//! Errors as the control plane tells them (RFC 9457 `application/problem+json`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A refusal: what is wrong, with which field, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// A few stable words for programs, for instance `not-found`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One sentence for people.
    pub detail: String,
    /// The field that is wrong, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Id of the request: the gateway's log has it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Clients that the change would cut off; `?force=true` does it all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<String>,
    /// Seconds after which it may be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// Makes a problem.
    pub fn new(status: u16, kind: &str, detail: impl Into<String>) -> Problem {
        Problem {
            status,
            kind: kind.to_owned(),
            detail: detail.into(),
            field: None,
            request_id: None,
            clients: Vec::new(),
            retry_after: None,
        }
    }

    /// A field of the request is wrong (400).
    pub fn field(field: &str, detail: impl Into<String>) -> Problem {
        Problem { field: Some(field.to_owned()), ..Problem::new(400, "invalid", detail) }
    }

    /// There is no such thing (404).
    pub fn not_found(what: &str, name: &str) -> Problem {
        Problem::new(404, "not-found", format!("there is no {what} named '{name}'"))
    }

    /// The state of things forbids it (409).
    pub fn conflict(detail: impl Into<String>) -> Problem {
        Problem::new(409, "conflict", detail)
    }

    /// The change would cut clients off, and was not forced (409).
    pub fn would_cut(what: &str, clients: Vec<String>) -> Problem {
        let detail = format!("{what} would cut off {} clients; repeat it with force to do it", clients.len());
        Problem { clients, ..Problem::new(409, "would-cut-clients", detail) }
    }

    /// The same, to be tried again after some seconds.
    #[must_use]
    pub fn again_after(self, seconds: u64) -> Problem {
        Problem { retry_after: Some(seconds), ..self }
    }

    /// The gateway failed (500).
    pub fn internal(detail: impl Into<String>) -> Problem {
        Problem::new(500, "internal", detail)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.detail),
            None => f.write_str(&self.detail),
        }
    }
}

impl std::error::Error for Problem {}
