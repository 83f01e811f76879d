//! `dfsctl share create`.

use super::permission::LevelArg;
use super::rules::{RuleArgs, SquashArg};
use super::{PAIRS, details};
use crate::args::NewShare;
use crate::completion;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::session::Session;
use clap::{ArgAction, Args, ValueEnum};
use dfs_api::units::parse_size;
use dfs_api::{Compression, Durability, ShareConfig, ShareStatus};

/// What acknowledgements promise.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// They come at once; a power cut may lose the last 100 ms.
    Relaxed,
    /// What is committed survives a power cut.
    Local,
    /// What is committed survives the loss of the machine; needs a Postgres metadata store.
    Remote,
}

/// How blocks are compressed.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CompressionArg {
    /// Not at all.
    None,
    /// Fast.
    Lz4,
    /// Smaller, slower.
    Zstd,
}

/// Settings of a new share.
#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    name: NewShare,
    /// Metadata store.
    #[arg(long, default_value = "default", add = completion::metadata_stores())]
    metadata: String,
    /// Cold store.
    #[arg(long, visible_alias = "payload", default_value = "default", add = completion::cold_stores())]
    cold: String,
    /// Address, network (CIDR), host name, netgroup (`@group`) or `*` that may mount it; may be repeated. Nobody may without
    /// one.
    #[arg(long = "client")]
    clients: Vec<String>,
    /// What users may do who have no permission of their own or by a group.
    #[arg(long, value_enum, default_value = "read-write", value_name = "LEVEL")]
    default_permission: LevelArg,
    /// Whether the groups of known users come from the gateway; clients tell at most 16.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    manage_gids: bool,
    /// For people.
    #[arg(long, visible_alias = "description", default_value = "", hide_default_value = true)]
    comment: String,
    /// Do not serve it yet.
    #[arg(long)]
    disabled: bool,
    /// What acknowledgements promise.
    #[arg(long, value_enum, default_value = "local")]
    durability: DurabilityArg,
    /// How blocks are compressed.
    #[arg(long, value_enum, default_value = "lz4")]
    compression: CompressionArg,
    /// Block size, a power of two from 64KiB to 1MiB.
    #[arg(long, default_value = "256KiB")]
    block_size: String,
    /// Whom a client's users are taken for.
    #[arg(long, value_enum, default_value = "root_to_guest")]
    squash: SquashArg,
    /// Anonymous user id.
    #[arg(long, default_value_t = 65534)]
    anon_uid: u32,
    /// Anonymous group id.
    #[arg(long, default_value_t = 65534)]
    anon_gid: u32,
    /// Refuse every change.
    #[arg(long)]
    read_only: bool,
    /// Size that clients see.
    #[arg(long, default_value = "1PiB")]
    capacity: String,
    /// Mode of the root directory, octal.
    #[arg(long, default_value = "755")]
    root_mode: String,
    /// Owner of the root directory.
    #[arg(long, default_value_t = 0)]
    root_uid: u32,
    /// Group of the root directory.
    #[arg(long, default_value_t = 0)]
    root_gid: u32,
    #[command(flatten)]
    rules: RuleArgs,
}

impl Create {
    pub async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        let made = connection.post::<_, ShareStatus>("/shares", &self.config()?).await?;
        let name = &made.config.name;
        let hint =
            if made.config.clients.is_empty() { "; nobody may mount it yet (no --client)" } else { "" };
        let sentence = match made.config.enabled {
            true => format!("share '{name}' is served as /{name}{hint}"),
            false => format!("share '{name}' is made and disabled{hint}"),
        };
        session.output.done_with(&made, &sentence, &PAIRS, details(&made))
    }

    fn config(self) -> Result<ShareConfig, Failure> {
        let size =
            |flag: &str, text: &str| parse_size(text).map_err(|why| Failure::usage(format!("{flag}: {why}")));
        let block_size = size("--block-size", &self.block_size)?;
        Ok(ShareConfig {
            name: self.name.take(),
            metadata: self.metadata,
            cold: self.cold,
            durability: match self.durability {
                DurabilityArg::Relaxed => Durability::Relaxed,
                DurabilityArg::Local => Durability::Local,
                DurabilityArg::Remote => Durability::Remote,
            },
            compression: match self.compression {
                CompressionArg::None => Compression::None,
                CompressionArg::Lz4 => Compression::Lz4,
                CompressionArg::Zstd => Compression::Zstd,
            },
            block_size: u32::try_from(block_size).map_err(|_| Failure::usage("--block-size is too large"))?,
            clients: self.clients,
            squash: self.squash.into(),
            anon_uid: self.anon_uid,
            anon_gid: self.anon_gid,
            read_only: self.read_only,
            default_permission: self.default_permission.into(),
            manage_gids: self.manage_gids,
            enabled: !self.disabled,
            comment: self.comment,
            rules: self.rules.rules()?,
            capacity: size("--capacity", &self.capacity)?,
            root_mode: u16::from_str_radix(&self.root_mode, 8)
                .map_err(|_| Failure::usage("--root-mode is an octal number, for instance 755"))?,
            root_uid: self.root_uid,
            root_gid: self.root_gid,
        })
    }
}
