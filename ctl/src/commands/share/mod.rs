//! `dfsctl share …`.

mod change;
mod create;
mod mount;
mod owners;
mod permission;
pub(crate) mod rules;

use crate::args::{ShareArg, share_name};
use crate::ask::confirm;
use crate::completion;
use crate::connection::{Connection, path};
use crate::failure::Failure;
use crate::output::{PAIRS, text_or_dash, word};
use crate::session::Session;
use crate::time::date;
use clap::Subcommand;
use dfs_api::units::show_size;
use dfs_api::{Client, Mount, ShareConfig, ShareStatus};
use serde_json::json;

/// Shares.
#[derive(Subcommand)]
pub(crate) enum Share {
    /// Makes one and serves it.
    Create(Box<create::Create>),
    /// Lists them.
    List,
    /// Shows one.
    #[command(visible_alias = "get")]
    Show(ShareArg),
    /// Changes who may mount one and what they may do there, at once; without an option, in your editor.
    #[command(visible_aliases = ["edit", "update"])]
    Set(Box<change::Change>),
    /// Serves one again that was disabled.
    Enable(ShareArg),
    /// Stops serving one; its names and files stay.
    Disable {
        #[command(flatten)]
        share: ShareArg,
        /// Do it although clients use it.
        #[arg(long)]
        force: bool,
    },
    /// Tries one again that could not be opened.
    Open(ShareArg),
    /// Permissions of users and groups.
    #[command(subcommand, visible_alias = "permissions")]
    Permission(permission::Permission),
    /// Mounts one on this machine, as root.
    Mount(mount::Mount),
    /// Ends a mount on this machine, as root.
    #[command(visible_alias = "umount")]
    Unmount(mount::Unmount),
    /// Lists which clients have mounted one, or any.
    #[command(visible_alias = "mounts")]
    ListMounts {
        /// The share; all without one.
        #[arg(value_parser = share_name, add = completion::shares())]
        share: Option<String>,
    },
    /// Makes this gateway a standby for a share of another one, in a metadata store and a bucket that both use.
    Adopt(owners::Adopt),
    /// Hands one over: everything is placed, and another gateway may serve it without this one's journal.
    Release(ShareArg),
    /// Gives up the journal that a dead gateway has of a share, with what only that has, and serves the share here.
    Abandon {
        #[command(flatten)]
        share: ShareArg,
        /// Do it. Without it, only what would be lost is told.
        #[arg(long)]
        yes: bool,
    },
    /// Stops serving one and deletes its names; its packs stay in the cold store.
    #[command(visible_alias = "remove")]
    Delete {
        #[command(flatten)]
        share: ShareArg,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// Do not ask, and do it although clients use it.
        #[arg(long)]
        force: bool,
    },
}

impl Share {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        // Mounting needs no login where the port is known.
        let command = match self {
            Share::Mount(mount) => return mount.run(session).await,
            Share::Unmount(unmount) => return unmount.run(session),
            command => command,
        };
        let connection = session.connect()?;
        match command {
            Share::Create(create) => create.run(&connection, session).await,
            Share::List => {
                let shares = connection.list::<ShareStatus>("/shares").await?;
                session.output.show(&shares, &HEADER, shares.iter().map(row).collect())
            }
            Share::Show(ShareArg { share }) => {
                let share = connection.get::<ShareStatus>(&of(&share)).await?;
                session.output.show(&share, &PAIRS, details(&share))
            }
            Share::Set(change) => change.run(&connection, session).await,
            Share::Enable(ShareArg { share }) => act(&connection, session, &share, "enable", false).await,
            Share::Disable { share, force } => {
                act(&connection, session, &share.share, "disable", force).await
            }
            Share::Open(ShareArg { share }) => act(&connection, session, &share, "open", false).await,
            Share::Permission(permission) => permission.run(&connection, session).await,
            Share::ListMounts { share } => mounts(&connection, session, share.as_deref()).await,
            Share::Adopt(adopt) => adopt.run(&connection, session).await,
            Share::Release(ShareArg { share }) => owners::release(&connection, session, &share).await,
            Share::Abandon { share, yes } => owners::abandon(&connection, session, &share.share, yes).await,
            Share::Delete { share, yes, force } => {
                delete(&connection, session, &share.share, yes, force).await
            }
            Share::Mount(_) | Share::Unmount(_) => Ok(()),
        }
    }
}

