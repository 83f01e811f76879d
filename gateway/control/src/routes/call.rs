//! One request of a known route: who asks, from where, about what; and what the audit log shall say of it.

use super::route::Route;
use crate::around::Peer;
use crate::around::request_id::RequestId;
use crate::change::Change;
use crate::database::Planned;
use crate::guard::{Refusal, Session};
use crate::mirror::Snapshot;
use crate::plane::ControlPlane;
use axum::http::{HeaderMap, Uri};
use dfs_api::{AuditRecord, AuditResult, Problem, Role};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// What a handler works with.
pub(crate) struct Call {
    pub plane: Arc<ControlPlane>,
    pub route: Arc<Route>,
    /// Nobody on open routes.
    pub session: Option<Session>,
    pub peer: Peer,
    pub id: RequestId,
    /// As it was asked, prefix included.
    pub uri: Uri,
    pub headers: HeaderMap,
    pub path: Vec<(String, String)>,
    pub notes: Mutex<Notes>,
}

/// What is known so far of the record that the audit log gets.
#[derive(Default)]
pub(crate) struct Notes {
    pub target: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// Who did it, where nobody was logged in before.
    pub who: Option<(String, Role)>,
    /// It went into the log with what it changed.
    pub recorded: bool,
}

impl Call {
    /// A part of the path; empty where the route has none of that name.
    pub fn part(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Name of the caller; empty on open routes.
    pub fn caller(&self) -> &str {
        self.session.as_ref().map_or("", |session| &session.user)
    }

    /// Says what the change is about, where the path does not.
    pub fn about(&self, target: &str) {
        self.notes.lock().target = Some(target.to_owned());
    }

    /// Says what it was before. Secrets must not be in it.
    pub fn before(&self, value: &impl Serialize) {
        self.notes.lock().before = serde_json::to_value(value).ok();
    }

    /// Says what it is afterwards. Secrets must not be in it.
    pub fn after(&self, value: &impl Serialize) {
        self.notes.lock().after = serde_json::to_value(value).ok();
    }

    /// Writes rows down, and the record of it with them: both or neither.
    pub async fn commit(&self, change: Change) -> Result<(), Refusal> {
        let record = self.record(AuditResult::Done, None);
        self.plane.database.commit(change, record).await?;
        self.done();
        Ok(())
    }

    /// Thinks a change out on the newest rows and writes it down with the record of it: both or neither. The plan may be
    /// asked again when another gateway was quicker.
    pub async fn transact<T>(
        &self,
        mut plan: impl FnMut(&Snapshot) -> Result<(Change, T), Problem>,
    ) -> Result<T, Refusal> {
        let planned = self.plane.database.transact(|snapshot| -> Result<Planned<T>, Problem> {
            let (change, answer) = plan(snapshot)?;
            Ok(Planned { change, audit: self.record(AuditResult::Done, None), answer })
        });
        let answer = planned.await?;
        self.done();
        Ok(answer)
    }

    /// Says that the record went into the log with what it is about.
    pub fn done(&self) {
        self.notes.lock().recorded = true;
        tracing::info!(action = self.route.action, target = self.target(), by = self.caller(), "done");
    }

    fn target(&self) -> String {
        let notes = self.notes.lock();
        let named = || self.path.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("/");
        notes.target.clone().unwrap_or_else(named)
    }

    /// The record of this call; none for routes that change nothing.
    pub fn record(&self, result: AuditResult, problem: Option<&Problem>) -> Option<AuditRecord> {
        let action = self.route.action?.to_owned();
        let target = self.target();
        let notes = self.notes.lock();
        let done = result == AuditResult::Done;
        let who = match (&notes.who, &self.session) {
            (Some((name, role)), _) => (name.clone(), Some(*role)),
            (None, Some(session)) => (session.user.clone(), Some(session.role)),
            (None, None) => (String::new(), None),
        };
        Some(AuditRecord {
            id: 0,
            at: self.plane.now_ms(),
            user: who.0,
            role: who.1,
            address: self.peer.to_string(),
            request_id: self.id.0.to_string(),
            action,
            target,
            result,
            problem: problem.map(|problem| problem.kind.clone()),
            before: notes.before.clone().filter(|_| done),
            after: notes.after.clone().filter(|_| done),
        })
    }

    /// The `link` header of the next page: the same question, going on after a key.
    pub fn next_page(&self, limit: usize, after: &str) -> String {
        let mut query = format!("limit={limit}&after={}", dfs_api::Client::segment(after));
        let asked = self.uri.query().unwrap_or_default().split('&');
        for part in asked.filter(|part| !part.is_empty()) {
            if !part.starts_with("limit=") && !part.starts_with("after=") {
                query = format!("{part}&{query}");
            }
        }
        format!("<{}?{query}>; rel=\"next\"", self.uri.path())
    }
}
