//! What a gateway answers where everything works.

use crate::stub::{PASSWORD, Sent, problem, tokens};
use serde_json::{Value, json};

pub fn share() -> Value {
    json!({
        "name": "s", "metadata": "default", "cold": "default", "durability": "local", "compression": "lz4",
        "block_size": 262_144, "clients": ["127.0.0.1"], "squash": "none", "anon_uid": 65_534, "anon_gid": 65_534,
        "read_only": false, "capacity": 1u64 << 40, "root_mode": 493, "root_uid": 0, "root_gid": 0, "id": "0123",
        "state": "serving", "epoch": 3, "used_bytes": 1_610_612_736u64, "inodes": 42, "promise": "survives a power cut",
        "default_permission": "read", "manage_gids": true, "enabled": true, "comment": "",
        "rules": {"acl_mode": "masked", "blocked_operations": [], "relatime": true, "quotas": false,
            "snapshots_listed": false, "recycle": null}
    })
}

fn quotas() -> Value {
    json!([
        {"subject": "share", "limits": null, "used_bytes": 3u64 << 30, "used_inodes": 42},
        {
            "subject": {"user": 1000},
            "limits": {"bytes": {"hard": 2u64 << 30}, "inodes": {"soft": 10, "hard": 20}, "grace_seconds": 604_800},
            "used_bytes": 1u64 << 30, "used_inodes": 7
        }
    ])
}

fn recycled() -> Value {
    json!({
        "inode": 1033, "name": "report.txt", "directory": 1024, "removed_at": 1_795_676_017, "removed_by": 1000,
        "bytes": 5 << 20
    })
}

fn netgroup() -> Value {
    json!({"name": "build", "members": ["192.0.2.0/24", "ci.example.org"], "shares": ["s"]})
}

pub fn user() -> Value {
    json!({
        "name": "bo", "full_name": "Bo Berg", "email": "", "role": "user", "enabled": true,
        "must_change_password": false, "uid": 1000, "gid": null, "groups": ["staff"], "created_at": 1_795_676_017,
        "last_login_at": null, "a field of a newer gateway": 1
    })
}

fn group() -> Value {
    json!({"name": "staff", "gid": 50, "description": "", "members": ["bo"], "created_at": 1_795_676_017})
}

pub fn nfs_settings() -> Value {
    json!({
        "max_connections": 1024, "max_requests_per_connection": 64, "request_memory_bytes": 256 << 20,
        "require_privileged_port": false, "blocked_operations": [], "idle_timeout_seconds": 0
    })
}

fn adapter() -> Value {
    json!({"kind": "nfs", "enabled": true, "listen": "0.0.0.0:12049", "state": "serving", "connections": 3,
        "settings": nfs_settings()})
}

fn setting() -> Value {
    json!({"key": "logging.level", "value": "info", "default": "info", "description": "What is logged.",
        "live": true, "source": "default"})
}

fn audited() -> Value {
    json!({"id": 9, "at": 1_795_676_017_000i64, "user": "admin", "role": "admin", "address": "192.0.2.7",
        "request_id": "req-3", "action": "share.create", "target": "s", "result": "refused", "problem": "conflict",
        "before": null, "after": {"name": "s"}})
}

fn snapshot() -> Value {
    json!({"id": 1, "name": "monday", "origin": "asked", "taken_at": 951_825_599, "held_bytes": 5})
}

/// A gateway where everything works.
pub fn good(sent: &Sent) -> (u16, Value) {
    match sent.line.as_str() {
        "POST /auth/login" if sent.body["password"] == PASSWORD => (200, tokens("access-1", false)),
        "POST /auth/login" => problem(401, "wrong-login", "the user name or the password is wrong"),
        "GET /health" => {
            (200, json!({"status": "ok", "version": "1", "uptime_seconds": 5, "pid": 7, "shares": 1}))
        }
        _ if sent.token.as_deref() != Some("access-1") => problem(401, "unauthorized", "a token is needed"),
        line if line.contains(" /shares") => shares(sent),
        line if line.contains(" /users") || line.contains(" /groups") => people(sent),
        line if line.contains("-stores") => stores(sent),
        _ => others(sent),
    }
}

