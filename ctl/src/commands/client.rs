//! `dfsctl client …`.

use crate::ask::Sure;
use crate::completion;
use crate::connection::path;
use crate::failure::Failure;
use crate::output::text_or_dash;
use crate::session::Session;
use crate::time::date;
use clap::Subcommand;
use dfs_api::ClientStatus;
use dfs_api::units::show_size;

/// Clients that are connected now.
#[derive(Subcommand)]
pub(crate) enum ClientCommand {
    /// Lists them.
    List,
    /// Cuts one off. It may connect again, unless a share's rules say otherwise.
    #[command(visible_alias = "disconnect")]
    Evict {
        /// Its id, as `list` shows it.
        #[arg(add = completion::clients())]
        id: String,
        #[command(flatten)]
        sure: Sure,
    },
}

impl ClientCommand {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            ClientCommand::List => {
                let clients = connection.list::<ClientStatus>("/clients").await?;
                session.output.show(&clients, &HEADER, clients.iter().map(row).collect())
            }
            ClientCommand::Evict { id, sure } => {
                sure.confirm(&format!("cuts client '{id}' off"))?;
                connection.delete(&path(&["clients", &id])).await?;
                session.output.done(&id, &format!("client '{id}' is cut off; it may connect again"))
            }
        }
    }
}

const HEADER: [&str; 9] =
    ["id", "protocol", "address", "since", "requests", "received", "sent", "shares", "user ids"];

fn row(client: &ClientStatus) -> Vec<String> {
    let ids: Vec<String> = client.user_ids.iter().map(u32::to_string).collect();
    vec![
        client.id.clone(),
        client.protocol.clone(),
        client.address.clone(),
        date(client.connected_at),
        client.requests.to_string(),
        show_size(client.received_bytes),
        show_size(client.sent_bytes),
        text_or_dash(&client.shares.join(",")),
        text_or_dash(&ids.join(",")),
    ]
}
