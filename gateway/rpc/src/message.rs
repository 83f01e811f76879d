//! Call and reply headers (RFC 5531 §9), both directions.
//!
//! [`CallHeader::decode`] is the only way in: what it cannot answer (no transaction id, or not a call) is
//! [`CallError::Garbage`], and the connection should be dropped; everything else has a reply.

use crate::auth::{Flavor, OpaqueAuth};
use crate::xdr::{Decode, Encode, Reader, XdrError, XdrResult};
use bytes::{BufMut, Bytes, BytesMut};

/// The RPC version spoken.
pub const RPC_VERSION: u32 = 2;

const CALL: u32 = 0;
const REPLY: u32 = 1;
const ACCEPTED: u32 = 0;
const DENIED: u32 = 1;

/// Header of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallHeader {
    /// Transaction id: pairs the reply with the call.
    pub xid: u32,
    /// Program number.
    pub program: u32,
    /// Version of the program.
    pub version: u32,
    /// Procedure of the program.
    pub procedure: u32,
    /// Who calls.
    pub credential: OpaqueAuth,
    /// Proof of the credential.
    pub verifier: OpaqueAuth,
}

/// Why a record is not a call that can be dispatched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Not a call at all; there is nobody to answer.
    #[error("not an RPC call")]
    Garbage,
    /// A call that was refused; the reply says why.
    #[error("refused: {1:?}")]
    Rejected(u32, Rejected),
}

impl CallHeader {
    /// Reads a call's header; the reader then stands at the arguments.
    pub fn decode(record: Bytes) -> Result<(CallHeader, Reader), CallError> {
        let mut from = Reader::new(record);
        let xid = from.u32().map_err(|_| CallError::Garbage)?;
        if from.u32() != Ok(CALL) {
            return Err(CallError::Garbage);
        }
        match from.u32() {
            Ok(RPC_VERSION) => {}
            Ok(_) => return Err(CallError::Rejected(xid, Rejected::RpcMismatch)),
            Err(_) => return Err(CallError::Garbage),
        }
        let (program, version, procedure) = Self::numbers(&mut from).map_err(|_| CallError::Garbage)?;
        let credential =
            OpaqueAuth::decode(&mut from).map_err(|error| refused(xid, error, AuthStatus::BadCredential))?;
        let verifier =
            OpaqueAuth::decode(&mut from).map_err(|error| refused(xid, error, AuthStatus::BadVerifier))?;
        Ok((CallHeader { xid, program, version, procedure, credential, verifier }, from))
    }

    fn numbers(from: &mut Reader) -> XdrResult<(u32, u32, u32)> {
        Ok((from.u32()?, from.u32()?, from.u32()?))
    }
}

fn refused(xid: u32, error: XdrError, status: AuthStatus) -> CallError {
    match error {
        XdrError::Truncated => CallError::Garbage,
        _ => CallError::Rejected(xid, Rejected::Auth(status)),
    }
}

impl Encode for CallHeader {
    fn encode(&self, out: &mut BytesMut) {
        for word in [self.xid, CALL, RPC_VERSION, self.program, self.version, self.procedure] {
            out.put_u32(word);
        }
        self.credential.encode(out);
        self.verifier.encode(out);
    }
}

/// Why a call was accepted but may not have run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptStatus {
    /// It ran; results follow.
    Success,
    /// No such program here.
    ProgramUnavailable,
    /// The program exists in these versions only.
    ProgramMismatch {
        /// Lowest version.
        low: u32,
        /// Highest version.
        high: u32,
    },
    /// No such procedure.
    ProcedureUnavailable,
    /// The arguments could not be decoded.
    GarbageArguments,
    /// The server failed before it could run the call.
    SystemError,
}

/// Why a call was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The RPC version is not 2.
    RpcMismatch,
    /// The credential or verifier was refused.
    Auth(AuthStatus),
}

