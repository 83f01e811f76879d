//! Credentials and verifiers (RFC 5531 §8.2, appendix A): the opaque form and the body of AUTH_SYS.
//!
//! AUTH_SYS proves nothing: it says who the client's machine claims to act for. Whoever uses it must have admitted the
//! machine's address first.

use crate::xdr::{Decode, Encode, Reader, XdrError, XdrResult, encode_opaque};
use bytes::{BufMut, Bytes, BytesMut};

/// Longest body of a credential or verifier (RFC 5531 §8.2).
pub const BODY_MAX: u32 = 400;
/// Most supplementary groups in AUTH_SYS (RFC 5531 appendix A).
pub const SYS_GROUPS_MAX: u32 = 16;
/// Longest machine name in AUTH_SYS.
pub const SYS_MACHINE_MAX: u32 = 255;

/// Number of an authentication flavour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flavor(pub u32);

impl Flavor {
    /// AUTH_NONE, also called AUTH_NULL.
    pub const NONE: Flavor = Flavor(0);
    /// AUTH_SYS, also called AUTH_UNIX.
    pub const SYS: Flavor = Flavor(1);
    /// RPCSEC_GSS (RFC 2203).
    pub const GSS: Flavor = Flavor(6);
}

/// A credential or a verifier with its body not yet looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpaqueAuth {
    /// Which flavour the body has.
    pub flavor: Flavor,
    /// At most [`BODY_MAX`] bytes.
    pub body: Bytes,
}

impl OpaqueAuth {
    /// AUTH_NONE.
    pub const NONE: OpaqueAuth = OpaqueAuth { flavor: Flavor::NONE, body: Bytes::new() };
}

impl Encode for OpaqueAuth {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u32(self.flavor.0);
        encode_opaque(out, &self.body);
    }
}

impl Decode for OpaqueAuth {
    fn decode(from: &mut Reader) -> XdrResult<OpaqueAuth> {
        Ok(OpaqueAuth { flavor: Flavor(from.u32()?), body: from.opaque(BODY_MAX)? })
    }
}

/// Body of an AUTH_SYS credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSys {
    /// Arbitrary number of the client.
    pub stamp: u32,
    /// The client's machine name; any bytes.
    pub machine: Bytes,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Supplementary groups, as sent.
    pub gids: Vec<u32>,
}

impl AuthSys {
    /// Reads the body of a credential. *Errors:* [`XdrError`], trailing bytes included.
    pub fn from_body(body: Bytes) -> XdrResult<AuthSys> {
        let mut reader = Reader::new(body);
        let sys = AuthSys::decode(&mut reader)?;
        reader.finish()?;
        Ok(sys)
    }

    /// Makes the credential.
    #[must_use]
    pub fn to_auth(&self) -> OpaqueAuth {
        let mut body = BytesMut::new();
        self.encode(&mut body);
        OpaqueAuth { flavor: Flavor::SYS, body: body.freeze() }
    }
}

impl Encode for AuthSys {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u32(self.stamp);
        encode_opaque(out, &self.machine);
        out.put_u32(self.uid);
        out.put_u32(self.gid);
        out.put_u32(self.gids.len() as u32);
        for gid in &self.gids {
            out.put_u32(*gid);
        }
    }
}

impl Decode for AuthSys {
    fn decode(from: &mut Reader) -> Result<AuthSys, XdrError> {
        Ok(AuthSys {
            stamp: from.u32()?,
            machine: from.opaque(SYS_MACHINE_MAX)?,
            uid: from.u32()?,
            gid: from.u32()?,
            gids: from.array(SYS_GROUPS_MAX)?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seventeen_groups_are_refused() {
        let sys = AuthSys { stamp: 1, machine: Bytes::new(), uid: 1, gid: 1, gids: vec![0; 17] };
        assert_eq!(AuthSys::from_body(sys.to_auth().body), Err(XdrError::TooLong { len: 17, max: 16 }));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let sys = AuthSys { stamp: 1, machine: Bytes::new(), uid: 1, gid: 1, gids: vec![] };
        let mut body = sys.to_auth().body.to_vec();
        body.extend_from_slice(&[0; 4]);
        assert_eq!(AuthSys::from_body(body.into()), Err(XdrError::Trailing { left: 4 }));
    }

    proptest! {
        #[test]
        fn sys_round_trips_and_every_cut_is_refused(
            stamp: u32, machine in prop::collection::vec(any::<u8>(), 0..=255), uid: u32, gid: u32,
            gids in prop::collection::vec(any::<u32>(), 0..=16),
        ) {
            let sys = AuthSys { stamp, machine: machine.into(), uid, gid, gids };
            let auth = sys.to_auth();
            for cut in 0..auth.body.len() {
                prop_assert!(AuthSys::from_body(auth.body.slice(..cut)).is_err());
            }
            prop_assert_eq!(AuthSys::from_body(auth.body).unwrap(), sys);
        }
    }
}
