//! What the parts of paths and the headers of requests may be.

use serde_json::{Value, json};

/// Names of users, groups, stores, shares and snapshots.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

/// The schema of a part of a path.
pub(crate) fn part(name: &str) -> Value {
    match name {
        "kind" => json!({ "type": "string", "enum": ["nfs"] }),
        "id" => json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" }),
        "principal" | "member" => json!({ "type": "string", "minLength": 1, "maxLength": 256 }),
        "key" => json!({ "type": "string", "pattern": "^[a-z][a-z0-9_.]{0,63}$" }),
        _ => json!({ "type": "string", "pattern": NAME }),
    }
}

/// The header that creates take.
pub(crate) fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "With the same key and body a create is done once: the first answer is given again for a day.",
        "schema": { "type": "string", "pattern": "^[!-~]{1,128}$" },
    })
}
