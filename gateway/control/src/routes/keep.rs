//! Quotas and the recycle bin of a share.

use super::answers::{Page, Shown, cut};
use super::call::Call;
use super::inputs::{NoBody, NoQuery, Paged, Sent};
use super::route::{ADMIN, OPERATOR, Route, family, route};
use super::shares::found;
use crate::guard::Refusal;
use axum::http::Method;
use dfs_api::{Emptied, EmptyBin, QuotaStatus, QuotaSubject, RecycledFile, RestoreFile, SetQuota};
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    let bin = "/shares/{name}/recycled";
    let recycled = route(Method::GET, bin, "listRecycled", OPERATOR, recycled)
        .says("Lists the files in a share's recycle bin, oldest number first.");
    let restore = route(Method::POST, "/shares/{name}/recycled/restore", "restoreRecycled", ADMIN, restore)
        .says("Takes a file out of the recycle bin.")
        .audited("recycled.restore");
    let empty = route(Method::POST, "/shares/{name}/recycled/empty", "emptyRecycled", ADMIN, empty)
        .says("Removes files from the recycle bin for good.")
        .audited("recycled.empty")
        .long();
    family(
        "shares",
        vec![
            route(Method::GET, "/shares/{name}/quotas", "listQuotas", OPERATOR, quotas)
                .says("Lists a share's quotas, and what everybody holds there."),
            route(Method::PUT, "/shares/{name}/quotas", "setQuota", ADMIN, set_quota)
                .says("Sets a quota, or ends it when the limits are left out.")
                .audited("quota.set"),
            recycled.under("/shares/{name}/trash", "listTrash"),
            restore.under("/shares/{name}/trash/restore", "restoreTrash"),
            empty.under("/shares/{name}/trash/empty", "emptyTrash"),
            recycled,
            restore,
            empty,
        ],
    )
}

/// The order of quotas in lists.
fn quota_key(quota: &QuotaStatus) -> String {
    match quota.subject {
        QuotaSubject::Share => "0".to_owned(),
        QuotaSubject::EveryUser => "1".to_owned(),
        QuotaSubject::EveryGroup => "2".to_owned(),
        QuotaSubject::User(uid) => format!("3/{uid:010}"),
        QuotaSubject::Group(gid) => format!("4/{gid:010}"),
    }
}

async fn quotas(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<QuotaStatus>, Refusal> {
    cut(call.plane.backend.quotas(call.part("name")).await?, &paged, quota_key)
}

/// The answer is the one quota that was set, with what its holders have.
async fn set_quota(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<SetQuota>,
) -> Result<Shown<Vec<QuotaStatus>>, Refusal> {
    let (backend, name) = (&call.plane.backend, call.part("name"));
    let of = |quotas: Vec<QuotaStatus>| quotas.into_iter().find(|quota| quota.subject == request.subject);
    call.before(&of(backend.quotas(name).await?).and_then(|quota| quota.limits));
    backend.set_quota(name, &request).await?;
    call.after(&request);
    Ok(Shown(backend.quotas(name).await?))
}

async fn recycled(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<RecycledFile>, Refusal> {
    cut(call.plane.backend.recycled(call.part("name")).await?, &paged, |file| file.inode)
}

async fn restore(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<RestoreFile>,
) -> Result<Shown<Vec<RecycledFile>>, Refusal> {
    let name = found(&call.plane, call.part("name"))?.name;
    call.plane.backend.restore(&name, &request).await?;
    call.after(&request);
    Ok(Shown(call.plane.backend.recycled(&name).await?))
}

async fn empty(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<EmptyBin>,
) -> Result<Shown<Emptied>, Refusal> {
    let removed = call.plane.backend.empty_bin(call.part("name"), &request).await?;
    let emptied = Emptied { removed };
    call.after(&emptied);
    Ok(Shown(emptied))
}
