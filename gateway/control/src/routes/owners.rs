//! Shares that several gateways may serve, one at a time.

use super::answers::{Accepted, Created, Shown};
use super::call::Call;
use super::inputs::{NoBody, NoQuery, Sent};
use super::route::{ADMIN, Route, family, route};
use super::{check_name, shares};
use crate::change::Change;
use crate::guard::Refusal;
use axum::http::Method;
use dfs_api::{AbandonJournal, AbandonedJournal, AdoptShare, Job, Problem, ShareConfig, ShareStatus};
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    family(
        "shares",
        vec![
            route(Method::POST, "/shares/{name}/adopt", "adoptShare", ADMIN, adopt)
                .says("Makes this gateway a standby for a share of a shared metadata store.")
                .audited("share.adopt"),
            route(Method::POST, "/shares/{name}/release", "releaseShare", ADMIN, release)
                .says("Hands a share over to whichever gateway takes it.")
                .audited("share.release"),
            route(Method::POST, "/shares/{name}/abandon", "abandonJournal", ADMIN, abandon)
                .says("Tells what only another gateway's journal of a share has; with `confirm` gives it up.")
                .audited("share.abandon-journal"),
        ],
    )
}

async fn adopt(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<AdoptShare>,
) -> Result<Created<ShareStatus>, Refusal> {
    let (plane, name) = (&call.plane, call.part("name"));
    let _changing = plane.changing.shares.lock().await;
    check_name(name)?;
    if plane.database.get::<ShareConfig>(name).is_some() {
        return Err(Problem::conflict(format!("a share named '{name}' exists here")).into());
    }
    let config = plane.backend.adopt_share(name, &request).await?;
    call.after(&config);
    call.commit(Change::default().put(&config)).await?;
    Ok(Created(shares::status(plane, config).await))
}

async fn release(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Accepted<Job>, Refusal> {
    let name = shares::found(&call.plane, call.part("name"))?.name;
    let backend = call.plane.backend.clone();
    let what = format!("hand-over of {name}");
    let job = call.plane.jobs.start(what, async move { backend.release_share(&name).await })?;
    Ok(Accepted(job))
}

async fn abandon(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<AbandonJournal>,
) -> Result<Shown<AbandonedJournal>, Refusal> {
    let plane = &call.plane;
    let _changing = plane.changing.shares.lock().await;
    let name = shares::found(plane, call.part("name"))?.name;
    let told = plane.backend.abandon_journal(&name, request.confirm).await?;
    call.after(&told);
    if told.abandoned {
        tracing::warn!(share = %name, by = call.caller(), journal_of = %told.journal_of, "journal abandoned");
    }
    Ok(Shown(told))
}
