//! Identities and ACLs as bytes.
//!
//! Identity: tag (0 uid, 1 gid, 2 SID, 3 well-known, 4 opaque) and its fields. ACL v1: version · control (u16) · presence
//! (bit 0 dacl, bit 1 sacl) · per list: count (u16) · ACEs (kind u8 · flags u16 · mask u32 · identity).

use crate::wire::{BadRow, Reader, Writer};
use bytes::Bytes;
use dfs_model::{Ace, AceType, Acl, Identity, WellKnown};

/// Longest SID (MS-DTYP §2.4.2: 15 sub-authorities).
const SID_MAX: usize = 68;
/// Version of the ACL's bytes.
const ACL_VERSION: u8 = 1;

pub fn put_identity(out: &mut Writer, who: &Identity) {
    match who {
        Identity::Uid(id) => out.u8(0).u32(*id),
        Identity::Gid(id) => out.u8(1).u32(*id),
        Identity::Sid(sid) => out.u8(2).bytes16(sid),
        Identity::WellKnown(known) => out.u8(3).u8(*known as u8),
        Identity::Opaque { domain, name } => out.u8(4).bytes16(domain).bytes16(name),
    };
}

pub fn take_identity(bytes: &mut Reader<'_>) -> Result<Identity, BadRow> {
    Ok(match bytes.u8()? {
        0 => Identity::Uid(bytes.u32()?),
        1 => Identity::Gid(bytes.u32()?),
        2 => match bytes.bytes16()? {
            sid if sid.len() <= SID_MAX => Identity::Sid(sid),
            _ => return Err(BadRow::Field("SID")),
        },
        3 => Identity::WellKnown(well_known(bytes.u8()?).ok_or(BadRow::Field("well-known identity"))?),
        4 => Identity::Opaque { domain: bytes.bytes16()?, name: bytes.bytes16()? },
        _ => return Err(BadRow::Field("identity")),
    })
}

/// Whether an identity fits its stored form.
pub fn storable(who: &Identity) -> bool {
    match who {
        Identity::Sid(sid) => sid.len() <= SID_MAX,
        Identity::Opaque { domain, name } => domain.len() <= 1024 && name.len() <= 1024,
        _ => true,
    }
}

/// The special subject with this number.
pub fn well_known(number: u8) -> Option<WellKnown> {
    Some(match number {
        1 => WellKnown::Owner,
        2 => WellKnown::Group,
        3 => WellKnown::Everyone,
        4 => WellKnown::Anonymous,
        5 => WellKnown::Authenticated,
        6 => WellKnown::CreatorOwner,
        7 => WellKnown::CreatorGroup,
        8 => WellKnown::OwnerRights,
        9 => WellKnown::System,
        10 => WellKnown::Interactive,
        11 => WellKnown::Network,
        12 => WellKnown::Dialup,
        13 => WellKnown::Batch,
        14 => WellKnown::Service,
        _ => return None,
    })
}

/// The stored form of an ACL; also what its content address is computed over.
pub fn encode_acl(acl: &Acl) -> Bytes {
    let mut out = Writer::versioned(ACL_VERSION, 256);
    out.u16(acl.control).u8(u8::from(acl.dacl.is_some()) | (u8::from(acl.sacl.is_some()) << 1));
    for list in [&acl.dacl, &acl.sacl].into_iter().flatten() {
        out.u16(list.len().min(usize::from(u16::MAX)) as u16);
        for ace in list {
            out.u8(ace.kind as u8).u16(ace.flags).u32(ace.mask);
            put_identity(&mut out, &ace.who);
        }
    }
    out.finish()
}

/// Reads an ACL back. *Errors:* [`BadRow`].
pub fn decode_acl(bytes: &[u8]) -> Result<Acl, BadRow> {
    let mut reader = Reader::versioned(bytes, ACL_VERSION)?;
    let control = reader.u16()?;
    let presence = reader.u8()?;
    if presence > 3 {
        return Err(BadRow::Field("presence"));
    }
    let dacl = (presence & 1 != 0).then(|| take_list(&mut reader)).transpose()?;
    let sacl = (presence & 2 != 0).then(|| take_list(&mut reader)).transpose()?;
    Ok(Acl { control, dacl, sacl })
}

fn take_list(bytes: &mut Reader<'_>) -> Result<Vec<Ace>, BadRow> {
    let count = usize::from(bytes.u16()?);
    if count > Acl::ACES_MAX {
        return Err(BadRow::Field("count"));
    }
    (0..count).map(|_| take_ace(bytes)).collect()
}

fn take_ace(bytes: &mut Reader<'_>) -> Result<Ace, BadRow> {
    let kind = match bytes.u8()? {
        0 => AceType::Allow,
        1 => AceType::Deny,
        2 => AceType::Audit,
        3 => AceType::Alarm,
        _ => return Err(BadRow::Field("ACE type")),
    };
    Ok(Ace { kind, flags: bytes.u16()?, mask: bytes.u32()?, who: take_identity(bytes)? })
}
