//! Values between the model and SQL: ids, identities, ACLs, the caller, what a call carries. Pure.

use crate::OpContext;
use crate::key::PREFIX_LEN;
use crate::rows::identity::well_known;
use crate::rows::replay::{full_key, row_key};
use bytes::BytesMut;
use dfs_model::{
    AceType, Acl, AttrPatch, Credentials, Identity, Rights, ShareCeiling, Strength, TimePatch, WellKnown,
};
use std::error::Error;
use std::fmt::Write;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A parameter of a statement.
pub type Param<'a> = &'a (dyn ToSql + Sync);

/// Slots of calls without a replay key of their own: far more than are ever under way.
const OWN_SLOTS: u64 = 8192;

/// A 128-bit id as SQL keeps it; the order of uuids is the order of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uuid(pub u128);

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::UUID
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Uuid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Uuid, Box<dyn Error + Sync + Send>> {
        Ok(Uuid(u128::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::UUID
    }
}

/// A number that SQL keeps signed; larger ones meet nothing that is stored.
pub fn capped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count of rows.
pub fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// An identity as text: `uid:N`, `gid:N`, `sid:HEX`, `who:N` or `name:HEX@HEX` (name, domain).
pub fn identity(who: &Identity) -> String {
    match who {
        Identity::Uid(id) => format!("uid:{id}"),
        Identity::Gid(id) => format!("gid:{id}"),
        Identity::Sid(sid) => format!("sid:{}", hex(sid)),
        Identity::WellKnown(known) => format!("who:{}", *known as u8),
        Identity::Opaque { domain, name } => format!("name:{}@{}", hex(name), hex(domain)),
    }
}

/// Reads an identity back; `None` for text that [`identity`] does not make.
pub fn read_identity(text: &str) -> Option<Identity> {
    let (kind, value) = text.split_once(':')?;
    Some(match kind {
        "uid" => Identity::Uid(value.parse().ok()?),
        "gid" => Identity::Gid(value.parse().ok()?),
        "sid" => Identity::Sid(unhex(value)?.into()),
        "who" => Identity::WellKnown(well_known(value.parse().ok()?)?),
        "name" => {
            let (name, domain) = value.split_once('@')?;
            Identity::Opaque { domain: unhex(domain)?.into(), name: unhex(name)?.into() }
        }
        _ => return None,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// One list of an ACL as four arrays; all `None` for a list that is not there.
#[derive(Default)]
pub struct AceColumns {
    kinds: Option<Vec<i16>>,
    flags: Option<Vec<i32>>,
    masks: Option<Vec<i32>>,
    whos: Option<Vec<String>>,
}

impl AceColumns {
    fn of(list: Option<&Vec<dfs_model::Ace>>) -> AceColumns {
        let Some(list) = list else { return AceColumns::default() };
        AceColumns {
            kinds: Some(list.iter().map(|ace| ace.kind as i16).collect()),
            flags: Some(list.iter().map(|ace| i32::from(ace.flags)).collect()),
            masks: Some(list.iter().map(|ace| ace.mask as i32).collect()),
            whos: Some(list.iter().map(|ace| identity(&ace.who)).collect()),
        }
    }

    fn push<'a>(&'a self, out: &mut Vec<Param<'a>>) {
        out.extend::<[Param<'a>; 4]>([&self.kinds, &self.flags, &self.masks, &self.whos]);
    }
}

/// The kind of an entry with this number.
pub fn ace_kind(number: i16) -> Option<AceType> {
    [AceType::Allow, AceType::Deny, AceType::Audit, AceType::Alarm]
        .into_iter()
        .find(|kind| *kind as i16 == number)
}

/// What every operation on names carries (`op_context`).
pub struct Context {
    share: Uuid,
    epoch: i32,
    users: Vec<String>,
    groups: Vec<String>,
    specials: Vec<String>,
    is_root: bool,
    ceiling: i32,
    now: i64,
    now_ns: i32,
    change: i64,
    born_seq: i64,
    slot: Vec<u8>,
    key: Vec<u8>,
    takes_ownership: bool,
    may_audit: bool,
}

/// Parameters that [`Context::push`] adds.
pub const CONTEXT_PARAMS: usize = 15;

impl Context {
    /// `own` names this call where the caller gave no replay key: the store's id and a number that it never uses again.
    pub fn new(cx: &OpContext<'_>, own: (u128, u64)) -> Context {
        let who = cx.credentials;
        let (slot, key) = match cx.replay {
            Some(replay) => {
                let row = row_key(cx.share, replay);
                (row.get(PREFIX_LEN..).unwrap_or_default().to_vec(), full_key(replay))
            }
            None => own_key(own),
        };
        Context {
            share: Uuid(cx.share.0),
            epoch: cx.epoch.0 as i32,
            users: users(who),
            groups: groups(who),
            specials: specials(who),
            is_root: who.is_root(),
            ceiling: ceiling(who.ceiling),
            now: cx.now.secs,
            now_ns: cx.now.nanos as i32,
            change: cx.changes.take().0 as i64,
            born_seq: cx.born_seq.0 as i64,
            slot,
            key,
            takes_ownership: who.privileges.take_ownership,
            may_audit: who.is_root() || who.privileges.security,
        }
    }

    /// Adds its parameters, in the order of `op_context`.
    pub fn push<'a>(&'a self, out: &mut Vec<Param<'a>>) {
        out.extend::<[Param<'a>; CONTEXT_PARAMS]>([
            &self.share,
            &self.epoch,
            &self.users,
            &self.groups,
            &self.specials,
            &self.is_root,
            &self.ceiling,
            &self.now,
            &self.now_ns,
            &self.change,
            &self.born_seq,
            &self.slot,
            &self.key,
            &self.takes_ownership,
            &self.may_audit,
        ]);
    }
}

/// Slot and key of a call that only this store repeats. Kind 3, beside those of dfs-store's `rows/replay.rs`.
fn own_key((store, number): (u128, u64)) -> (Vec<u8>, Vec<u8>) {
    let start = [&[3][..], &store.to_be_bytes()].concat();
    let slot = [start.as_slice(), &(number % OWN_SLOTS).to_be_bytes()].concat();
    (slot, [start.as_slice(), &number.to_be_bytes()].concat())
}

fn users(who: &Credentials) -> Vec<String> {
    let sids = who.sids.iter().map(|sid| identity(&Identity::Sid(sid.clone())));
    std::iter::once(identity(&Identity::Uid(who.uid))).chain(sids).collect()
}

fn groups(who: &Credentials) -> Vec<String> {
    std::iter::once(&who.gid).chain(who.groups.iter()).map(|gid| identity(&Identity::Gid(*gid))).collect()
}

fn specials(who: &Credentials) -> Vec<String> {
    let proved = match who.strength <= Strength::Guest {
        true => WellKnown::Anonymous,
        false => WellKnown::Authenticated,
    };
    [WellKnown::Everyone, proved].map(|known| identity(&Identity::WellKnown(known))).to_vec()
}

fn ceiling(ceiling: ShareCeiling) -> i32 {
    let rights = match ceiling {
        ShareCeiling::None => 0,
        ShareCeiling::ReadOnly => Rights::ALL.0 & !Rights::MUTATING.0,
        ShareCeiling::ReadWrite | ShareCeiling::Admin => Rights::ALL.0,
    };
    rights as i32
}

/// A time of a patch: how (0 keep, 1 set, 2 now, 3 an open's affair), seconds, nanoseconds.
#[derive(Default)]
struct TimeColumns(i32, i64, i32);

impl TimeColumns {
    fn of(time: TimePatch) -> TimeColumns {
        match time {
            TimePatch::Keep => TimeColumns(0, 0, 0),
            TimePatch::Set(at) => TimeColumns(1, at.secs, at.nanos as i32),
            TimePatch::ServerNow => TimeColumns(2, 0, 0),
            TimePatch::Freeze | TimePatch::Thaw => TimeColumns(3, 0, 0),
        }
    }

    fn push<'a>(&'a self, out: &mut Vec<Param<'a>>) {
        out.extend::<[Param<'a>; 3]>([&self.0, &self.1, &self.2]);
    }
}

/// What `create` and `set_attr` may set (`patch`).
pub struct PatchColumns {
    mode: Option<i32>,
    mode_mask: Option<i32>,
    owner: Option<String>,
    group: Option<String>,
    atime: TimeColumns,
    mtime: TimeColumns,
    btime: TimeColumns,
    dos: Option<i32>,
    has_acl: bool,
    control: i32,
    dacl: AceColumns,
    sacl: AceColumns,
}

impl PatchColumns {
    /// The columns of a patch but its list; `size` and `ctime` have none.
    pub fn of(patch: &AttrPatch) -> PatchColumns {
        PatchColumns {
            mode: patch.mode.as_set().map(|bits| i32::from(*bits)),
            mode_mask: patch.mode_mask.map(i32::from),
            owner: patch.owner.as_set().map(identity),
            group: patch.group.as_set().map(identity),
            atime: TimeColumns::of(patch.atime),
            mtime: TimeColumns::of(patch.mtime),
            btime: TimeColumns::of(patch.btime),
            dos: patch.dos.as_set().map(|bits| *bits as i32),
            has_acl: false,
            control: 0,
            dacl: AceColumns::default(),
            sacl: AceColumns::default(),
        }
    }

    /// With this mode and list, worked out already.
    pub fn with(mut self, mode: u16, acl: Option<&Acl>) -> PatchColumns {
        self.mode = Some(i32::from(mode));
        self.with_list(acl, acl.is_some())
    }

    /// With the columns of a list; `asked`: the patch sets it.
    pub fn with_list(mut self, acl: Option<&Acl>, asked: bool) -> PatchColumns {
        self.has_acl = asked;
        self.control = acl.map_or(0, |acl| i32::from(acl.control));
        self.dacl = AceColumns::of(acl.and_then(|acl| acl.dacl.as_ref()));
        self.sacl = AceColumns::of(acl.and_then(|acl| acl.sacl.as_ref()));
        self
    }

    /// Adds its parameters, in the order of `patch`.
    pub fn push<'a>(&'a self, out: &mut Vec<Param<'a>>) {
        out.extend::<[Param<'a>; 4]>([&self.mode, &self.mode_mask, &self.owner, &self.group]);
        self.atime.push(out);
        self.mtime.push(out);
        self.btime.push(out);
        out.extend::<[Param<'a>; 3]>([&self.dos, &self.has_acl, &self.control]);
        self.dacl.push(out);
        self.sacl.push(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_round_trip_as_text() {
        let all = [
            Identity::Uid(u32::MAX),
            Identity::Gid(0),
            Identity::Sid(vec![1, 5, 255].into()),
            Identity::WellKnown(WellKnown::OwnerRights),
            Identity::Opaque { domain: "a@b:c".into(), name: "".into() },
        ];
        for who in all {
            assert_eq!(read_identity(&identity(&who)), Some(who));
        }
        for bad in ["", "uid", "uid:x", "who:99", "sid:1", "sid:zz", "name:00", "other:1"] {
            assert_eq!(read_identity(bad), None, "{bad}");
        }
    }

    #[test]
    fn own_keys_differ_in_every_number_and_share_a_slot_only_after_many() {
        let (slot, key) = own_key((7, 1));
        assert_eq!(own_key((7, 1 + OWN_SLOTS)).0, slot);
        assert_ne!(own_key((7, 1 + OWN_SLOTS)).1, key);
        assert_ne!(own_key((8, 1)).0, slot);
    }
}
