//! The tiers, and work that goes on after an answer.

use super::answers::{Accepted, Page, Shown, cut};
use super::call::Call;
use super::inputs::{NoBody, NoQuery, Paged, Sent};
use super::route::{OPERATOR, Route, family, route};
use crate::guard::Refusal;
use axum::http::Method;
use dfs_api::{FlushRequest, Job, Problem, TierStatus};
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    family(
        "tier",
        vec![
            route(Method::GET, "/tier/status", "getTierStatus", OPERATOR, status)
                .says("Tells what is in memory, on disk and in the object store, and what is at risk."),
            route(Method::POST, "/tier/flush", "flushTier", OPERATOR, flush)
                .says("Places everything that is dirty now in the object store, of one share or all.")
                .audited("tier.flush"),
            route(Method::GET, "/jobs", "listJobs", OPERATOR, jobs)
                .says("Lists the work that goes on, and what came of the last of it."),
            route(Method::GET, "/jobs/{id}", "getJob", OPERATOR, job)
                .says("Shows how a piece of work stands."),
        ],
    )
}

async fn status(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<TierStatus>, Refusal> {
    Ok(Shown(call.plane.backend.tier_status().await))
}

async fn flush(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<FlushRequest>,
) -> Result<Accepted<Job>, Refusal> {
    let plane = &call.plane;
    call.about(request.share.as_deref().unwrap_or("all shares"));
    if let Some(name) = &request.share {
        super::shares::found(plane, name)?;
    }
    let what = format!("flush {}", request.share.as_deref().unwrap_or("all shares"));
    let backend = plane.backend.clone();
    Ok(Accepted(plane.jobs.start(what, async move { backend.flush(request.share.as_deref()).await })?))
}

async fn jobs(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<Job>, Refusal> {
    cut(call.plane.jobs.list(), &paged, |job| job.id)
}

async fn job(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<Job>, Refusal> {
    let id = call.part("id");
    let job = id.parse().ok().and_then(|number| call.plane.jobs.get(number));
    Ok(Shown(job.ok_or_else(|| Problem::not_found("job", id))?))
}
