//! Name operations: handle caching gives way first, then opens may refuse (SEAM §1 "rename", §2 rows 10–12).
//!
//! *Invariants:* all inodes of one operation are admitted together or none. A directory that is renamed asks for every
//! open below it; the index by parent directory finds those, [`Ancestry`](crate::Ancestry) says which parents lie below.

use crate::admit::Effects;
use crate::claim::{Claim, ClaimBody, ClaimId, NameBody, NameRole, StreamId, Uses, is_smb};
use crate::conflict::{Effect, Shrink};
use crate::lease::LeaseBits;
use crate::request::{NameAsk, Request};
use crate::state::{RawGrant, State, Verdict};
use dfs_model::{Actor, FsError, InodeId};

impl State {
    pub fn decide_name(&mut self, ask: &NameAsk, request: &Request) -> Verdict {
        let effects: Vec<(NameRole, Effects)> = ask
            .parts
            .iter()
            .map(|part| (part.role, self.effects(part.inode, request, Some(part.role))))
            .collect();
        for (_, effects) in &effects {
            if let Some(reason) = self.courtesy(effects) {
                return Verdict::Wait(reason);
            }
        }
        // Handle caching first, on all inodes at once, so that one wait serves them all.
        let below: Vec<Effects> =
            ask.parts.iter().map(|part| self.handles_below(part.inode, part.role, &ask.actor)).collect();
        let mut wait = None;
        for effects in effects.iter().map(|(_, effects)| effects).chain(&below) {
            let handles: Effects = effects.iter().filter(|(_, effect)| effect.handle).copied().collect();
            wait = self.break_all(&handles).or(wait);
        }
        if let Some(reason) = wait {
            return Verdict::Wait(reason);
        }
        for (role, effects) in &effects {
            let stands = |(id, effect): &(ClaimId, Effect)| effect.denied && self.claims.contains_key(id);
            if *role == NameRole::Victim && effects.iter().any(stands) {
                return Verdict::Refused(FsError::InUse { is_dir: false });
            }
        }
        for part in &ask.parts {
            if part.role == (NameRole::MovedDirectory { posix: false })
                && self.smb_below(part.inode, &ask.actor)
            {
                return Verdict::Refused(FsError::InUse { is_dir: true });
            }
        }
        let mut wait = None;
        for (_, effects) in &effects {
            wait = self.break_all(effects).or(wait);
        }
        match wait {
            Some(reason) => Verdict::Wait(reason),
            None => Verdict::Granted(RawGrant::InFlight(self.put_names(ask))),
        }
    }

    fn put_names(&mut self, ask: &NameAsk) -> Vec<ClaimId> {
        ask.parts
            .iter()
            .map(|part| {
                let uses = match part.role {
                    NameRole::Victim => Uses::DELETE,
                    NameRole::LinkSource | NameRole::Entries | NameRole::MovedDirectory { .. } => Uses::ATTR,
                };
                let body = ClaimBody::Name(NameBody { role: part.role });
                self.put(&ask.actor, part.inode, StreamId::MAIN, uses, body)
            })
            .collect()
    }

    /// Opens below a directory, found through the index of their parents.
    fn opens_below(&self, directory: InodeId) -> impl Iterator<Item = &Claim> {
        let below = self
            .by_parent
            .iter()
            .filter(move |(parent, _)| **parent == directory || self.ancestry.is_below(**parent, directory));
        below
            .flat_map(|(_, opens)| opens.iter())
            .filter_map(|id| self.claims.get(id))
            .filter(|claim| !claim.revoked)
    }

    /// Leases with handle caching that hang on opens below a renamed directory, as effects to break.
    fn handles_below(&self, directory: InodeId, role: NameRole, actor: &Actor) -> Effects {
        if !matches!(role, NameRole::MovedDirectory { .. }) {
            return Effects::new();
        }
        let leases = self.opens_below(directory).filter_map(|claim| claim.open()?.lease);
        let mut effects = Effects::new();
        for lease in leases.filter_map(|id| self.claims.get(&id)) {
            let meant = lease.bits().has(LeaseBits::H) && !lease.exemption.covers(actor);
            if meant && !effects.iter().any(|(id, _)| *id == lease.id) {
                let cache = Some(Shrink { keep: LeaseBits(!LeaseBits::H.0), wait: true });
                effects.push((lease.id, Effect { handle: true, cache, ..Effect::default() }));
            }
        }
        effects
    }

    fn smb_below(&self, directory: InodeId, actor: &Actor) -> bool {
        self.opens_below(directory).any(|claim| is_smb(&claim.actor) && !claim.exemption.covers(actor))
    }
}
