//! How much callers may ask for.

use super::bed::{Bed, free};
use crate::live::PlaneLimits;
use serde_json::json;

#[tokio::test]
async fn address_that_asks_too_often_is_told_to_wait_and_the_limit_changes_live() {
    let bed = Bed::limited(PlaneLimits { requests_per_second: 5, ..free() }).await;
    let admin = bed.admin().await;
    let mut statuses = Vec::new();
    for _ in 0..15 {
        statuses.push(admin.get("/users").await.status);
    }
    assert_eq!(statuses, [vec![200; 10], vec![429; 5]].concat());
    let refused = admin.get("/users").await;
    refused.refused(429, "too-many-requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    bed.clock.advance(1);
    admin.put("/settings/control.requests_per_second", json!({ "value": 0 })).await.with(200);
    for _ in 0..50 {
        admin.get("/users").await.with(200);
    }
}

#[tokio::test]
async fn more_requests_at_once_than_allowed_are_told_to_come_again() {
    let bed = Bed::limited(PlaneLimits { max_requests: 1, ..free() }).await;
    let all = bed.plane.requests.acquire().await.unwrap();
    let busy = bed.anybody().get("/health").await;
    busy.refused(503, "busy");
    assert_eq!(busy.header("retry-after"), Some("1"));
    drop(all);
    bed.anybody().get("/health").await.with(200);
}
