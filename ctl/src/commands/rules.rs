//! The rules of a share: at its creation, and `dfsctl share set`, which changes them while it is served.

use super::share::SquashArg;
use crate::cli::Failure;
use clap::{ArgGroup, Args, ValueEnum};
use dfs_api::units::parse_size;
use dfs_api::{AclMode, ChangeShare, Operation, Recycle, ShareConfig, ShareRules};

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum OperationArg {
    Read,
    Write,
    Create,
    Mkdir,
    Symlink,
    Mknod,
    Link,
    Remove,
    Rename,
    SetAttr,
    SetAcl,
    SetXattr,
}

impl From<OperationArg> for Operation {
    fn from(word: OperationArg) -> Operation {
        match word {
            OperationArg::Read => Operation::Read,
            OperationArg::Write => Operation::Write,
            OperationArg::Create => Operation::Create,
            OperationArg::Mkdir => Operation::Mkdir,
            OperationArg::Symlink => Operation::Symlink,
            OperationArg::Mknod => Operation::Mknod,
            OperationArg::Link => Operation::Link,
            OperationArg::Remove => Operation::Remove,
            OperationArg::Rename => Operation::Rename,
            OperationArg::SetAttr => Operation::SetAttr,
            OperationArg::SetAcl => Operation::SetAcl,
            OperationArg::SetXattr => Operation::SetXattr,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum AclModeArg {
    Masked,
    Passthrough,
    Discard,
    Refuse,
}

/// How long a recycle bin keeps what was removed.
#[derive(Args)]
pub(crate) struct BinArgs {
    /// Days that removed files stay in the recycle bin; without it removed files are gone at once.
    #[arg(long = "recycle-days")]
    days: Option<u32>,
    /// Size beyond which the oldest files leave the bin.
    #[arg(long = "recycle-max", requires = "days")]
    max: Option<String>,
}

/// Size of a recycle bin that is given none: as good as unlimited, quotas aside.
const BIN_BYTES: u64 = 1 << 50;

/// A bin of so many days and bytes.
pub(super) fn bin(days: u32, max: Option<&str>) -> Result<Recycle, Failure> {
    let bytes_max = match max {
        Some(text) => parse_size(text).map_err(|why| Failure::new(2, why))?,
        None => BIN_BYTES,
    };
    Ok(Recycle { keep_days: days, bytes_max })
}

/// Rules of a new share.
#[derive(Args)]
pub(crate) struct RuleArgs {
    /// What chmod does to a file with an ACL.
    #[arg(long, value_enum, default_value = "masked")]
    acl_mode: AclModeArg,
    /// Operation that is refused, whoever asks; may be repeated.
    #[arg(long = "block", value_enum)]
    blocked: Vec<OperationArg>,
    /// Reading moves no access times.
    #[arg(long)]
    no_relatime: bool,
    /// Keep quotas; they are set with `dfsctl quota set`.
    #[arg(long)]
    quotas: bool,
    /// A listing of the root shows `.snapshots`; without it the folder is only found by its name.
    #[arg(long)]
    list_snapshots: bool,
    #[command(flatten)]
    bin: BinArgs,
}

impl RuleArgs {
    pub fn rules(self) -> Result<ShareRules, Failure> {
        Ok(ShareRules {
            acl_mode: match self.acl_mode {
                AclModeArg::Masked => AclMode::Masked,
                AclModeArg::Passthrough => AclMode::Passthrough,
                AclModeArg::Discard => AclMode::Discard,
                AclModeArg::Refuse => AclMode::Refuse,
            },
            blocked_operations: self.blocked.into_iter().map(Operation::from).collect(),
            relatime: !self.no_relatime,
            quotas: self.quotas,
            snapshots_listed: self.list_snapshots,
            recycle: self.bin.days.map(|days| bin(days, self.bin.max.as_deref())).transpose()?,
        })
    }
}

/// What changes at once, while the share is served; the rest stays.
#[derive(Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct Set {
    /// The share.
    pub name: String,
    /// Addresses, networks (CIDR), host names, netgroups (`@group`) or `*` that may mount it, in place of all before.
    #[arg(long = "client", group = "change")]
    clients: Vec<String>,
    /// Nobody may mount it any more.
    #[arg(long, group = "change", conflicts_with = "clients")]
    no_clients: bool,
    /// Adds to those that may mount it.
    #[arg(long, group = "change", conflicts_with_all = ["clients", "no_clients"])]
    add_client: Vec<String>,
    /// Takes from those that may mount it.
    #[arg(long, group = "change", conflicts_with_all = ["clients", "no_clients"])]
    remove_client: Vec<String>,
    /// Whom a client's users are taken for.
    #[arg(long, value_enum, group = "change")]
    squash: Option<SquashArg>,
    /// Anonymous user id.
    #[arg(long, group = "change")]
    anon_uid: Option<u32>,
    /// Anonymous group id.
    #[arg(long, group = "change")]
    anon_gid: Option<u32>,
    /// Whether every change is refused.
    #[arg(long, group = "change")]
    read_only: Option<bool>,
    /// Refuses an operation, whoever asks; may be repeated.
    #[arg(long, value_enum, group = "change")]
    block: Vec<OperationArg>,
    /// Allows a blocked operation again; may be repeated.
    #[arg(long, value_enum, group = "change")]
    unblock: Vec<OperationArg>,
    /// Whether reading moves access times.
    #[arg(long, group = "change")]
    relatime: Option<bool>,
}

impl Set {
    /// The request, from the settings as they are. *Errors:* usage, where something is to go that is not there.
    pub fn change(self, now: &ShareConfig) -> Result<ChangeShare, Failure> {
        let clients = self.changed_clients(now)?;
        let mut blocked = now.rules.blocked_operations.clone();
        for word in self.block.into_iter().map(Operation::from) {
            if !blocked.contains(&word) {
                blocked.push(word);
            }
        }
        let unblocked: Vec<Operation> = self.unblock.into_iter().map(Operation::from).collect();
        blocked.retain(|word| !unblocked.contains(word));
        let blocks = blocked != now.rules.blocked_operations;
        Ok(ChangeShare {
            clients,
            squash: self.squash.map(Into::into),
            anon_uid: self.anon_uid,
            anon_gid: self.anon_gid,
            read_only: self.read_only,
            blocked_operations: blocks.then_some(blocked),
            relatime: self.relatime,
            ..ChangeShare::default()
        })
    }

    fn changed_clients(&self, now: &ShareConfig) -> Result<Option<Vec<String>>, Failure> {
        if self.no_clients {
            return Ok(Some(Vec::new()));
        }
        if !self.clients.is_empty() {
            return Ok(Some(self.clients.clone()));
        }
        if self.add_client.is_empty() && self.remove_client.is_empty() {
            return Ok(None);
        }
        let mut clients = now.clients.clone();
        for gone in &self.remove_client {
            let place = clients.iter().position(|known| known == gone).ok_or_else(|| {
                let known = now.clients.join(", ");
                Failure::new(2, format!("--remove-client: '{gone}' is not among the clients ({known})"))
            })?;
            clients.remove(place);
        }
        clients.extend(self.add_client.iter().filter(|new| !now.clients.contains(new)).cloned());
        Ok(Some(clients))
    }
}

/// Words of a rule as REST spells them.
pub(super) fn spelled<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}
