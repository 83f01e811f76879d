//! The id of a request: the caller's, if it is one that can stand in a log, else a new one.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use dfs_model::Entropy;
use std::sync::Arc;

/// Longest id taken from a caller.
const LEN_MAX: usize = 64;

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(pub Arc<str>);

impl RequestId {
    pub fn of(headers: &HeaderMap, entropy: &dyn Entropy) -> RequestId {
        let asked = headers.get(HEADER).and_then(|id| id.to_str().ok()).filter(|id| is_plain(id));
        match asked {
            Some(id) => RequestId(id.into()),
            None => RequestId(format!("{:032x}", entropy.random_u128()).into()),
        }
    }

    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=LEN_MAX).contains(&id.len()) && id.bytes().all(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    struct Seven;

    impl Entropy for Seven {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[test]
    fn id_of_the_caller_is_taken_only_if_it_can_stand_in_a_log() {
        let id = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            RequestId::of(&headers, &Seven).0.to_string()
        };
        assert_eq!(id("a-B_1.x"), "a-B_1.x");
        let made = "07".repeat(16);
        for odd in ["", "a b", "a\tb", "ä", "x=y", &"x".repeat(65)] {
            assert_eq!(id(odd), made, "{odd}");
        }
        assert_eq!(id(&"x".repeat(64)), "x".repeat(64));
        assert_eq!(*RequestId::of(&HeaderMap::new(), &Seven).0, *made);
    }
}
