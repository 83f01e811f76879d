//! The routes: who may, what is refused and how, the shapes of the answers.

use crate::bed::{Bed, Doors, PASSWORD, http, share_config};
use dfs_api::{
    Client, ClientError, Job, MetadataKind, MetadataStoreConfig, Problem, ShareStatus, TierStatus,
};
use serde_json::{Value, json};

const ROUTES: [(&str, &str); 12] = [
    ("GET", "/auth/me"),
    ("POST", "/users/me/password"),
    ("GET", "/metadata-stores"),
    ("POST", "/metadata-stores"),
    ("DELETE", "/metadata-stores/names"),
    ("GET", "/cold-stores"),
    ("POST", "/cold-stores"),
    ("GET", "/shares"),
    ("POST", "/shares"),
    ("DELETE", "/shares/s"),
    ("GET", "/tier/status"),
    ("POST", "/tier/flush"),
];

struct Door<'a> {
    bed: &'a Bed,
    doors: Doors,
    token: String,
}

impl Door<'_> {
    fn open(bed: &Bed) -> (Door<'_>, Client) {
        let doors = bed.start();
        let token = bed.block(bed.anonymous(&doors).login("admin", PASSWORD)).unwrap().access_token;
        let client = Client::new(&format!("http://{}", doors.control), Some(token.clone()));
        (Door { bed, doors, token }, client)
    }

    fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        http(self.doors.control, method, &format!("/api/v1{path}"), Some(&self.token), body)
    }

    /// Sends and asserts a problem: status, its kind, words in its sentence; returns it.
    #[track_caller]
    fn refused(&self, method: &str, path: &str, body: &Value, status: u16, words: &[&str]) -> Problem {
        let (found, text) = self.send(method, path, &body.to_string());
        let problem: Problem =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{found} {error}: {text}"));
        assert_eq!((found, problem.status), (status, status), "{text}");
        for word in words {
            assert!(problem.detail.contains(word), "'{word}' is not in: {text}");
        }
        problem
    }
}

fn share_json(name: &str) -> Value {
    serde_json::to_value(share_config(name)).unwrap()
}

fn with(mut value: Value, key: &str, changed: Value) -> Value {
    value[key] = changed;
    value
}

#[test]
fn every_route_but_health_and_login_wants_a_token() {
    let bed = Bed::made();
    let doors = bed.start();
    for (method, path) in ROUTES {
        let (status, body) = http(doors.control, method, &format!("/api/v1{path}"), None, "{}");
        let problem: Problem = serde_json::from_str(&body).unwrap();
        assert_eq!((status, problem.kind.as_str()), (401, "unauthorized"), "{method} {path}");
    }
    let health = bed.block(bed.anonymous(&doors).health()).unwrap();
    assert_eq!((health.status.as_str(), health.pid as i32), ("ok", doors.pid));
}

#[test]
fn requests_that_mean_nothing_are_problems_too() {
    let bed = Bed::made();
    let (door, _) = Door::open(&bed);
    door.refused("GET", "/sharez", &Value::Null, 404, &["/api/v1/sharez"]);
    door.refused("PATCH", "/shares", &Value::Null, 405, &["PATCH"]);
    door.refused("GET", "/jobs/abc", &Value::Null, 404, &["abc"]);
    door.refused("GET", "/jobs/7", &Value::Null, 404, &["'7'"]);
    let (status, body) = http(door.doors.control, "GET", "/nothing", None, "");
    assert_eq!(status, 404, "{body}");
    let (status, body) = door.send("POST", "/shares", "{not json");
    assert_eq!(status, 400, "{body}");
    let (status, body) = door.send("POST", "/shares", &" ".repeat((1 << 20) + 1));
    assert_eq!(status, 413, "{body}");
    let odd = with(share_json("s"), "durabilty", json!("local"));
    let problem = door.refused("POST", "/shares", &odd, 422, &["durabilty"]);
    assert_eq!(problem.field.as_deref(), Some("durabilty"));
}