fn shares(sent: &Sent) -> (u16, Value) {
    match sent.line.as_str() {
        "GET /shares" => (200, json!([share()])),
        "POST /shares" => (201, share()),
        "GET /shares/s" | "PATCH /shares/s" => (200, share()),
        "POST /shares/s/enable"
        | "POST /shares/s/disable"
        | "POST /shares/s/open"
        | "POST /shares/s/adopt" => (200, share()),
        "DELETE /shares/s" => (204, Value::Null),
        "GET /shares/s/permissions" => (
            200,
            json!([{"kind": "user", "name": "bo", "level": "read-write"}, {"kind": "group", "name": "staff", "level": "none"}]),
        ),
        "PUT /shares/s/permissions/users/bo" => (200, json!({"kind": "user", "name": "bo", "level": "read"})),
        "PUT /shares/s/permissions/groups/staff" => {
            (200, json!({"kind": "group", "name": "staff", "level": "read"}))
        }
        "DELETE /shares/s/permissions/users/bo" | "DELETE /shares/s/permissions/groups/staff" => {
            (204, Value::Null)
        }
        "GET /shares/s/permissions/effective/bo" => {
            (200, json!({"user": "bo", "share": "s", "level": "read-write", "because": "his own permission"}))
        }
        "GET /shares/s/mounts" => (200, mounts()),
        "POST /shares/s/release" => (202, json!({"id": 2, "what": "release s", "state": "running"})),
        "POST /shares/s/abandon" => {
            (200, json!({"journal_of": "other", "bytes": 10, "files": 1, "abandoned": sent.body["confirm"]}))
        }
        "POST /shares/s/clone" => (200, json!({"bytes": 1 << 20})),
        "GET /shares/s/quotas" | "PUT /shares/s/quotas" => (200, quotas()),
        "GET /shares/s/recycled" | "POST /shares/s/recycled/restore" => (200, json!([recycled()])),
        "POST /shares/s/recycled/empty" => (200, json!({"removed": 3})),
        "GET /shares/s/snapshots" => (200, json!([snapshot()])),
        "POST /shares/s/snapshots" | "GET /shares/s/snapshots/monday" => (200, snapshot()),
        "DELETE /shares/s/snapshots/monday" => (204, Value::Null),
        "POST /shares/s/snapshots/monday/restore" => {
            (200, json!({"restored": 2, "removed": 1, "unchanged": 5, "before": "before-1"}))
        }
        "GET /shares/s/snapshot-schedule" | "PUT /shares/s/snapshot-schedule" => {
            (200, json!({"schedule": {"every_seconds": 3600, "keep": 24, "keep_seconds": null}}))
        }
        _ => problem(404, "not-found", "there is nothing"),
    }
}

fn people(sent: &Sent) -> (u16, Value) {
    match sent.line.as_str() {
        "GET /users" => (200, json!([user()])),
        "POST /users" => (201, user()),
        "GET /users/bo" | "PATCH /users/bo" => (200, user()),
        "POST /users/bo/password" | "DELETE /users/bo" => (204, Value::Null),
        "POST /users/me/password" if sent.body["old_password"] == PASSWORD => {
            (200, tokens("access-1", false))
        }
        "POST /users/me/password" => problem(401, "wrong-login", "the password is wrong"),
        "GET /groups" => (200, json!([group()])),
        "POST /groups" => (201, group()),
        "GET /groups/staff" | "PATCH /groups/staff" => (200, group()),
        "POST /groups/staff/members" => (200, group()),
        "DELETE /groups/staff" | "DELETE /groups/staff/members/bo" => (204, Value::Null),
        _ => problem(404, "not-found", "there is nothing"),
    }
}

