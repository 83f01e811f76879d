//! The nine permission bits and a list, in step (RFC 7530 §6.3.2, §6.4.1).

use super::{Ace, AceType, Acl, AclMode, control, evaluate, flag};
use crate::access::{ALWAYS, OWNER, rights_of_bits};
use crate::{Identity, Rights, WellKnown};

/// Rights that some permission bit stands for.
fn steered(is_dir: bool) -> u32 {
    rights_of_bits(7, is_dir).0
}

fn who(known: WellKnown) -> Identity {
    Identity::WellKnown(known)
}

/// Rights of owner, group and everybody else under a mode.
struct Classes {
    owner: u32,
    group: u32,
    other: u32,
}

impl Classes {
    fn of(mode: u16, is_dir: bool) -> Classes {
        let rights = |bits| rights_of_bits(bits, is_dir).0;
        Classes { owner: rights(mode >> 6), group: rights(mode >> 3), other: rights(mode) }
    }
}

impl Acl {
    /// The nine permission bits that the list gives owner, group and everybody else (RFC 7530 §6.3.2).
    #[must_use]
    pub fn mode(&self) -> u16 {
        let Some(dacl) = &self.dacl else { return 0o777 };
        let bits = |class: WellKnown| -> u16 {
            let of_class = |ace: &Ace| ace.who == who(class) || ace.who == who(WellKnown::Everyone);
            let allowed = Rights(evaluate(dacl, of_class).allowed);
            let write = Rights::WRITE_DATA.and(Rights::APPEND_DATA);
            let bit = |rights: Rights, bit: u16| if allowed.has(rights) { bit } else { 0 };
            bit(Rights::READ_DATA, 4) | bit(write, 2) | bit(Rights::EXECUTE, 1)
        };
        (bits(WellKnown::Owner) << 6) | (bits(WellKnown::Group) << 3) | bits(WellKnown::Everyone)
    }

    /// The list that says what a mode says and nothing else. *Guarantees:* a function of its arguments; everybody but the
    /// superuser has the same rights under it as under the mode.
    #[must_use]
    pub fn of_mode(mode: u16, is_dir: bool) -> Acl {
        let Classes { owner, group, other } = Classes::of(mode, is_dir);
        let mut dacl = Vec::with_capacity(5);
        push(&mut dacl, AceType::Deny, WellKnown::Owner, (group | other) & !owner);
        push(&mut dacl, AceType::Allow, WellKnown::Owner, owner | ALWAYS.0 | OWNER.0);
        push(&mut dacl, AceType::Allow, WellKnown::Group, group | ALWAYS.0);
        push(&mut dacl, AceType::Deny, WellKnown::Group, other & !group);
        push(&mut dacl, AceType::Allow, WellKnown::Everyone, other | ALWAYS.0);
        Acl { control: 0, dacl: Some(dacl), sacl: None }
    }

    /// Whether the list says no more than its own mode.
    #[must_use]
    pub fn is_trivial(&self, is_dir: bool) -> bool {
        *self == Acl::of_mode(self.mode(), is_dir)
    }

    /// The list after the nine bits were set to `mode` (RFC 7530 §6.4.1.1); `None` where the mode alone says it all.
    ///
    /// *Guarantees:* [`Acl::mode`] of the result is `mode`; with [`AclMode::Masked`] nobody whom the list names has more
    /// than the group's bits; entries that are inherited only, and audit entries, stay; doing it twice is doing it once.
    #[must_use]
    pub fn with_mode(&self, mode: u16, is_dir: bool, how: AclMode) -> Option<Acl> {
        if how == AclMode::Discard {
            return None;
        }
        let classes = Classes::of(mode, is_dir);
        let mut kept = Vec::new();
        for ace in self.dacl.iter().flatten() {
            keep(&mut kept, ace, &classes, is_dir, how);
        }
        if self.sacl.is_none() && kept.iter().all(says_nothing) {
            return None;
        }
        let named = kept.iter().filter(|ace| ace.kind == AceType::Allow && ace.is_effective());
        let granted_later = named.fold(classes.group | classes.other, |all, ace| all | ace.mask);
        let mut dacl = Vec::with_capacity(kept.len() + 5);
        let beyond = granted_later & steered(is_dir) & !classes.owner;
        push(&mut dacl, AceType::Deny, WellKnown::Owner, beyond);
        push(&mut dacl, AceType::Allow, WellKnown::Owner, classes.owner);
        dacl.append(&mut kept);
        push(&mut dacl, AceType::Allow, WellKnown::Group, classes.group);
        push(&mut dacl, AceType::Deny, WellKnown::Group, classes.other & !classes.group);
        push(&mut dacl, AceType::Allow, WellKnown::Everyone, classes.other);
        let mut control = self.control;
        if control & control::DACL_AUTO_INHERITED != 0 {
            // Its parent must not overwrite what the mode says now (RFC 8881 §6.4.3.2).
            control |= control::DACL_PROTECTED;
        }
        Some(Acl { control, dacl: Some(dacl), sacl: self.sacl.clone() })
    }
}

fn push(dacl: &mut Vec<Ace>, kind: AceType, known: WellKnown, mask: u32) {
    if mask != 0 {
        dacl.push(Ace::new(kind, who(known), Rights(mask)));
    }
}

/// Keeps what a change of mode leaves of an entry. One that is also inheritable is split first, so that what is inherited
/// stays as it was.
fn keep(kept: &mut Vec<Ace>, ace: &Ace, classes: &Classes, is_dir: bool, how: AclMode) {
    let of_owner = ace.is_special() || ace.who == who(WellKnown::OwnerRights);
    let mask = match ace.kind {
        _ if !ace.is_effective() => ace.mask,
        AceType::Allow | AceType::Deny if of_owner => ace.mask & !steered(is_dir),
        AceType::Allow if how == AclMode::Masked => ace.mask & !(steered(is_dir) & !classes.group),
        _ => ace.mask,
    };
    if mask == ace.mask {
        kept.push(ace.clone());
        return;
    }
    if is_dir && ace.is_inheritable() {
        kept.push(Ace { flags: ace.flags | flag::INHERIT_ONLY, ..ace.clone() });
    }
    // A list of owner rights limits its owner even where it grants nothing.
    if mask != 0 || ace.who == who(WellKnown::OwnerRights) {
        let flags = ace.flags & !(flag::INHERITANCE | flag::INHERITED);
        kept.push(Ace { flags, mask, ..ace.clone() });
    }
}

/// Whether an entry grants what everybody has under a mode anyway.
fn says_nothing(ace: &Ace) -> bool {
    let anyway = match &ace.who {
        Identity::WellKnown(WellKnown::Owner) => ALWAYS.0 | OWNER.0,
        Identity::WellKnown(WellKnown::Group | WellKnown::Everyone) => ALWAYS.0,
        _ => return false,
    };
    let plain = ace.flags & flag::INHERITANCE == 0 && ace.kind == AceType::Allow;
    plain && ace.mask & !anyway == 0
}