#[test]
fn stores_are_refused_when_they_are_wrong_there_already_or_in_use() {
    let bed = Bed::made();
    let (door, client) = Door::open(&bed);
    for name in ["", "-x", "a/b", "a b", "ä", &"x".repeat(65)] {
        let problem = door.refused(
            "POST",
            "/metadata-stores",
            &json!({"name": name, "kind": "embedded"}),
            400,
            &["1 to 64"],
        );
        assert_eq!(problem.field.as_deref(), Some("name"));
    }
    door.refused("POST", "/metadata-stores", &json!({"name": "x", "kind": "etcd"}), 422, &["etcd"]);
    door.refused("POST", "/cold-stores", &json!({"name": "x", "kind": "tape"}), 422, &["tape"]);
    door.refused("DELETE", "/metadata-stores/x", &Value::Null, 404, &["'x'"]);
    door.refused("DELETE", "/cold-stores/x", &Value::Null, 404, &["'x'"]);
    bed.share(&client);
    let cold = json!({"name": "packs", "kind": "dir", "path": bed.path("other")});
    door.refused("POST", "/cold-stores", &cold, 409, &["exists"]);
    door.refused("POST", "/metadata-stores", &json!({"name": "names", "kind": "memory"}), 409, &["exists"]);
    door.refused("DELETE", "/metadata-stores/names", &Value::Null, 409, &["used by s", "delete"]);
    door.refused("DELETE", "/cold-stores/packs", &Value::Null, 409, &["used by s", "delete"]);
    let file = bed.path("file");
    std::fs::write(&file, "not a folder").unwrap();
    let problem = door.refused(
        "POST",
        "/cold-stores",
        &json!({"name": "f", "kind": "dir", "path": file}),
        422,
        &["file"],
    );
    assert_eq!(problem.kind, "unusable");
    assert!(!door.send("GET", "/cold-stores", "").1.contains("\"f\""), "nothing half-done remains");
}

#[test]
fn shares_are_refused_field_by_field() {
    let bed = Bed::made();
    let (door, client) = Door::open(&bed);
    bed.stores(&client);
    let cases = [
        ("name", json!("a/b"), 400, "1 to 64"),
        ("block_size", json!(100_000), 400, "65536"),
        ("block_size", json!(2_097_152), 400, "1048576"),
        ("root_mode", json!(0o10000), 400, "twelve bits"),
        ("metadata", json!("nowhere"), 404, "nowhere"),
        ("cold", json!("nowhere"), 404, "nowhere"),
        ("clients", json!(["300.1.2.3/99"]), 400, "300.1.2.3/99"),
        ("durability", json!("remote"), 400, "Postgres"),
    ];
    for (key, value, status, word) in cases {
        let problem = door.refused("POST", "/shares", &with(share_json("s"), key, value), status, &[word]);
        assert_eq!(problem.field.as_deref(), Some(key), "{problem:?}");
    }
    assert_eq!(door.send("GET", "/shares", "").1, "[]", "nothing half-done remains");
    let _: ShareStatus = bed.block(client.post("/shares", &share_config("s"))).unwrap();
    door.refused("POST", "/shares", &share_json("s"), 409, &["exists"]);
    door.refused("GET", "/shares/t", &Value::Null, 404, &["'t'"]);
    door.refused("DELETE", "/shares/t", &Value::Null, 404, &["'t'"]);
    door.refused("POST", "/tier/flush", &json!({"share": "t"}), 404, &["'t'"]);
}

#[test]
fn share_lives_from_its_creation_to_its_deletion() {
    let bed = Bed::made();
    let (door, client) = Door::open(&bed);
    let made = bed.share(&client);
    assert_eq!((made.state.as_str(), made.epoch, made.id.len()), ("serving", 1, 32));
    bed.mounted(&door.doors).write("file", b"some bytes");
    let found: ShareStatus = bed.block(client.get("/shares/s")).unwrap();
    assert_eq!((found.inodes, found.config), (2, share_config("s")));
    assert!(found.promise.contains("power cut"), "{}", found.promise);
    bed.block(client.delete("/shares/s?force=true")).unwrap();
    let listed: Vec<ShareStatus> = bed.block(client.get("/shares")).unwrap();
    assert!(listed.is_empty());
    bed.block(client.delete("/metadata-stores/names")).unwrap();
    bed.block(client.delete("/cold-stores/packs")).unwrap();
    let again = bed.share(&client);
    assert_ne!(again.id, made.id, "a share made anew is another one");
    assert!(bed.mounted(&door.doors).read("file").is_err(), "names of the deleted share are gone");
}

