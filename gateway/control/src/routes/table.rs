//! The route table: every route that there is, each declared once beside its handler.

use super::route::Route;
use super::{
    adapters, audit, auth, backup, clients, cold, docs, groups, health, identity, keep, netgroups, owners,
    permissions, settings, shares, snapshots, stores, tier, users,
};

/// Every route, in the order of the page.
pub(crate) fn table() -> Vec<Route> {
    [
        health::routes(),
        docs::routes(),
        auth::routes(),
        users::routes(),
        groups::routes(),
        permissions::routes(),
        shares::routes(),
        owners::routes(),
        keep::routes(),
        snapshots::routes(),
        stores::routes(),
        cold::routes(),
        adapters::routes(),
        clients::routes(),
        netgroups::routes(),
        identity::routes(),
        settings::routes(),
        audit::routes(),
        backup::routes(),
        tier::routes(),
    ]
    .concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::routes::route::Access;
    use axum::http::Method;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_there_once_and_says_what_it_does() {
        let (mut places, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for route in table() {
            let place = format!("{} {}", route.method, route.path);
            assert!(places.insert(place.clone()), "{place} twice");
            assert!(ids.insert(route.id.clone()), "{} twice", route.id);
            assert!(route.summary.ends_with('.') && !route.tag.is_empty(), "{place}");
        }
    }

    #[test]
    fn whatever_changes_something_is_audited_and_needs_a_login() {
        for route in table() {
            let place = format!("{} {}", route.method, route.path);
            let reads = route.method == Method::GET;
            let tokens = ["/auth/login", "/auth/refresh"].contains(&route.path.as_str());
            assert_eq!(route.changes(), !reads && route.path != "/auth/refresh", "{place}");
            assert!(reads || tokens || route.access != Access::Open, "{place}");
            assert!(!route.once || route.method == Method::POST, "{place}");
        }
    }
}
