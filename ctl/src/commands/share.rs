//! `dfsctl share …`.

use super::owners;
use super::rules::{RuleArgs, Set, spelled};
use crate::cli::{Failure, Session};
use crate::credentials;
use clap::{Args, Subcommand, ValueEnum};
use dfs_api::units::{parse_size, show_size};
use dfs_api::{Client, Compression, Durability, ShareConfig, ShareStatus, Squash};

/// Shares.
#[derive(Subcommand)]
pub(crate) enum Share {
    /// Makes one and serves it.
    Create(Box<Create>),
    /// Lists them.
    List,
    /// Shows one.
    Show { name: String },
    /// Changes who may mount one and what they may do there, at once.
    Set(Box<Set>),
    /// Tries one again that could not be opened.
    Open { name: String },
    /// Makes this gateway a standby for a share of another one, in a metadata store and a bucket that both use.
    Adopt(owners::Adopt),
    /// Hands one over: everything is placed, and another gateway may serve it without this one's journal.
    Release { name: String },
    /// Gives up the journal that a dead gateway has of a share, with what only that has, and serves the share here.
    Abandon {
        name: String,
        /// Do it. Without it, only what would be lost is told.
        #[arg(long)]
        yes: bool,
    },
    /// Stops serving one and deletes its names; its packs stay in the cold store.
    Delete {
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum DurabilityArg {
    Relaxed,
    Local,
    Remote,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CompressionArg {
    None,
    Lz4,
    Zstd,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum SquashArg {
    None,
    RootToGuest,
    RootToAdmin,
    AllToGuest,
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

/// Settings of a new share.
#[derive(Args)]
pub(crate) struct Create {
    /// Name; NFS exports it as /NAME.
    name: String,
    /// Metadata store.
    #[arg(long, default_value = "default")]
    metadata: String,
    /// Cold store.
    #[arg(long, visible_alias = "payload", default_value = "default")]
    cold: String,
    /// Address, network (CIDR), host name, netgroup (`@group`) or `*` that may mount it; may be repeated. Nobody may without
    /// one.
    #[arg(long = "client")]
    clients: Vec<String>,
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
    fn config(self) -> Result<ShareConfig, Failure> {
        let size = |flag: &str, text: &str| {
            parse_size(text).map_err(|why| Failure::new(2, format!("{flag}: {why}")))
        };
        let block_size = size("--block-size", &self.block_size)?;
        let plain = ShareConfig::named(&self.name, &self.metadata, &self.cold);
        Ok(ShareConfig {
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
            block_size: u32::try_from(block_size)
                .map_err(|_| Failure::new(2, "--block-size is too large"))?,
            clients: self.clients,
            squash: self.squash.into(),
            anon_uid: self.anon_uid,
            anon_gid: self.anon_gid,
            read_only: self.read_only,
            rules: self.rules.rules()?,
            capacity: size("--capacity", &self.capacity)?,
            root_mode: u16::from_str_radix(&self.root_mode, 8)
                .map_err(|_| Failure::new(2, "--root-mode is an octal number, for instance 755"))?,
            root_uid: self.root_uid,
            root_gid: self.root_gid,
            ..plain
        })
    }
}

impl Share {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = credentials::client(session).await?;
        match self {
            Share::Create(create) => {
                let made: ShareStatus = client.post("/shares", &create.config()?).await?;
                let hint = if made.config.clients.is_empty() {
                    "; nobody may mount it yet (no --client)"
                } else {
                    ""
                };
                let sentence =
                    format!("share '{}' is served as /{}{hint}", made.config.name, made.config.name);
                session.output.done_with(&made, &sentence, &["setting", "value"], details(&made))
            }
            Share::List => {
                let shares: Vec<ShareStatus> = client.get("/shares").await?;
                let rows = shares.iter().map(row).collect();
                session.output.show(
                    &shares,
                    &["name", "state", "durability", "metadata", "cold", "used", "files", "clients"],
                    rows,
                )
            }
            Share::Show { name } => {
                let share: ShareStatus = client.get(&format!("/shares/{}", Client::segment(&name))).await?;
                let rows = details(&share);
                session.output.show(&share, &["setting", "value"], rows)
            }
            Share::Set(set) => {
                let path = format!("/shares/{}", Client::segment(&set.name));
                let before: ShareStatus = client.get(&path).await?;
                let changed: ShareStatus = client.patch(&path, &set.change(&before.config)?).await?;
                let sentence = format!("share '{}' changed; it holds from now on", changed.config.name);
                session.output.done_with(&changed, &sentence, &["setting", "value"], details(&changed))
            }
            Share::Open { name } => {
                let path = format!("/shares/{}/open", Client::segment(&name));
                let opened: ShareStatus = client.post(&path, &()).await?;
                let sentence = format!("share '{name}': {}", opened.state);
                session.output.done(&opened, &sentence)
            }
            Share::Adopt(adopt) => adopt.run(&client, session).await,
            Share::Release { name } => owners::release(&client, session, &name).await,
            Share::Abandon { name, yes } => owners::abandon(&client, session, &name, yes).await,
            Share::Delete { name, yes } => {
                if !yes {
                    return Err(Failure::new(
                        2,
                        format!("this deletes every name in share '{name}'; say --yes if that is meant"),
                    ));
                }
                client.delete(&format!("/shares/{}", Client::segment(&name))).await?;
                session
                    .output
                    .done(&name, &format!("share '{name}' deleted; its packs stay in the cold store"))
            }
        }
    }
}

fn word(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn row(share: &ShareStatus) -> Vec<String> {
    vec![
        share.config.name.clone(),
        share.state.clone(),
        word(share.config.durability),
        share.config.metadata.clone(),
        share.config.cold.clone(),
        show_size(share.used_bytes),
        share.inodes.to_string(),
        share.config.clients.join(","),
    ]
}

fn details(share: &ShareStatus) -> Vec<Vec<String>> {
    let config = &share.config;
    let stranded: Vec<String> = share.stranded.iter().map(owners::stranded).collect();
    let mut shown = settings(share, config);
    if !stranded.is_empty() {
        shown.push(vec!["stranded journals".to_owned(), stranded.join("; ")]);
    }
    shown
}

fn settings(share: &ShareStatus, config: &ShareConfig) -> Vec<Vec<String>> {
    let blocked: Vec<String> = config.rules.blocked_operations.iter().map(spelled).collect();
    let bin = config.rules.recycle.map_or_else(
        || "off".to_owned(),
        |bin| format!("{} days, {} at most", bin.keep_days, show_size(bin.bytes_max)),
    );
    let pairs = [
        ("name", config.name.clone()),
        ("id", share.id.clone()),
        ("state", share.state.clone()),
        ("durability", word(config.durability)),
        ("promise", share.promise.clone()),
        ("metadata store", config.metadata.clone()),
        ("cold store", config.cold.clone()),
        ("epoch", share.epoch.to_string()),
        ("used", show_size(share.used_bytes)),
        ("files", share.inodes.to_string()),
        ("capacity", show_size(config.capacity)),
        ("block size", show_size(u64::from(config.block_size))),
        ("compression", word(config.compression)),
        ("clients", config.clients.join(", ")),
        ("squash", spelled(&config.squash)),
        ("anonymous", format!("{}:{}", config.anon_uid, config.anon_gid)),
        ("read only", config.read_only.to_string()),
        ("blocked", blocked.join(", ")),
        ("acl mode", spelled(&config.rules.acl_mode)),
        ("relatime", config.rules.relatime.to_string()),
        ("quotas", config.rules.quotas.to_string()),
        ("recycle bin", bin),
    ];
    pairs.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}