fn stores(sent: &Sent) -> (u16, Value) {
    let metadata = || json!({"name": "default", "kind": "embedded", "health": "up", "shares": ["s"]});
    let cold =
        || json!({"name": "default", "kind": "dir", "path": "/packs", "health": "up", "shares": ["s"]});
    match sent.line.as_str() {
        "GET /metadata-stores" => (200, json!([metadata()])),
        "GET /metadata-stores/default" => (200, metadata()),
        "GET /metadata-stores/default/health" => {
            (200, json!({"kind": "metadata", "name": "default", "health": "up"}))
        }
        "GET /cold-stores" => (200, json!([cold()])),
        "GET /cold-stores/default" | "PATCH /cold-stores/default" => (200, cold()),
        "GET /cold-stores/default/health" => {
            (200, json!({"kind": "cold", "name": "default", "health": "up"}))
        }
        "POST /cold-stores/default/check" => {
            (200, json!({"usable": true, "detail": "written, read and deleted", "milliseconds": 12}))
        }
        "POST /metadata-stores" | "POST /cold-stores" => (201, sent.body.clone()),
        "DELETE /metadata-stores/default" | "DELETE /cold-stores/default" => (204, Value::Null),
        "DELETE /cold-stores/used" => problem(409, "conflict", "cold store 'used' is used by s"),
        _ => problem(404, "not-found", "there is nothing"),
    }
}

fn mounts() -> Value {
    json!([{"client": "192.0.2.7", "share": "s", "protocol": "nfs3", "mounted_at": 1_795_676_017}])
}

fn others(sent: &Sent) -> (u16, Value) {
    match sent.line.as_str() {
        "GET /auth/me" => (200, json!({"username": "admin", "role": "admin", "must_change_password": false})),
        "POST /auth/logout" => (204, Value::Null),
        "GET /netgroups" => (200, json!([netgroup()])),
        "POST /netgroups" => (201, netgroup()),
        "GET /netgroups/build" | "POST /netgroups/build/members" => (200, netgroup()),
        "DELETE /netgroups/build" | "DELETE /netgroups/build/members/192.0.2.0%2F24" => (204, Value::Null),
        "POST /tier/flush" => (202, json!({"id": 1, "what": "flush s", "state": "running"})),
        "GET /jobs/1" => {
            (200, json!({"id": 1, "what": "flush s", "state": "failed", "error": "the bucket is gone"}))
        }
        "GET /jobs/2" => (200, json!({"id": 2, "what": "release s", "state": "done"})),
        "GET /jobs" => (200, json!([{"id": 2, "what": "release s", "state": "done"}])),
        "GET /tier/status" => (
            200,
            json!({
                "occupancy": 0.5, "journal_bytes": 1 << 30, "hot_bytes": 0, "hot_hits": 0, "hot_misses": 0, "warm_bytes": 0,
                "warm_hits": 0, "warm_misses": 0, "cache_drops": 0, "shares": []
            }),
        ),
        "GET /adapters" => (200, json!([adapter()])),
        "POST /adapters" => (201, adapter()),
        "GET /adapters/nfs" | "PATCH /adapters/nfs" => (200, adapter()),
        "DELETE /adapters/nfs" => (204, Value::Null),
        "GET /adapters/smb" => problem(404, "not-built", "it comes with the SMB protocol"),
        "GET /adapters/nfs/settings" | "GET /adapters/nfs/settings/defaults" => (200, nfs_settings()),
        "POST /adapters/nfs/settings/reset" => (200, nfs_settings()),
        "PATCH /adapters/nfs/settings" => {
            let mut after = nfs_settings();
            for (name, value) in sent.body.as_object().unwrap() {
                after[name] = value.clone();
            }
            (200, after)
        }
        "GET /mounts" => (200, mounts()),
        "GET /clients" => (
            200,
            json!([{"id": "c1", "protocol": "nfs3", "address": "192.0.2.7:1001", "connected_at": 1_795_676_017,
                "requests": 7, "received_bytes": 1 << 20, "sent_bytes": 5, "shares": ["s"], "user_ids": [1000]}]),
        ),
        "DELETE /clients/c1" => (204, Value::Null),
        "GET /identity-mappings" => (200, json!([{"principal": "uid:1234", "user": "bo"}])),
        "POST /identity-mappings" => (201, sent.body.clone()),
        "DELETE /identity-mappings/uid%3A1234" => (204, Value::Null),
        "GET /settings" => (200, json!([setting()])),
        "GET /settings/logging.level" | "PUT /settings/logging.level" => (200, setting()),
        "DELETE /settings/logging.level" => (204, Value::Null),
        "GET /audit" => (200, json!([audited()])),
        _ => problem(404, "not-found", "there is nothing"),
    }
}
