//! SETATTR (RFC 1813 §3.3.2). The guard is compared with the ctime as it was shown: clamped and encoded.

use crate::context::Call;
use crate::convert;
use crate::wire::{Outcome, SetAttrArgs, SetAttrReply};
use dfs_model::{Guard, Target};
use dfs_vfs::{AccessRule, Changed, Failed, SetAttr};

pub(crate) async fn run(call: &Call, args: SetAttrArgs) -> SetAttrReply {
    match change(call, args).await {
        Ok(changed) => Outcome::Ok(call.wcc(&changed.wcc)),
        Err(failed) => call.fail_wcc(&failed),
    }
}

async fn change(call: &Call, args: SetAttrArgs) -> Result<Changed, Failed> {
    let inode = call.resolve(&args.object).await?.inode;
    let patch = match convert::patch(&args.attributes) {
        Ok(patch) => patch,
        Err(error) => return Err(call.refuse(inode, error).await),
    };
    let guard = args.guard.map_or(Guard::None, |time| Guard::CtimeAs3(time.seconds, time.nanos));
    let request = SetAttr { target: Target::Inode(inode), patch, guard, rule: AccessRule::Stateless };
    call.vfs().set_attr(&call.cx, request).await
}
