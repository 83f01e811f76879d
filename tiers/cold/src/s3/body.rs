//! Request bodies made of pieces, without joining them.

use crate::PutBody;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Pieces handed to the connection one by one; the length is known from the start.
struct Pieces {
    parts: VecDeque<Bytes>,
    left: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.parts.pop_front().map(|part| {
            self.left = self.left.saturating_sub(part.len() as u64);
            Ok(Frame::data(part))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The body as the SDK takes it. Signed: joined into one buffer, because its hash is part of the signature and lets the
/// store verify what arrived. Unsigned: piece by piece, for connections that TLS protects.
pub(super) fn stream(body: &PutBody, signed: bool) -> ByteStream {
    if signed {
        return ByteStream::from(body.to_bytes());
    }
    let parts: VecDeque<Bytes> = body.parts().iter().filter(|part| !part.is_empty()).cloned().collect();
    ByteStream::new(SdkBody::from_body_1_x(Pieces { parts, left: body.len() }))
}
