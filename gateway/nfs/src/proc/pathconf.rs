//! PATHCONF (RFC 1813 §3.3.20).

use crate::context::Call;
use crate::proc::getattr::attributes;
use crate::wire::{Handle, Outcome, PathConfOk, PathConfReply};
use dfs_vfs::Failed;

pub(crate) async fn run(call: &Call, object: Handle) -> PathConfReply {
    match limits(call, object).await {
        Ok(limits) => Outcome::Ok(limits),
        Err(failed) => call.fail_post(&failed),
    }
}

async fn limits(call: &Call, object: Handle) -> Result<PathConfOk, Failed> {
    let attributes = attributes(call, &object).await?;
    let info = call.vfs().fs_info(&call.cx).await?;
    Ok(PathConfOk {
        attributes: Some(attributes),
        links_max: info.links_max,
        name_max: info.name_len_max,
        no_truncation: true,
        chown_restricted: true,
        case_insensitive: !info.case_sensitive,
        case_preserving: true,
    })
}
