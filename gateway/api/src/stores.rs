//! Metadata stores and cold stores: named, referred to by shares.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kind of a metadata store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetadataKind {
    /// Names live in memory: for tests and shares that may vanish.
    Memory,
    /// Names live in the data folder.
    Embedded,
    /// Names live in the Postgres database of the gateway's configuration, which gateways may share.
    Postgres,
}

/// A metadata store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct MetadataStoreConfig {
    pub name: String,
    pub kind: MetadataKind,
}

/// Where cold packs go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum ColdBackend {
    /// Memory of the gateway: for tests, gone with the process.
    Memory,
    /// A directory, for instance on a mounted file system.
    Dir { path: String },
    /// A bucket that speaks S3.
    S3(S3Config),
}

/// An S3 bucket.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// Name of the bucket; it must exist.
    pub bucket: String,
    /// Key prefix of everything that the gateway writes.
    #[serde(default)]
    pub prefix: String,
    /// URL of a store that is not AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region; default from the environment, else us-east-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Bucket in the path instead of the host name. Default: yes when an endpoint is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Access key; without one the usual credential chain is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// Secret key. Never told back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
}

impl std::fmt::Debug for S3Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secret = self.secret_key.as_ref().map(|_| "***");
        f.debug_struct("S3Config")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key", &self.access_key)
            .field("secret_key", &secret)
            .finish_non_exhaustive()
    }
}

/// A cold store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct ColdStoreConfig {
    pub name: String,
    #[serde(flatten)]
    pub backend: ColdBackend,
}

impl ColdStoreConfig {
    /// The same without secrets, as replies show it.
    #[must_use]
    pub fn redacted(&self) -> ColdStoreConfig {
        let mut shown = self.clone();
        if let ColdBackend::S3(s3) = &mut shown.backend {
            s3.secret_key = None;
        }
        shown
    }
}

/// A store with what the gateway sees of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct ColdStoreStatus {
    #[serde(flatten)]
    pub config: ColdStoreConfig,
    /// `up`, or what is wrong.
    pub health: String,
    /// Shares that refer to it.
    pub shares: Vec<String>,
}

/// A metadata store with what the gateway sees of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct MetadataStoreStatus {
    #[serde(flatten)]
    pub config: MetadataStoreConfig,
    /// `up`, or what is wrong.
    pub health: String,
    /// Shares that refer to it.
    pub shares: Vec<String>,
}

/// Changes how a cold store of kind `s3` logs in; what is left out stays as it is. Everything else needs a new store.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeColdStore {
    /// Access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// Secret key. Never told back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
    /// Region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// What came of writing, reading and deleting an object in a cold store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreCheck {
    /// Whether it can be used.
    pub usable: bool,
    /// What was found, in words.
    pub detail: String,
    /// How long it took.
    pub milliseconds: u64,
}
