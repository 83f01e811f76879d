//! Who may do what, by a list: entries in order, the first that speaks of a right decides it (RFC 7530 §6.2.1).

use super::{Ace, AceType};

/// What a list says of one caller. A right in neither set was not spoken of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// Rights that an entry allows.
    pub allowed: u32,
    /// Rights that an entry denies.
    pub denied: u32,
}

impl Decided {
    /// Whether no entry spoke of any of `rights`.
    #[must_use]
    pub fn leaves_open(self, rights: u32) -> bool {
        (self.allowed | self.denied) & rights == 0
    }
}

/// Evaluates the effective entries whose subject `means` the caller, in order.
pub fn evaluate(dacl: &[Ace], means: impl Fn(&Ace) -> bool) -> Decided {
    let mut decided = Decided::default();
    for ace in dacl.iter().filter(|ace| ace.is_effective() && means(ace)) {
        let open = ace.mask & !(decided.allowed | decided.denied);
        match ace.kind {
            AceType::Allow => decided.allowed |= open,
            AceType::Deny => decided.denied |= open,
            AceType::Audit | AceType::Alarm => {}
        }
    }
    decided
}
