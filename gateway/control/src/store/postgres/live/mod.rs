//! The store against a real server: run by `tests/run control`, which installs PostgreSQL and names its programs and a freshly
//! made cluster to copy in `DFS_TESTS_POSTGRES_BIN` and `DFS_TESTS_POSTGRES_TEMPLATE`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod cluster;
mod gateways;
mod refused;
mod trouble;

use super::*;
use crate::change::Change;
use crate::database::ControlDatabase;
use crate::rows::UserRow;
use crate::store::conformance::commits::raise;
use crate::store::conformance::{Bed, suite};
use crate::testing::{TestEntropy, key, user};
use cluster::Cluster;
use dfs_api::Role;
use std::pin::Pin;

/// A server, and the folder of a gateway.
struct ServerBed {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

impl ServerBed {
    fn start() -> ServerBed {
        ServerBed::with(&[])
    }

    fn with(settings: &[&str]) -> ServerBed {
        let folder = tempfile::tempdir().unwrap();
        // Gateways that share a database share its key.
        key(folder.path()).keep().unwrap();
        ServerBed { cluster: Cluster::start(settings), folder }
    }

    fn options(&self) -> PostgresOptions {
        options(self.cluster.port)
    }

    /// A gateway that shares the database, and the key.
    async fn gateway(&self) -> ControlDatabase {
        ControlDatabase::open_postgres(self.options(), key(self.folder.path())).await.unwrap()
    }

    async fn store(&self) -> PostgresStore {
        PostgresStore::open(self.options()).await.unwrap()
    }

    /// A connection of an administrator.
    async fn sql(&self) -> tokio_postgres::Client {
        let options = PostgresOptions { schema: "dfs_control".into(), ..self.options() };
        Connector::new(&options).unwrap().connect().await.unwrap()
    }
}

/// Options for a port of this machine, with little patience.
fn options(port: u16) -> PostgresOptions {
    let url = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    PostgresOptions {
        tls: PostgresTls::Off,
        patience: Duration::from_secs(5),
        ..PostgresOptions::new(url, Arc::new(TestEntropy))
    }
}

impl Bed for ServerBed {
    fn open(&self) -> Pin<Box<dyn Future<Output = ControlDatabase> + Send + '_>> {
        Box::pin(self.gateway())
    }

    fn stored(&self) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send + '_>> {
        Box::pin(async { self.cluster.dump() })
    }
}

suite!(ServerBed::start());
