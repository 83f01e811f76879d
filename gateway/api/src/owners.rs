//! Shares that several gateways may serve, one at a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks a gateway to be a standby for a share that its shared metadata store knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdoptShare {
    /// This gateway's name of the metadata store.
    pub metadata: String,
    /// This gateway's name of the cold store that the share's packs are in.
    pub cold: String,
}

/// Asks what abandoning a journal on another gateway would lose, or does it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AbandonJournal {
    /// Do it.
    #[serde(default)]
    pub confirm: bool,
}

/// A journal that another gateway has: what only it holds is lost once it is abandoned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AbandonedJournal {
    /// The gateway whose data folder it is in.
    pub journal_of: String,
    /// Bytes that only it has, as of that gateway's last renewal of its lease.
    pub bytes: u64,
    /// Of how many files.
    pub files: u64,
    /// Whether it was abandoned now.
    pub abandoned: bool,
}

/// A journal that a share was taken without: it stays in its data folder, and what it holds is dropped when its gateway serves the
/// share again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StrandedJournal {
    /// The gateway whose data folder has it.
    pub gateway: String,
    /// Bytes that only it had, as of that gateway's last renewal of its lease.
    pub bytes: u64,
    /// Of how many files.
    pub files: u64,
}
