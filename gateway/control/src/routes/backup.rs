//! Backups of the control plane, made and taken back over REST: encrypted under a passphrase, secrets included.

use super::answers::{Download, Shown};
use super::call::Call;
use super::inputs::{File, Forced, NoQuery, Sent};
use super::route::{ADMIN, Route, family, route};
use crate::backup::{self, BackupError};
use crate::guard::Refusal;
use axum::http::Method;
use dfs_api::{AuditResult, BackupRequest, Problem, RestoreReport};
use std::sync::Arc;

const PASSPHRASE: &str = "x-passphrase";

pub(super) fn routes() -> Vec<Route> {
    family(
        "settings",
        vec![
            route(Method::POST, "/backup", "createBackup", ADMIN, create)
                .says("Makes a backup of users, permissions, shares, stores and settings; the answer is the file.")
                .audited("backup.create"),
            route(Method::POST, "/restore", "restoreBackup", ADMIN, restore)
                .says("Puts a backup in place of what there is; every session ends. Start the gateway again then.")
                .audited("backup.restore")
                .takes(&[(PASSPHRASE, "What the backup was encrypted with.", true)])
                .long(),
        ],
    )
}

fn told(error: &BackupError) -> Problem {
    let text = error.to_string();
    match error {
        BackupError::Passphrase => Problem::field("passphrase", text),
        BackupError::WrongPassphrase => {
            Problem { field: Some(PASSPHRASE.to_owned()), ..Problem::new(422, "wrong-passphrase", text) }
        }
        BackupError::NotABackup => Problem::new(422, "not-a-backup", text),
        BackupError::Newer { .. } => Problem::new(422, "newer-backup", text),
        BackupError::Damaged(_) => Problem::new(422, "damaged-backup", text),
    }
}

async fn create(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<BackupRequest>,
) -> Result<Download, Refusal> {
    let plane = &call.plane;
    call.about("control plane");
    let (snapshot, version, entropy) = (plane.database.snapshot(), plane.version, plane.entropy.clone());
    let work = move || backup::backup(&snapshot, &request.passphrase, version, entropy.as_ref());
    let bytes = plane.hash(work).await?.map_err(|error| told(&error))?;
    Ok(Download { name: "control-plane.dfs-backup", bytes })
}

async fn restore(call: Arc<Call>, asked: Forced, File(file): File) -> Result<Shown<RestoreReport>, Refusal> {
    let plane = &call.plane;
    call.about("control plane");
    let passphrase =
        call.headers.get(PASSPHRASE).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    let missing =
        || Problem::field(PASSPHRASE, "the passphrase of the backup goes into the header x-passphrase");
    let (passphrase, version) = (passphrase.ok_or_else(missing)?.to_owned(), plane.version);
    let rows = plane.hash(move || backup::open_backup(&file, &passphrase, version)).await?;
    let rows = rows.map_err(|error| told(&error))?;
    let changing = &plane.changing;
    let _stores = changing.stores.lock().await;
    let _netgroups = changing.netgroups.lock().await;
    let _shares = changing.shares.lock().await;
    let _adapters = changing.adapters.lock().await;
    let settings = changing.settings.lock().await;
    call.after(&backup::counted(&rows));
    let record = call.record(AuditResult::Done, None);
    let report = backup::restore(&plane.database, rows, asked.force, record).await?;
    call.done();
    plane.tell_identities();
    // Applying them takes the lock anew.
    drop(settings);
    plane.apply_settings().await;
    Ok(Shown(report))
}
