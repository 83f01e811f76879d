//! The rules of a share as the command line spells them.

use crate::failure::Failure;
use clap::{Args, ValueEnum};
use dfs_api::units::parse_size;
use dfs_api::{AclMode, Operation, Recycle, ShareRules, Squash};

/// Whom a client's users are taken for.
#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum SquashArg {
    /// Everybody is who he says.
    None,
    /// The superuser becomes the anonymous user.
    RootToGuest,
    /// The superuser stays the superuser.
    RootToAdmin,
    /// Everybody becomes the anonymous user.
    AllToGuest,
    /// Everybody becomes the superuser.
    AllToAdmin,
}

impl From<SquashArg> for Squash {
    fn from(mode: SquashArg) -> Squash {
        match mode {
            SquashArg::None => Squash::None,
            SquashArg::RootToGuest => Squash::RootToGuest,
            SquashArg::RootToAdmin => Squash::RootToAdmin,
            SquashArg::AllToGuest => Squash::AllToGuest,
            SquashArg::AllToAdmin => Squash::AllToAdmin,
        }
    }
}

/// An operation that can be blocked.
#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum OperationArg {
    /// Reading files.
    Read,
    /// Writing files.
    Write,
    /// Making files.
    Create,
    /// Making directories.
    Mkdir,
    /// Making symbolic links.
    Symlink,
    /// Making devices, pipes and sockets.
    Mknod,
    /// Giving a file another name.
    Link,
    /// Removing files and directories.
    Remove,
    /// Renaming.
    Rename,
    /// Changing modes, owners, times and sizes.
    SetAttr,
    /// Changing ACLs.
    SetAcl,
    /// Changing extended attributes.
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

/// What a change of mode does to an ACL.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum AclModeArg {
    /// Owner, group and everybody get the mode's bits; what others are allowed is cut down to the group's.
    Masked,
    /// Owner, group and everybody get the mode's bits; what others are allowed stays.
    Passthrough,
    /// The ACL goes.
    Discard,
    /// The mode cannot be changed.
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
pub(crate) fn bin(days: u32, max: Option<&str>) -> Result<Recycle, Failure> {
    let bytes_max = match max {
        Some(text) => parse_size(text).map_err(Failure::usage)?,
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