#[test]
fn share_for_nobody_is_mounted_by_nobody() {
    let bed = Bed::made();
    let (door, client) = Door::open(&bed);
    bed.stores(&client);
    let config = dfs_api::ShareConfig { clients: Vec::new(), ..share_config("s") };
    let _: ShareStatus = bed.block(client.post("/shares", &config)).unwrap();
    let refused = bed.block(async {
        let mut pipe = dfs_nfs::client::Pipe::connect_as(door.doors.nfs, 0, 0, 1 << 16).await.unwrap();
        pipe.mount("/s").await
    });
    assert!(matches!(refused, Err(dfs_nfs::client::ClientError::Mount(_))), "{refused:?}");
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn answers_have_the_shapes_that_programs_rely_on() {
    let bed = Bed::made();
    let (door, client) = Door::open(&bed);
    bed.share(&client);
    bed.mounted(&door.doors).write("file", &crate::bed::noise(1, 200_000));
    let get = |path: &str| -> Value { serde_json::from_str(&door.send("GET", path, "").1).unwrap() };
    assert_eq!(
        keys(&get("/health")),
        ["pid", "shares", "shares_failed", "status", "uptime_seconds", "version"]
    );
    assert_eq!(keys(&get("/auth/me")), ["must_change_password", "role", "username"]);
    assert_eq!(keys(&get("/metadata-stores")[0]), ["health", "kind", "name", "shares"]);
    assert_eq!(keys(&get("/cold-stores")[0]), ["health", "kind", "name", "path", "shares"]);
    let share = get("/shares/s");
    for key in [
        "name",
        "metadata",
        "cold",
        "durability",
        "clients",
        "squash",
        "id",
        "state",
        "epoch",
        "used_bytes",
        "inodes",
        "promise",
    ] {
        assert!(!share[key].is_null(), "{key}: {share}");
    }
    let tiers: TierStatus = serde_json::from_value(get("/tier/status")).unwrap();
    let row = &tiers.shares[0];
    assert_eq!((row.share.as_str(), row.durability.as_str(), row.cold.as_str()), ("s", "local", "up"));
    assert!(row.dirty_bytes >= 200_000 && row.dirty_inodes == 1 && row.uploads == 0, "{row:?}");
    assert!(tiers.occupancy > 0.0 && tiers.occupancy < 1.0 && tiers.journal_bytes == 64 << 20, "{tiers:?}");
    bed.flush(&client);
    let tiers: TierStatus = bed.block(client.get("/tier/status")).unwrap();
    let row = &tiers.shares[0];
    assert!(
        row.dirty_bytes == 0 && row.dirty_inodes == 0 && row.uploads == 1 && row.uploaded_bytes > 200_000,
        "{row:?}"
    );
    let job: Job = bed.block(client.get("/jobs/1")).unwrap();
    assert_eq!((job.state.as_str(), job.error), ("done", None));
    assert_eq!(door.bed.block(door.bed.anonymous(&door.doors).health()).unwrap().shares, 1);
}

#[test]
fn client_that_reaches_nobody_says_where_it_looked() {
    let bed = Bed::empty();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = bed.block(Client::new(&format!("http://{nobody}"), None).health()).unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { .. }) && error.to_string().contains(&nobody.to_string()),
        "{error}"
    );
    assert_eq!(error.exit_code(), 3);
}

#[test]
fn memory_store_forgets_and_says_so_by_its_kind() {
    let bed = Bed::made();
    let (_, client) = Door::open(&bed);
    let config = MetadataStoreConfig { name: "m".to_owned(), kind: MetadataKind::Memory };
    let made: MetadataStoreConfig = bed.block(client.post("/metadata-stores", &config)).unwrap();
    assert_eq!(made, config);
}
