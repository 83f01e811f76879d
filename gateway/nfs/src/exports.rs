//! Which shares NFS clients see, and who may use them.

use arc_swap::ArcSwap;
use dfs_auth::{Admission, ClientList};
use dfs_model::ShareId;
use dfs_net::ReplyGate;
use dfs_vfs::{Standing, Vfs};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// One share as NFS exports it.
#[derive(Clone)]
pub struct ShareExport {
    /// The share.
    pub id: ShareId,
    /// Its name: mounted as `/name`.
    pub name: String,
    /// What it is served by.
    pub vfs: Arc<dyn Vfs>,
    /// Who may use it.
    pub clients: ClientList,
    /// Whom its callers are taken for, and what they may do at most.
    pub admission: Admission,
    /// Whether only clients with a port below 1024 are served. Keeps out users of a client machine, not its owner.
    pub secure: bool,
    /// The file system id in attributes: a constant of the share.
    pub fsid: u64,
}

impl ShareExport {
    /// Whether a client may use the share at all.
    #[must_use]
    pub fn admits(&self, client: SocketAddr) -> bool {
        (!self.secure || client.port() < 1024) && self.clients.allows(client.ip())
    }
}

/// Replies about a share leave while this gateway owns it.
impl ReplyGate for ShareExport {
    fn is_open(&self) -> bool {
        self.vfs.standing() == Standing::Valid
    }
}

/// A share that is configured and not open now: who mounts it is told so, who has it mounted is told to ask again.
#[derive(Clone, Debug)]
pub struct ShareDown {
    /// The share, where that is known.
    pub id: Option<ShareId>,
    /// Its name.
    pub name: String,
}

/// The directory of exports. Asked at every request, so that changes count at once.
pub trait Exports: Send + Sync + 'static {
    /// The export of a share.
    fn by_id(&self, id: ShareId) -> Option<Arc<ShareExport>>;
    /// The export of a name.
    fn by_name(&self, name: &[u8]) -> Option<Arc<ShareExport>>;
    /// Whether a share that is not exported is only down.
    fn is_down(&self, id: ShareId) -> bool;
    /// The same by name.
    fn is_down_by_name(&self, name: &[u8]) -> bool;
    /// All exports, in the order of their names.
    fn list(&self) -> Vec<Arc<ShareExport>>;
}

#[derive(Default)]
struct Tables {
    by_id: HashMap<ShareId, Arc<ShareExport>>,
    by_name: HashMap<Vec<u8>, Arc<ShareExport>>,
    down: Vec<ShareDown>,
}

/// An [`Exports`] that is replaced as a whole; reading it takes no lock.
#[derive(Default)]
pub struct ExportTable(ArcSwap<Tables>);

impl ExportTable {
    /// Replaces all exports, and what is down. Of two with one name or id the later one counts.
    pub fn set(&self, exports: Vec<ShareExport>, down: Vec<ShareDown>) {
        let mut tables = Tables { down, ..Tables::default() };
        for export in exports {
            let export = Arc::new(export);
            tables.by_id.insert(export.id, export.clone());
            tables.by_name.insert(export.name.clone().into_bytes(), export);
        }
        self.0.store(Arc::new(tables));
    }
}

impl Exports for ExportTable {
    fn by_id(&self, id: ShareId) -> Option<Arc<ShareExport>> {
        self.0.load().by_id.get(&id).cloned()
    }

    fn by_name(&self, name: &[u8]) -> Option<Arc<ShareExport>> {
        self.0.load().by_name.get(name).cloned()
    }

    fn is_down(&self, id: ShareId) -> bool {
        self.0.load().down.iter().any(|down| down.id == Some(id))
    }

    fn is_down_by_name(&self, name: &[u8]) -> bool {
        self.0.load().down.iter().any(|down| down.name.as_bytes() == name)
    }

    fn list(&self) -> Vec<Arc<ShareExport>> {
        let mut all: Vec<_> = self.0.load().by_name.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}
