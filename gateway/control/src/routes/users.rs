//! Users. Names that are changed act on shares at once: the gateway is told before the answer goes out.

use super::answers::{Created, Done, Page, Shown, page_of};
use super::call::Call;
use super::inputs::{NoBody, NoQuery, Paged, Sent};
use super::passwords::hashed;
use super::route::{ADMIN, OPERATOR, Route, family, route};
use crate::guard::Refusal;
use crate::people::{self, shown_user};
use crate::rows::UserRow;
use axum::http::Method;
use dfs_api::{ChangeUser, CreateUser, Problem, SetPassword, User};
use serde_json::json;
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    let change = route(Method::PATCH, "/users/{name}", "changeUser", ADMIN, change)
        .says("Changes a user; what is left out stays. Another role, or disabling, ends his sessions.")
        .audited("user.change");
    family(
        "users",
        vec![
            route(Method::GET, "/users", "listUsers", OPERATOR, list).says("Lists the users by name."),
            route(Method::POST, "/users", "createUser", ADMIN, create)
                .says("Makes a user.")
                .audited("user.create")
                .once(),
            route(Method::GET, "/users/{name}", "getUser", OPERATOR, show).says("Shows a user."),
            change.also(Method::PUT, "replaceUser"),
            change,
            route(Method::DELETE, "/users/{name}", "deleteUser", ADMIN, delete)
                .says(
                    "Deletes a user with his sessions, permissions and mappings; not the last administrator.",
                )
                .audited("user.delete"),
            route(Method::POST, "/users/{name}/password", "setPassword", ADMIN, set_password)
                .says("Gives a user another password; his sessions end.")
                .audited("user.password"),
        ],
    )
}

async fn list(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<User>, Refusal> {
    page_of(&call.plane.database.snapshot(), &paged, shown_user)
}

async fn show(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<User>, Refusal> {
    let snapshot = call.plane.database.snapshot();
    Ok(Shown(shown_user(people::user(&snapshot, call.part("name"))?)))
}

async fn create(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<CreateUser>,
) -> Result<Created<User>, Refusal> {
    let plane = &call.plane;
    call.about(&request.name);
    super::check_name(&request.name)?;
    if plane.user(&request.name).is_some() {
        let exists = Problem::conflict(format!("a user named '{}' exists", request.name));
        return Err(Problem { field: Some("name".to_owned()), ..exists }.into());
    }
    let password = hashed(plane, &request.name, "password", request.password.clone()).await?;
    let now = plane.tokens.now();
    let made = call.transact(|snapshot| {
        let (change, row) = people::create_user(snapshot, &request, password.clone(), now)?;
        let shown = shown_user(&row);
        call.after(&shown);
        Ok((change, shown))
    });
    let made = made.await?;
    plane.tell_identities();
    Ok(Created(made))
}

async fn change(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<ChangeUser>,
) -> Result<Shown<User>, Refusal> {
    let changed = call.transact(|snapshot| {
        let name = call.part("name");
        call.before(&shown_user(people::user(snapshot, name)?));
        let (change, row) = people::change_user(snapshot, name, &request)?;
        let shown = shown_user(&row);
        call.after(&shown);
        Ok((change, shown))
    });
    let changed = changed.await?;
    call.plane.tell_identities();
    Ok(Shown(changed))
}

async fn delete(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    let deleted = call.transact(|snapshot| {
        let name = call.part("name");
        call.before(&shown_user(people::user(snapshot, name)?));
        Ok((people::delete_user(snapshot, name)?, ()))
    });
    deleted.await?;
    call.plane.tell_identities();
    Ok(Done)
}

async fn set_password(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<SetPassword>,
) -> Result<Done, Refusal> {
    let name = call.part("name");
    people::user(&call.plane.database.snapshot(), name)?;
    let password = hashed(&call.plane, name, "new_password", request.new_password).await?;
    call.after(&json!({ "password": "***", "must_change_password": request.must_change }));
    let changed = call.transact(|snapshot| {
        let (change, _): (_, UserRow) =
            people::set_password(snapshot, name, password.clone(), request.must_change)?;
        Ok((change, ()))
    });
    changed.await?;
    Ok(Done)
}
