//! Settings: all are shown; those that act at once can be set, the others are set in the configuration file.

use super::answers::{Done, Page, Shown, cut};
use super::call::Call;
use super::inputs::{NoBody, NoQuery, Paged, Sent};
use super::route::{ADMIN, OPERATOR, Route, family, route};
use crate::change::Change;
use crate::guard::Refusal;
use crate::live::Key;
use crate::plane::ControlPlane;
use crate::rows::SettingRow;
use axum::http::Method;
use dfs_api::{Problem, SetSetting, Setting, SettingSource};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    let one = "/settings/{key}";
    family(
        "settings",
        vec![
            route(Method::GET, "/settings", "listSettings", OPERATOR, list)
                .says("Lists every setting with its value and where that comes from; secrets are left out."),
            route(Method::GET, one, "getSetting", OPERATOR, show).says("Shows a setting."),
            route(Method::PUT, one, "setSetting", ADMIN, set)
                .says("Sets a live setting; it acts at once and stays over a restart.")
                .audited("setting.set"),
            route(Method::DELETE, one, "resetSetting", ADMIN, reset)
                .says("Gives a setting the value of the configuration file back.")
                .audited("setting.reset"),
        ],
    )
}

/// Every setting as it is in force.
pub(crate) async fn all(plane: &ControlPlane) -> BTreeMap<String, Setting> {
    let told = plane.backend.settings().await;
    let mut all: BTreeMap<String, Setting> =
        told.into_iter().map(|setting| (setting.key.clone(), setting)).collect();
    for key in Key::ALL {
        let (value, default) = plane.live.values(key);
        let source = if value == default { SettingSource::Default } else { SettingSource::File };
        let (name, description) = (key.name().to_owned(), key.says().to_owned());
        let ours = Setting { key: name.clone(), value, default, description, live: true, source };
        all.entry(name).or_insert(ours).live = true;
    }
    for row in plane.database.snapshot().rows::<SettingRow>() {
        if let Some(setting) = all.get_mut(&row.key).filter(|setting| setting.live) {
            setting.value = row.value.clone();
            setting.source = SettingSource::Database;
        }
    }
    all
}

async fn found(plane: &ControlPlane, key: &str) -> Result<Setting, Problem> {
    all(plane).await.remove(key).ok_or_else(|| Problem::not_found("setting", key))
}

/// A setting that can be set here. *Errors:* 404; 409 `set-in-file`.
async fn live(plane: &ControlPlane, key: &str) -> Result<Setting, Problem> {
    let setting = found(plane, key).await?;
    if setting.live {
        return Ok(setting);
    }
    let why = format!("'{key}' is set in the configuration file and acts at the next start");
    Err(Problem::new(409, "set-in-file", why))
}

async fn list(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<Setting>, Refusal> {
    cut(all(&call.plane).await.into_values().collect(), &paged, |setting| setting.key.clone())
}

async fn show(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<Setting>, Refusal> {
    Ok(Shown(found(&call.plane, call.part("key")).await?))
}

async fn set(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<SetSetting>,
) -> Result<Shown<Setting>, Refusal> {
    let (plane, key) = (&call.plane, call.part("key"));
    let _changing = plane.changing.settings.lock().await;
    let before = live(plane, key).await?;
    call.before(&json!({ "value": before.value }));
    put_into_force(plane, key, Some(&request.value)).await?;
    call.after(&json!({ "value": request.value }));
    let row = SettingRow { key: key.to_owned(), value: request.value };
    call.commit(Change::default().put(&row)).await?;
    Ok(Shown(found(plane, key).await?))
}

async fn reset(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    let (plane, key) = (&call.plane, call.part("key"));
    let _changing = plane.changing.settings.lock().await;
    let before = live(plane, key).await?;
    call.before(&json!({ "value": before.value }));
    put_into_force(plane, key, None).await?;
    call.commit(Change::default().remove::<SettingRow>(key)).await?;
    Ok(Done)
}

/// Puts a value into force, or that of the configuration file. *Errors:* a value that the setting does not take.
pub(crate) async fn put_into_force(
    plane: &ControlPlane,
    key: &str,
    value: Option<&Value>,
) -> Result<(), Problem> {
    let Some(own) = Key::named(key) else { return plane.backend.apply_setting(key, value).await };
    let number = value.map_or(Ok(own.of(&plane.live.limits)), |value| own.parse(value))?;
    plane.live.apply(own, number, &plane.pace, &plane.brake);
    Ok(())
}
