//! What the gateway rests on elsewhere: its control database, Postgres, the cold stores.

use super::Check;
use crate::commands::control::{Reach, reach};
use crate::commands::local;
use crate::config::{Config, Loaded, TlsMode};
use crate::runtime::open_base;
use crate::serve::postgres_options;
use crate::system::{OsEntropy, SystemClock};
use dfs_api::{Client, ColdBackend, ColdStoreConfig, ColdStoreStatus, StoreCheck};
use dfs_cold::KeySpace;
use dfs_control::{CONTROL_SCHEMA_VERSION, PostgresLook, PostgresOptions, PostgresTls, look_at_postgres};
use dfs_model::{Clock, Entropy};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Oldest server that is tested.
const SERVER_MIN: i32 = 140_000;
/// Clocks that differ by more are worth a look …
const SKEW_WARN: f64 = 30.0;
/// … and by more than this, S3 refuses signatures.
const SKEW_FAIL: f64 = 840.0;
/// Longest wait for a database.
const LOOK_WITHIN: Duration = Duration::from_secs(15);

pub(super) fn look(loaded: &Loaded, data_dir: &Path) -> Vec<Check> {
    let config = &loaded.config;
    let looked = local::block(async {
        let mut checks = databases(config).await;
        // A database that cannot be used has its line already.
        if !checks
            .iter()
            .any(|check| check.check == "control.database" && check.verdict == super::Verdict::Fail)
        {
            checks.extend(cold_stores(config, data_dir).await);
        }
        Ok(checks)
    });
    looked.unwrap_or_else(|failure| vec![Check::fail("control database", failure.message, "try again")])
}

async fn databases(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(database) = &config.control.database {
        let options = postgres_options(database).map_err(|failure| failure.message);
        checks.push(database_check("control.database", options, CONTROL_SCHEMA_VERSION).await);
    }
    if let Some(database) = &config.metadata.postgres {
        let mut options = PostgresOptions::new(database.url.clone(), Arc::new(OsEntropy));
        options.schema = database.schema.clone().unwrap_or_else(|| "dfs".to_owned());
        options.tls = match database.tls {
            TlsMode::Off => PostgresTls::Off,
            TlsMode::On => PostgresTls::On { ca: database.ca.clone() },
        };
        let password = database.password_file.as_ref().map(|path| {
            let read = std::fs::read_to_string(path);
            read.map_err(|error| format!("{}: {error}", path.display()))
        });
        let options = password.transpose().map(|password| {
            options.password = password.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
            options
        });
        checks.push(database_check("metadata.postgres", options, dfs_store::POSTGRES_SCHEMA_VERSION).await);
    }
    checks
}

async fn database_check(name: &str, options: Result<PostgresOptions, String>, known: usize) -> Check {
    const FIX: &str = "look at the URL, the password file, pg_hba.conf, and whether the server runs";
    let options = match options {
        Ok(options) => options,
        Err(why) => return Check::fail(name, why, "make the password file readable for the gateway's user"),
    };
    match tokio::time::timeout(LOOK_WITHIN, look_at_postgres(&options)).await {
        Ok(Ok(look)) => judge_database(name, &look, known, now()),
        Ok(Err(error)) => Check::fail(name, error.to_string(), FIX),
        Err(_) => Check::fail(name, format!("no answer within {} s", LOOK_WITHIN.as_secs()), FIX),
    }
}

fn now() -> f64 {
    let now = SystemClock.wall();
    now.secs as f64 + f64::from(now.nanos) / 1e9
}

fn judge_database(name: &str, look: &PostgresLook, known: usize, now: f64) -> Check {
    let schema =
        look.schema.map_or("no tables yet".to_owned(), |version| format!("tables of version {version}"));
    let (major, minor) = (look.server / 10_000, look.server % 10_000);
    let seen = format!(
        "{}: PostgreSQL {major}.{minor}, {schema}, synchronous_commit {}",
        look.place, look.synchronous_commit
    );
    if look.server < SERVER_MIN {
        return Check::fail(name, seen, format!("upgrade the server to {} or newer", SERVER_MIN / 10_000));
    }
    if look.schema.is_some_and(|version| usize::try_from(version).is_ok_and(|version| version > known)) {
        let text = format!("{seen}: this program knows version {known}");
        return Check::fail(name, text, "start a newer version of the gateway, or use another schema");
    }
    if look.fsync != "on" || look.synchronous_commit == "off" {
        let text = format!(
            "{seen}, fsync {}: what is acknowledged may be lost when the server's power fails",
            look.fsync
        );
        return Check::fail(name, text, "set fsync = on and synchronous_commit = on in postgresql.conf");
    }
    let skew = look.time - now;
    if skew.abs() > SKEW_WARN {
        let text = format!("{seen}; its clock is {skew:+.0} s from this one: leases are measured by it");
        return Check::warn(name, text, "let both machines follow a time server");
    }
    if look.synchronous_commit == "local" {
        let text = format!("{seen}: a standby that takes over may not have what was acknowledged");
        return Check::warn(name, text, "set synchronous_commit = on where there is a synchronous standby");
    }
    Check::ok(name, seen)
}

