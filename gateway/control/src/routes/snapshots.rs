//! Copies without copying: clones, snapshots and their schedule.

use super::answers::{Created, Done, Page, Shown, cut};
use super::call::Call;
use super::check_name;
use super::inputs::{NoBody, NoQuery, Paged, Sent};
use super::route::{ADMIN, OPERATOR, Route, family, route};
use crate::guard::Refusal;
use axum::http::Method;
use dfs_api::{
    CloneFile, ClonedFile, Problem, RestoreSnapshot, RestoredSnapshot, SnapshotPlan, SnapshotStatus,
    TakeSnapshot,
};
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    let all = "/shares/{name}/snapshots";
    let one = "/shares/{name}/snapshots/{snapshot}";
    let schedule = "/shares/{name}/snapshot-schedule";
    family(
        "shares",
        vec![
            route(Method::POST, "/shares/{name}/clone", "cloneFile", ADMIN, clone_file)
                .says("Clones a file: the new one shares the old one's blocks.")
                .audited("file.clone"),
            route(Method::GET, all, "listSnapshots", OPERATOR, list)
                .says("Lists a share's snapshots, oldest first."),
            route(Method::POST, all, "takeSnapshot", OPERATOR, take)
                .says("Takes a snapshot of a share.")
                .audited("snapshot.take")
                .once(),
            route(Method::GET, one, "getSnapshot", OPERATOR, show)
                .says("Shows a snapshot, with the bytes that only it holds."),
            route(Method::DELETE, one, "deleteSnapshot", ADMIN, delete)
                .says("Ends a snapshot.")
                .audited("snapshot.delete"),
            route(
                Method::POST,
                "/shares/{name}/snapshots/{snapshot}/restore",
                "restoreSnapshot",
                ADMIN,
                restore,
            )
            .says("Gives a file, a tree or the whole share back as a snapshot has it.")
            .audited("snapshot.restore")
            .long(),
            route(Method::GET, schedule, "getSnapshotSchedule", OPERATOR, plan)
                .says("Shows when snapshots are taken by themselves."),
            route(Method::PUT, schedule, "setSnapshotSchedule", ADMIN, set_plan)
                .says("Sets when snapshots are taken by themselves, or ends it.")
                .audited("snapshot-schedule.set"),
        ],
    )
}

async fn clone_file(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<CloneFile>,
) -> Result<Shown<ClonedFile>, Refusal> {
    let cloned = call.plane.backend.clone_file(call.part("name"), &request).await?;
    call.after(&request);
    Ok(Shown(cloned))
}

async fn list(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<SnapshotStatus>, Refusal> {
    cut(call.plane.backend.list_snapshots(call.part("name")).await?, &paged, |snapshot| snapshot.id)
}

async fn take(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<TakeSnapshot>,
) -> Result<Created<SnapshotStatus>, Refusal> {
    let share = call.part("name");
    call.about(&format!("{share}/{}", request.name));
    check_name(&request.name)?;
    let taken = call.plane.backend.take_snapshot(share, &request).await?;
    call.after(&taken);
    Ok(Created(taken))
}

async fn show(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<SnapshotStatus>, Refusal> {
    let (share, snapshot) = (call.part("name"), call.part("snapshot"));
    Ok(Shown(call.plane.backend.show_snapshot(share, snapshot).await?))
}

async fn delete(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    call.plane.backend.delete_snapshot(call.part("name"), call.part("snapshot")).await?;
    Ok(Done)
}

async fn restore(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<RestoreSnapshot>,
) -> Result<Shown<RestoredSnapshot>, Refusal> {
    if request.path.is_none() && request.to.is_some() {
        return Err(Problem::field("to", "the whole share is restored in its place: leave 'to' out").into());
    }
    let (share, snapshot) = (call.part("name"), call.part("snapshot"));
    let done = call.plane.backend.restore_snapshot(share, snapshot, &request).await?;
    call.after(&done);
    Ok(Shown(done))
}

async fn plan(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<SnapshotPlan>, Refusal> {
    Ok(Shown(call.plane.backend.snapshot_plan(call.part("name")).await?))
}

async fn set_plan(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<SnapshotPlan>,
) -> Result<Shown<SnapshotPlan>, Refusal> {
    let (backend, share) = (&call.plane.backend, call.part("name"));
    call.before(&backend.snapshot_plan(share).await?);
    backend.set_snapshot_plan(share, &request).await?;
    let plan = backend.snapshot_plan(share).await?;
    call.after(&plan);
    Ok(Shown(plan))
}
