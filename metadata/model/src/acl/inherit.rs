//! What a new object gets from its directory's list (RFC 7530 §6.2.1.4.1, RFC 8881 §6.4.3.1; creators as MS-DTYP §2.5.3.4).

use super::{Ace, Acl, control, flag};
use crate::{Identity, WellKnown};

/// The new object.
#[derive(Clone, Copy, Debug)]
pub struct Heir<'a> {
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Its owner, who takes the place of CREATOR OWNER.
    pub owner: &'a Identity,
    /// Its group, which takes the place of CREATOR GROUP.
    pub group: &'a Identity,
}

impl Acl {
    /// The list that a new object inherits; `None` where no entry is inheritable. Every entry is marked inherited.
    ///
    /// *Shape:* `dacl` or `sacl` is `None` where nothing of that list is inherited: not a null list, but the creator's to
    /// fill.
    #[must_use]
    pub fn inherited(&self, heir: Heir<'_>) -> Option<Acl> {
        let list = |aces: &Option<Vec<Ace>>| -> Option<Vec<Ace>> {
            let mut heirs = Vec::new();
            aces.iter().flatten().for_each(|ace| hand_on(&mut heirs, ace, heir));
            (!heirs.is_empty()).then_some(heirs)
        };
        let (dacl, sacl) = (list(&self.dacl), list(&self.sacl));
        let mut control = 0;
        if dacl.is_some() {
            control |= self.control & control::DACL_AUTO_INHERITED;
        }
        if sacl.is_some() {
            control |= self.control & control::SACL_AUTO_INHERITED;
        }
        (dacl.is_some() || sacl.is_some()).then_some(Acl { control, dacl, sacl })
    }
}

fn hand_on(heirs: &mut Vec<Ace>, ace: &Ace, heir: Heir<'_>) {
    let has = |bits: u16| ace.flags & bits == bits;
    let effective = || Ace {
        flags: (ace.flags & !flag::INHERITANCE) | flag::INHERITED,
        who: concrete(&ace.who, heir).unwrap_or(&ace.who).clone(),
        ..ace.clone()
    };
    let for_below = || Ace { flags: ace.flags | flag::INHERIT_ONLY | flag::INHERITED, ..ace.clone() };
    match (heir.is_dir, has(flag::FILE_INHERIT), has(flag::DIRECTORY_INHERIT), has(flag::NO_PROPAGATE)) {
        (false, true, ..) | (true, _, true, true) => heirs.push(effective()),
        (true, _, true, false) if concrete(&ace.who, heir).is_some() => {
            heirs.extend([effective(), for_below()]);
        }
        (true, _, true, false) => {
            let flags = (ace.flags & !flag::INHERIT_ONLY) | flag::INHERITED;
            heirs.push(Ace { flags, ..ace.clone() });
        }
        (true, true, false, false) => heirs.push(for_below()),
        (false, false, ..) | (true, true, false, true) | (true, false, false, _) => {}
    }
}

/// Who a creator entry means on the new object; `None` for every other subject.
fn concrete<'a>(subject: &Identity, heir: Heir<'a>) -> Option<&'a Identity> {
    match subject {
        Identity::WellKnown(WellKnown::CreatorOwner) => Some(heir.owner),
        Identity::WellKnown(WellKnown::CreatorGroup) => Some(heir.group),
        _ => None,
    }
}