/// Path of a share.
pub(crate) fn of(share: &str) -> String {
    path(&["shares", share])
}

async fn act(
    connection: &Connection,
    session: &Session,
    share: &str,
    action: &str,
    force: bool,
) -> Result<(), Failure> {
    let path = Client::forced(&format!("{}/{action}", of(share)), force);
    let share = connection.post::<_, ShareStatus>(&path, &json!({})).await?;
    session.output.done(&share, &format!("share '{}': {}", share.config.name, share.state))
}

async fn delete(
    connection: &Connection,
    session: &Session,
    share: &str,
    yes: bool,
    force: bool,
) -> Result<(), Failure> {
    confirm(yes || force, &format!("deletes every name in share '{share}'"))?;
    connection.delete(&Client::forced(&of(share), force)).await?;
    session.output.done(&share, &format!("share '{share}' deleted; its packs stay in the cold store"))
}

async fn mounts(connection: &Connection, session: &Session, share: Option<&str>) -> Result<(), Failure> {
    let path = share.map_or_else(|| "/mounts".to_owned(), |share| format!("{}/mounts", of(share)));
    let mounts = connection.list::<Mount>(&path).await?;
    let row = |mount: &Mount| {
        vec![mount.client.clone(), mount.share.clone(), mount.protocol.clone(), date(mount.mounted_at)]
    };
    let header = ["client", "share", "protocol", "since"];
    session.output.show(&mounts, &header, mounts.iter().map(row).collect())
}

const HEADER: [&str; 9] =
    ["name", "state", "durability", "metadata", "cold", "used", "files", "others may", "clients"];

fn row(share: &ShareStatus) -> Vec<String> {
    vec![
        share.config.name.clone(),
        share.state.clone(),
        word(&share.config.durability),
        share.config.metadata.clone(),
        share.config.cold.clone(),
        show_size(share.used_bytes),
        share.inodes.to_string(),
        word(&share.config.default_permission),
        text_or_dash(&share.config.clients.join(",")),
    ]
}

fn details(share: &ShareStatus) -> Vec<Vec<String>> {
    let stranded: Vec<String> = share.stranded.iter().map(owners::stranded).collect();
    let mut shown = settings(share, &share.config);
    if !stranded.is_empty() {
        shown.push(vec!["stranded journals".to_owned(), stranded.join("; ")]);
    }
    shown
}

fn settings(share: &ShareStatus, config: &ShareConfig) -> Vec<Vec<String>> {
    let blocked: Vec<String> = config.rules.blocked_operations.iter().map(word).collect();
    let bin = config.rules.recycle.map_or_else(
        || "off".to_owned(),
        |bin| format!("{} days, {} at most", bin.keep_days, show_size(bin.bytes_max)),
    );
    let groups = if config.manage_gids { "of known users from the gateway" } else { "from clients" };
    crate::output::pairs([
        ("name", config.name.clone()),
        ("comment", text_or_dash(&config.comment)),
        ("id", share.id.clone()),
        ("state", share.state.clone()),
        ("enabled", config.enabled.to_string()),
        ("durability", word(&config.durability)),
        ("promise", share.promise.clone()),
        ("metadata store", config.metadata.clone()),
        ("cold store", config.cold.clone()),
        ("epoch", share.epoch.to_string()),
        ("used", show_size(share.used_bytes)),
        ("files", share.inodes.to_string()),
        ("capacity", show_size(config.capacity)),
        ("block size", show_size(u64::from(config.block_size))),
        ("compression", word(&config.compression)),
        ("clients", text_or_dash(&config.clients.join(", "))),
        ("default permission", word(&config.default_permission)),
        ("groups", groups.to_owned()),
        ("squash", word(&config.squash)),
        ("anonymous", format!("{}:{}", config.anon_uid, config.anon_gid)),
        ("read only", config.read_only.to_string()),
        ("blocked", text_or_dash(&blocked.join(", "))),
        ("acl mode", word(&config.rules.acl_mode)),
        ("relatime", config.rules.relatime.to_string()),
        ("quotas", config.rules.quotas.to_string()),
        ("recycle bin", bin),
    ])
}
