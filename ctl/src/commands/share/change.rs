//! `dfsctl share set`: changes a share while it is served.

use super::permission::LevelArg;
use super::rules::{OperationArg, SquashArg};
use super::{PAIRS, ShareArg, details, of};
use crate::connection::Connection;
use crate::edit;
use crate::failure::Failure;
use crate::session::Session;
use clap::Args;
use dfs_api::{ChangeShare, Operation, ShareConfig, ShareStatus};
use serde_json::Value;

/// What changes at once, while the share is served; the rest stays.
#[derive(Args)]
pub(crate) struct Change {
    #[command(flatten)]
    share: ShareArg,
    /// Addresses, networks (CIDR), host names, netgroups (`@group`) or `*` that may mount it, in place of all before.
    #[arg(long = "client")]
    clients: Vec<String>,
    /// Nobody may mount it any more.
    #[arg(long, conflicts_with = "clients")]
    no_clients: bool,
    /// Adds to those that may mount it.
    #[arg(long, conflicts_with_all = ["clients", "no_clients"])]
    add_client: Vec<String>,
    /// Takes from those that may mount it.
    #[arg(long, conflicts_with_all = ["clients", "no_clients"])]
    remove_client: Vec<String>,
    /// What users may do who have no permission of their own or by a group.
    #[arg(long, value_enum, value_name = "LEVEL")]
    default_permission: Option<LevelArg>,
    /// Whether the groups of known users come from the gateway.
    #[arg(long)]
    manage_gids: Option<bool>,
    /// For people.
    #[arg(long, visible_alias = "description")]
    comment: Option<String>,
    /// Whom a client's users are taken for.
    #[arg(long, value_enum)]
    squash: Option<SquashArg>,
    /// Anonymous user id.
    #[arg(long)]
    anon_uid: Option<u32>,
    /// Anonymous group id.
    #[arg(long)]
    anon_gid: Option<u32>,
    /// Whether every change is refused.
    #[arg(long)]
    read_only: Option<bool>,
    /// Refuses an operation, whoever asks; may be repeated.
    #[arg(long, value_enum)]
    block: Vec<OperationArg>,
    /// Allows a blocked operation again; may be repeated.
    #[arg(long, value_enum)]
    unblock: Vec<OperationArg>,
    /// Whether reading moves access times.
    #[arg(long)]
    relatime: Option<bool>,
    /// Do it although it cuts clients off.
    #[arg(long)]
    force: bool,
}

/// The fields that the editor shows: those of the share, and those of its rules.
const FIELDS: [&str; 8] = [
    "clients",
    "default_permission",
    "manage_gids",
    "comment",
    "squash",
    "anon_uid",
    "anon_gid",
    "read_only",
];
const RULES: [&str; 3] = ["blocked_operations", "relatime", "recycle"];

impl Change {
    pub async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        let name = self.share.share.clone();
        let path = dfs_api::Client::forced(&of(&name), self.force);
        let before = connection.get::<ShareStatus>(&of(&name)).await?;
        let told = self.says_something();
        let changed = if told {
            let change = self.change(&before.config)?;
            connection.patch::<_, ShareStatus>(&path, &change).await?
        } else {
            let mut fields = edit::fields(before.json(), &FIELDS);
            let rules = before.json().get("rules").cloned().unwrap_or_default();
            fields.extend(edit::fields(&rules, &RULES));
            // Rules that an older gateway does not tell are not there to be changed.
            fields.retain(|name, value| *value != Value::Null || name == "recycle");
            let apply = async |change: edit::Fields| connection.patch::<_, ShareStatus>(&path, &change).await;
            match edit::edit(&session.output, &format!("Share {name}"), &fields, apply).await? {
                Some(changed) => changed,
                None => return session.output.done(&before, "nothing was changed"),
            }
        };
        let sentence = format!("share '{}' changed; it holds from now on", changed.config.name);
        session.output.done_with(&changed, &sentence, &PAIRS, details(&changed))
    }

    fn says_something(&self) -> bool {
        let lists = [&self.clients, &self.add_client, &self.remove_client];
        let words = [&self.block, &self.unblock];
        self.no_clients
            || lists.iter().any(|list| !list.is_empty())
            || words.iter().any(|list| !list.is_empty())
            || self.default_permission.is_some()
            || self.comment.is_some()
            || self.squash.is_some()
            || [self.manage_gids, self.read_only, self.relatime].iter().any(Option::is_some)
            || [self.anon_uid, self.anon_gid].iter().any(Option::is_some)
    }

    /// The request, from the settings as they are. *Errors:* usage, where something is to go that is not there.
    fn change(self, now: &ShareConfig) -> Result<ChangeShare, Failure> {
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
            default_permission: self.default_permission.map(Into::into),
            manage_gids: self.manage_gids,
            comment: self.comment,
            recycle: None,
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
                Failure::usage(format!("--remove-client: '{gone}' is not among the clients ({known})"))
            })?;
            clients.remove(place);
        }
        clients.extend(self.add_client.iter().filter(|new| !now.clients.contains(new)).cloned());
        Ok(Some(clients))
    }
}