/// Why authentication failed (RFC 5531 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum AuthStatus {
    /// The credential is malformed.
    BadCredential = 1,
    /// A new session is needed.
    RejectedCredential = 2,
    /// The verifier is malformed.
    BadVerifier = 3,
    /// The verifier is expired or replayed.
    RejectedVerifier = 4,
    /// Refused for security reasons: the flavour or the address is not good enough.
    TooWeak = 5,
}

/// A reply's header; results follow only after [`AcceptStatus::Success`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyHeader {
    /// Accepted, with a null verifier.
    Accepted(AcceptStatus),
    /// Rejected.
    Rejected(Rejected),
}

impl ReplyHeader {
    /// Longest form in bytes.
    pub const LEN_MAX: usize = 32;
    /// The usual one.
    pub const SUCCESS: ReplyHeader = ReplyHeader::Accepted(AcceptStatus::Success);

    /// Appends the header of the reply to `xid`.
    pub fn encode(self, xid: u32, out: &mut BytesMut) {
        out.put_u32(xid);
        out.put_u32(REPLY);
        match self {
            ReplyHeader::Accepted(status) => {
                out.put_u32(ACCEPTED);
                OpaqueAuth::NONE.encode(out);
                match status {
                    AcceptStatus::Success => out.put_u32(0),
                    AcceptStatus::ProgramUnavailable => out.put_u32(1),
                    AcceptStatus::ProgramMismatch { low, high } => {
                        out.put_u32(2);
                        out.put_u32(low);
                        out.put_u32(high);
                    }
                    AcceptStatus::ProcedureUnavailable => out.put_u32(3),
                    AcceptStatus::GarbageArguments => out.put_u32(4),
                    AcceptStatus::SystemError => out.put_u32(5),
                }
            }
            ReplyHeader::Rejected(why) => {
                out.put_u32(DENIED);
                match why {
                    Rejected::RpcMismatch => {
                        out.put_u32(0);
                        out.put_u32(RPC_VERSION);
                        out.put_u32(RPC_VERSION);
                    }
                    Rejected::Auth(status) => {
                        out.put_u32(1);
                        out.put_u32(status as u32);
                    }
                }
            }
        }
    }

    /// Reads a reply's transaction id and header; the reader then stands at the results.
    pub fn decode(record: Bytes) -> XdrResult<(u32, ReplyHeader, Reader)> {
        let mut from = Reader::new(record);
        let xid = from.u32()?;
        let kind = from.u32()?;
        if kind != REPLY {
            return Err(XdrError::BadValue { what: "message type", value: kind });
        }
        let header = match from.u32()? {
            ACCEPTED => {
                OpaqueAuth::decode(&mut from)?;
                ReplyHeader::Accepted(Self::accepted(&mut from)?)
            }
            DENIED => ReplyHeader::Rejected(Self::rejected(&mut from)?),
            value => return Err(XdrError::BadValue { what: "reply status", value }),
        };
        Ok((xid, header, from))
    }

    fn accepted(from: &mut Reader) -> XdrResult<AcceptStatus> {
        Ok(match from.u32()? {
            0 => AcceptStatus::Success,
            1 => AcceptStatus::ProgramUnavailable,
            2 => AcceptStatus::ProgramMismatch { low: from.u32()?, high: from.u32()? },
            3 => AcceptStatus::ProcedureUnavailable,
            4 => AcceptStatus::GarbageArguments,
            5 => AcceptStatus::SystemError,
            value => return Err(XdrError::BadValue { what: "accept status", value }),
        })
    }

    fn rejected(from: &mut Reader) -> XdrResult<Rejected> {
        match from.u32()? {
            0 => {
                from.u32()?;
                from.u32()?;
                Ok(Rejected::RpcMismatch)
            }
            1 => Ok(Rejected::Auth(match from.u32()? {
                1 => AuthStatus::BadCredential,
                2 => AuthStatus::RejectedCredential,
                3 => AuthStatus::BadVerifier,
                4 => AuthStatus::RejectedVerifier,
                5 => AuthStatus::TooWeak,
                value => return Err(XdrError::BadValue { what: "auth status", value }),
            })),
            value => Err(XdrError::BadValue { what: "reject status", value }),
        }
    }
}

