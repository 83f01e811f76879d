//! `dfsctl file …`.

use crate::args::ShareArg;
use crate::connection::path;
use crate::failure::Failure;
use crate::session::Session;
use clap::Subcommand;
use dfs_api::units::show_size;
use dfs_api::{CloneFile, ClonedFile};

/// Files of a share, by their paths from its root.
#[derive(Subcommand)]
pub(crate) enum File {
    /// Makes a file that shares another's blocks: at once, whatever the size, and without room in the cold store.
    Clone {
        #[command(flatten)]
        share: ShareArg,
        /// Path of the file.
        from: String,
        /// Path of the clone.
        to: String,
        /// Give a file that is there the bytes; it keeps its owner, mode and ACL.
        #[arg(long)]
        replace: bool,
    },
}

impl File {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            File::Clone { share, from, to, replace } => {
                let at = format!("{}/clone", path(&["shares", &share.share]));
                let request = CloneFile { from: from.clone(), to: to.clone(), replace };
                let cloned = connection.post::<_, ClonedFile>(&at, &request).await?;
                let sentence = format!("'{to}' is a clone of '{from}' ({})", show_size(cloned.bytes));
                session.output.done(&cloned, &sentence)
            }
        }
    }
}