async fn cold_stores(config: &Config, data_dir: &Path) -> Vec<Check> {
    const NAME: &str = "control database";
    match reach(config, data_dir, false).await {
        Err(failure) => {
            let fix = "`dfs restore controlplane --force` puts a backup in its place";
            vec![Check::fail(NAME, failure.message, fix)]
        }
        Ok(Reach::Running(client)) => {
            let mut checks = vec![Check::ok(NAME, "the gateway that runs uses it")];
            checks.extend(asked(&client).await);
            checks
        }
        Ok(Reach::Stopped(database, _folder)) => {
            let stores = database.list::<ColdStoreConfig>();
            let mut checks =
                vec![Check::ok(NAME, format!("it opens, and knows {} cold stores", stores.len()))];
            for store in &stores {
                checks.push(probed(store).await);
            }
            checks
        }
    }
}

/// The gateway that runs probes its own stores.
async fn asked(client: &Client) -> Vec<Check> {
    let failed = |name: &str, error: dfs_api::ClientError| {
        Check::fail(
            name,
            format!("the gateway does not tell: {error}"),
            "look at `dfs status` and `dfs logs`",
        )
    };
    let stores = match client.list::<ColdStoreStatus>("/cold-stores").await {
        Ok(stores) => stores,
        Err(error) => return vec![failed("cold stores", error)],
    };
    let mut checks = Vec::new();
    for store in stores {
        let name = named(&store.config.name);
        let path = format!("/cold-stores/{}/check", Client::segment(&store.config.name));
        checks.push(match client.post::<_, StoreCheck>(&path, &serde_json::json!({})).await {
            Ok(check) if check.usable => {
                Check::ok(&name, format!("{} in {} ms", check.detail, check.milliseconds))
            }
            Ok(check) => Check::fail(&name, one_line(&check.detail), FIX_STORE),
            Err(error) => failed(&name, error),
        });
    }
    checks
}

const FIX_STORE: &str =
    "look at the store itself, its name, its keys (dfsctl store cold edit) and the way there";

fn named(store: &str) -> String {
    format!("cold store {store}")
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("; ")
}

/// Writes, reads, lists and deletes an object of the probe's own.
async fn probed(store: &ColdStoreConfig) -> Check {
    let name = named(&store.name);
    if matches!(store.backend, ColdBackend::Memory) {
        return Check::warn(
            &name,
            "it is memory of the gateway: gone with the process",
            "use it for tests only",
        );
    }
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    let (base, prefix) = match open_base(store, false, &clock, &entropy).await {
        Ok(opened) => opened,
        Err(failure) => return Check::fail(&name, failure.message, FIX_STORE),
    };
    let space = match KeySpace::new(&prefix) {
        Ok(space) => space,
        Err(error) => {
            return Check::fail(&name, error.to_string(), "make the store anew with another prefix");
        }
    };
    let started = clock.monotonic();
    let report = dfs_cold::probe(base.as_ref(), &space, entropy.as_ref()).await;
    let took = clock.monotonic().since(started).as_millis();
    if !report.is_good() {
        return Check::fail(&name, one_line(&report.text()), FIX_STORE);
    }
    let skew = report.store_time.map(|at| at.secs as f64 - now());
    judge_store(&name, took, skew)
}

fn judge_store(name: &str, took: u128, skew: Option<f64>) -> Check {
    let seen = format!("an object was written, read, listed and deleted in {took} ms");
    match skew {
        Some(skew) if skew.abs() > SKEW_FAIL => {
            let text = format!("{seen}; its clock is {skew:+.0} s from this one: signatures will be refused");
            Check::fail(name, text, "set this machine's clock")
        }
        Some(skew) if skew.abs() > SKEW_WARN => {
            let text = format!("{seen}; its clock is {skew:+.0} s from this one");
            Check::warn(name, text, "let this machine follow a time server")
        }
        _ => Check::ok(name, seen),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn database_that_breaks_promises_or_is_newer_is_told() {
        let good = PostgresLook {
            place: "database 'd' at h".to_owned(),
            server: 160_004,
            schema: Some(3),
            synchronous_commit: "on".to_owned(),
            fsync: "on".to_owned(),
            time: 1000.0,
        };
        let verdict = |look: PostgresLook| judge_database("control.database", &look, 3, 1001.0).verdict;
        assert_eq!(verdict(good.clone()), Verdict::Ok);
        assert_eq!(verdict(PostgresLook { schema: None, ..good.clone() }), Verdict::Ok);
        assert_eq!(verdict(PostgresLook { schema: Some(4), ..good.clone() }), Verdict::Fail);
        assert_eq!(verdict(PostgresLook { server: 130_010, ..good.clone() }), Verdict::Fail);
        assert_eq!(verdict(PostgresLook { fsync: "off".to_owned(), ..good.clone() }), Verdict::Fail);
        let with = |word: &str| PostgresLook { synchronous_commit: word.to_owned(), ..good.clone() };
        assert_eq!(verdict(with("off")), Verdict::Fail);
        assert_eq!(verdict(with("local")), Verdict::Warn);
        assert_eq!(verdict(PostgresLook { time: 900.0, ..good.clone() }), Verdict::Warn);
    }

    #[test]
    fn store_whose_clock_is_off_is_told() {
        assert_eq!(judge_store("s", 3, None).verdict, Verdict::Ok);
        assert_eq!(judge_store("s", 3, Some(-2.0)).verdict, Verdict::Ok);
        assert_eq!(judge_store("s", 3, Some(-100.0)).verdict, Verdict::Warn);
        assert_eq!(judge_store("s", 3, Some(1000.0)).verdict, Verdict::Fail);
    }
}
