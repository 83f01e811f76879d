//! A share's rules as its engine and its metadata store take them.

use dfs_api::{ShareConfig, ShareRules};
use dfs_engine::{EngineSettings, LiveRules, RecycleRules};
use dfs_model::AclMode;
use dfs_store::{MetadataStore, ShareRecord, StoreError};
use dfs_vfs::{Operation, OperationSet};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Puts the rules into the engine's settings.
pub(crate) fn apply(config: &ShareConfig, settings: &mut EngineSettings) {
    let LiveRules { read_only, blocked, relatime, recycle } = live(config);
    (settings.read_only, settings.blocked) = (read_only, blocked);
    (settings.relatime, settings.recycle) = (relatime, recycle);
    settings.quotas = config.rules.quotas;
    settings.snapshots_listed = config.rules.snapshots_listed;
}

/// The rules that may change while the share is served.
pub(crate) fn live(config: &ShareConfig) -> LiveRules {
    let rules = &config.rules;
    let bin = |bin: dfs_api::Recycle| RecycleRules {
        keep: DAY.saturating_mul(bin.keep_days),
        bytes_max: bin.bytes_max,
    };
    LiveRules {
        read_only: config.read_only,
        blocked: rules.blocked_operations.iter().map(|word| operation(*word)).collect::<OperationSet>(),
        relatime: rules.relatime,
        recycle: rules.recycle.map(bin),
    }
}

/// Keeps with the share what its transactions need to know, where it is not there yet.
pub(crate) async fn store(
    rules: &ShareRules,
    record: &ShareRecord,
    store: &dyn MetadataStore,
) -> Result<(), StoreError> {
    let mode = acl_mode(rules);
    if AclMode::of_settings(&record.settings) == mode {
        return Ok(());
    }
    let mut settings = record.settings.clone();
    settings.retain(|(name, _)| name != AclMode::SETTING);
    settings.push(acl_setting(rules));
    store.set_share_settings(record.share, settings).await
}

/// The setting that transactions look at.
pub(crate) fn acl_setting(rules: &ShareRules) -> (String, String) {
    (AclMode::SETTING.to_owned(), acl_mode(rules).to_string())
}

fn acl_mode(rules: &ShareRules) -> AclMode {
    match rules.acl_mode {
        dfs_api::AclMode::Masked => AclMode::Masked,
        dfs_api::AclMode::Passthrough => AclMode::Passthrough,
        dfs_api::AclMode::Discard => AclMode::Discard,
        dfs_api::AclMode::Refuse => AclMode::Refuse,
    }
}

pub(super) fn operation(word: dfs_api::Operation) -> Operation {
    match word {
        dfs_api::Operation::Read => Operation::Read,
        dfs_api::Operation::Write => Operation::Write,
        dfs_api::Operation::Create => Operation::Create,
        dfs_api::Operation::Mkdir => Operation::Mkdir,
        dfs_api::Operation::Symlink => Operation::Symlink,
        dfs_api::Operation::Mknod => Operation::Mknod,
        dfs_api::Operation::Link => Operation::Link,
        dfs_api::Operation::Remove => Operation::Remove,
        dfs_api::Operation::Rename => Operation::Rename,
        dfs_api::Operation::SetAttr => Operation::SetAttr,
        dfs_api::Operation::SetAcl => Operation::SetAcl,
        dfs_api::Operation::SetXattr => Operation::SetXattr,
    }
}
