//! Whatever goes wrong is a problem: of the routes, of the router, of HTTP.

use super::bed::Bed;
use crate::routes::route::Access;
use crate::routes::table::table;
use dfs_api::{About, Ready};
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test]
async fn refusals_of_router_and_http_are_problems_too() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    admin.get("/nothing").await.refused(404, "no-such-route");
    admin.get("//nothing").await.refused(404, "no-such-route");
    let wrong = admin.delete("/users").await;
    wrong.refused(405, "no-such-method");
    let allowed: BTreeSet<&str> = wrong.header("allow").unwrap().split(',').collect();
    assert_eq!(allowed, BTreeSet::from(["GET", "HEAD", "POST"]));
    admin.call("OPTIONS", "/users", None, &[]).await.refused(405, "no-such-method");
    admin.call("TRACE", "//docs", None, &[]).await.refused(405, "no-such-method");
    admin.send("POST", "/users", None, b"{}", &[]).await.refused(415, "not-json");
    admin.send("POST", "/users", Some("text/plain"), b"{}", &[]).await.refused(415, "not-json");
    admin.send("POST", "/users", Some("application/json"), b"{", &[]).await.refused(400, "invalid-body");
    let large = vec![b' '; (1 << 20) + 1];
    admin.send("POST", "/users", Some("application/json"), &large, &[]).await.refused(413, "too-large");
    admin.get("/users?limit=5&surprise=1").await.refused(400, "invalid-query");
    admin.get("/users/%FF").await.refused(404, "not-found");
    admin.get("/users/..%2Fadmin").await.refused(404, "not-found");
    admin.get("/adapters/smb").await.refused(404, "not-built");
    admin.get("/adapters/ftp").await.refused(404, "not-found");
}

#[tokio::test]
async fn answers_have_the_id_of_the_request_and_headers_that_keep_them_safe() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    let named = admin.call("GET", "/users", None, &[("x-request-id", "mine-7")]).await.with(200);
    assert_eq!(named.header("x-request-id"), Some("mine-7"));
    for odd in ["a b", "<script>", ""] {
        let answer = admin.call("GET", "/users", None, &[("x-request-id", odd)]).await;
        assert_eq!(answer.header("x-request-id").map(str::len), Some(32), "{odd}");
    }
    for path in ["/users", "/nothing", "/health", "//docs", "//", "/openapi.json"] {
        let answer = admin.get(path).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(
            answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(answer.headers.keys().all(|name| !name.starts_with("access-control")), "{path}");
    }
}

#[tokio::test]
async fn other_host_on_loopback_is_refused_as_rebinding() {
    let bed = Bed::new().await;
    for (host, status) in [("evil.example", 421), ("localhost", 200), ("127.0.0.1:8080", 200)] {
        let request = format!("GET /api/v1/health HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        assert_eq!(bed.raw(request.as_bytes()).await.status, status, "{host}");
    }
}

#[tokio::test]
async fn gateway_says_what_it_is_and_shows_its_routes() {
    let bed = Bed::new().await;
    let anybody = bed.anybody();
    let about: About = anybody.get("//").await.with(200).is();
    assert_eq!((about.name.as_str(), about.version.as_str(), about.docs.as_str()), ("dfs", "1.2.3", "/docs"));
    let page = anybody.get("//docs").await.with(200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert_eq!(page.body, anybody.get("/docs").await.with(200).body);
    let document = anybody.get("//openapi.json").await.with(200).json();
    assert_eq!(document, anybody.get("/openapi.json").await.with(200).json());
    for route in table() {
        let operation = &document["paths"][&route.path][route.method.as_str().to_lowercase()];
        assert_eq!(operation["operationId"], route.id.as_str());
        assert_eq!(operation["security"] == json!([]), route.access == Access::Open, "{}", route.id);
    }
}

#[tokio::test]
async fn readiness_says_what_is_waited_for() {
    let bed = Bed::new().await;
    assert!(bed.anybody().get("/health/ready").await.with(200).is::<Ready>().ready);
    bed.gateway.0.lock().waiting = vec!["one share is not open".to_owned()];
    let waits: Ready = bed.anybody().get("/health/ready").await.with(503).is();
    assert_eq!((waits.ready, waits.waiting), (false, vec!["one share is not open".to_owned()]));
    assert_eq!(bed.admin().await.get("/health/stores").await.with(200).json(), json!([]));
}