/// A call with AUTH_NONE, for probes and tests.
#[must_use]
pub fn plain_call(xid: u32, program: u32, version: u32, procedure: u32) -> CallHeader {
    let none = OpaqueAuth { flavor: Flavor::NONE, body: Bytes::new() };
    CallHeader { xid, program, version, procedure, credential: none.clone(), verifier: none }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn call_of_other_rpc_version_is_rejected_with_its_xid() {
        let mut out = BytesMut::new();
        for word in [77, CALL, 3, 0, 0, 0] {
            out.put_u32(word);
        }
        let error = CallHeader::decode(out.freeze()).unwrap_err();
        assert_eq!(error, CallError::Rejected(77, Rejected::RpcMismatch));
    }

    #[test]
    fn reply_sent_to_a_server_is_garbage() {
        let mut out = BytesMut::new();
        ReplyHeader::SUCCESS.encode(5, &mut out);
        assert_eq!(CallHeader::decode(out.freeze()).unwrap_err(), CallError::Garbage);
    }

    #[test]
    fn credential_above_400_bytes_is_a_bad_credential() {
        let mut call = plain_call(9, 1, 2, 3);
        call.credential = OpaqueAuth { flavor: Flavor::SYS, body: vec![0; 404].into() };
        let mut out = BytesMut::new();
        call.encode(&mut out);
        let error = CallHeader::decode(out.freeze()).unwrap_err();
        assert_eq!(error, CallError::Rejected(9, Rejected::Auth(AuthStatus::BadCredential)));
    }

    fn replies() -> impl Strategy<Value = ReplyHeader> {
        use AcceptStatus as A;
        use AuthStatus as S;
        prop_oneof![
            (any::<u32>(), any::<u32>())
                .prop_map(|(low, high)| ReplyHeader::Accepted(A::ProgramMismatch { low, high })),
            prop::sample::select(vec![
                A::Success,
                A::ProgramUnavailable,
                A::ProcedureUnavailable,
                A::GarbageArguments,
                A::SystemError
            ])
            .prop_map(ReplyHeader::Accepted),
            prop::sample::select(vec![
                S::BadCredential,
                S::RejectedCredential,
                S::BadVerifier,
                S::RejectedVerifier,
                S::TooWeak
            ])
            .prop_map(|status| ReplyHeader::Rejected(Rejected::Auth(status))),
            Just(ReplyHeader::Rejected(Rejected::RpcMismatch)),
        ]
    }

    proptest! {
        #[test]
        fn call_round_trips_and_every_cut_is_an_error(
            xid: u32, program: u32, version: u32, procedure: u32, flavor: u32,
            body in prop::collection::vec(any::<u8>(), 0..=400),
        ) {
            let credential = OpaqueAuth { flavor: Flavor(flavor), body: body.into() };
            let call = CallHeader { xid, program, version, procedure, credential, verifier: OpaqueAuth::NONE };
            let mut out = BytesMut::new();
            call.encode(&mut out);
            let full = out.freeze();
            let (back, rest) = CallHeader::decode(full.clone()).unwrap();
            prop_assert_eq!(rest.left(), 0);
            prop_assert_eq!(back, call);
            for cut in 0..full.len() {
                prop_assert!(CallHeader::decode(full.slice(..cut)).is_err());
            }
        }

        #[test]
        fn reply_round_trips(xid: u32, header in replies()) {
            let mut out = BytesMut::new();
            header.encode(xid, &mut out);
            prop_assert!(out.len() <= ReplyHeader::LEN_MAX);
            let (back_xid, back, rest) = ReplyHeader::decode(out.freeze()).unwrap();
            prop_assert_eq!((back_xid, back, rest.left()), (xid, header, 0));
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            let _ = CallHeader::decode(bytes.clone());
            let _ = ReplyHeader::decode(bytes);
        }
    }
}
