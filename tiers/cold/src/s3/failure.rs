//! What an S3 store's refusal means. One pure table from status and code to our kinds; everything else feeds it.

use crate::{ColdError, ColdErrorKind, ColdOp, PermanentCause};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::time::Duration;

/// Longest text of a store that goes into a message.
const DETAIL_LEN_MAX: usize = 400;

/// What a store answered.
#[derive(Debug, Default)]
pub(super) struct Answer<'a> {
    pub status: u16,
    pub code: &'a str,
    pub retry_after: Option<Duration>,
}

/// What an answer means, and whether a write may have happened in spite of it.
pub(super) fn classify(answer: &Answer<'_>) -> (ColdErrorKind, bool) {
    use PermanentCause as Cause;
    let permanent = |cause| (ColdErrorKind::Permanent(cause), false);
    let throttled = (ColdErrorKind::Throttled { after: answer.retry_after }, false);
    match answer.code {
        "NoSuchBucket" => permanent(Cause::BucketMissing),
        "NoSuchKey" | "NotFound" | "NoSuchUpload" => (ColdErrorKind::NotFound, false),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "NotSignedUp" => {
            permanent(Cause::AccessDenied)
        }
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "ExpiredToken"
        | "TokenRefreshRequired"
        | "InvalidSecurity" => permanent(Cause::BadCredentials),
        "RequestTimeTooSkewed" | "RequestExpired" => permanent(Cause::ClockSkew),
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => permanent(Cause::WrongEndpoint),
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "BandwidthLimitExceeded"
        | "ServiceUnavailable" => throttled,
        "PreconditionFailed" => (ColdErrorKind::Conflict, false),
        "ConditionalRequestConflict" | "OperationAborted" => (ColdErrorKind::Retry, false),
        "InternalError" | "RequestTimeout" | "IncompleteBody" => (ColdErrorKind::Retry, true),
        "BadDigest" | "XAmzContentSHA256Mismatch" => (ColdErrorKind::Retry, false),
        "InvalidRange" => permanent(Cause::OutOfRange),
        "QuotaExceeded" | "StorageFull" | "XMinioStorageFull" | "InsufficientStorage" => {
            permanent(Cause::StoreFull)
        }
        "NotImplemented" | "MethodNotAllowed" => permanent(Cause::Unsupported),
        _ => match answer.status {
            401 | 403 => permanent(Cause::AccessDenied),
            404 => (ColdErrorKind::NotFound, false),
            301 | 302 | 307 | 308 => permanent(Cause::WrongEndpoint),
            408 => (ColdErrorKind::Retry, true),
            409 => (ColdErrorKind::Retry, false),
            412 => (ColdErrorKind::Conflict, false),
            416 => permanent(Cause::OutOfRange),
            429 | 503 => throttled,
            405 | 501 => permanent(Cause::Unsupported),
            507 => permanent(Cause::StoreFull),
            400..=499 => permanent(Cause::BadRequest),
            _ => (ColdErrorKind::Retry, true),
        },
    }
}

/// What a request without an answer means: told by the errors below it.
fn unanswered(error: &(dyn Error + 'static)) -> (ColdErrorKind, bool) {
    let mut next = Some(error);
    while let Some(at) = next {
        if at.downcast_ref::<CredentialsError>().is_some() {
            return (ColdErrorKind::Permanent(PermanentCause::BadCredentials), false);
        }
        if let Some(io) = at.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return (ColdErrorKind::Retry, false);
        }
        let text = at.to_string();
        if text.contains("invalid peer certificate") {
            return (ColdErrorKind::Permanent(PermanentCause::WrongEndpoint), false);
        }
        if text.contains("dns error") || text.contains("no credentials") {
            let credentials = text.contains("no credentials");
            let bad = ColdErrorKind::Permanent(PermanentCause::BadCredentials);
            return (if credentials { bad } else { ColdErrorKind::Retry }, false);
        }
        next = at.source();
    }
    (ColdErrorKind::Retry, true)
}

/// Turns an SDK error into ours: kind, doubt and the store's own words.
pub(super) fn translate<E>(op: ColdOp, store: &str, error: SdkError<E, HttpResponse>) -> ColdError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let response = error.raw_response();
    let status = response.map_or(0, |response| response.status().as_u16());
    let retry_after = response
        .and_then(|response| response.headers().get("retry-after"))
        .and_then(|seconds| seconds.trim().parse().ok())
        .map(Duration::from_secs);
    let code = error.code().unwrap_or_default();
    let (kind, in_doubt) = match &error {
        SdkError::ServiceError(_) => classify(&Answer { status, code, retry_after }),
        SdkError::ConstructionFailure(_) => match unanswered(&error) {
            (ColdErrorKind::Retry, _) => (ColdErrorKind::Permanent(PermanentCause::BadRequest), false),
            known => known,
        },
        // An answer that cannot be understood proves nothing about the write.
        SdkError::ResponseError(_) => match classify(&Answer { status, code, retry_after }) {
            (ColdErrorKind::NotFound, _) => (ColdErrorKind::Permanent(PermanentCause::WrongEndpoint), false),
            known => (known.0, true),
        },
        _ => unanswered(&error),
    };
    let detail = words(status, code, error.message(), &error);
    ColdError { in_doubt, ..ColdError::new(kind, op, store, detail).source(error) }
}

/// One line: the store's code and message, else the chain of what lies beneath.
fn words(status: u16, code: &str, message: Option<&str>, error: &(dyn Error + 'static)) -> String {
    let mut text = match (status, code, message) {
        (0, ..) => {
            let mut lines = vec![error.to_string()];
            let mut next = error.source();
            while let Some(at) = next {
                let line = at.to_string();
                if lines.last() != Some(&line) {
                    lines.push(line);
                }
                next = at.source();
            }
            lines.join(": ")
        }
        (status, "", message) => format!("status {status} {}", message.unwrap_or_default()),
        (status, code, message) => format!("{code} (status {status}): {}", message.unwrap_or_default()),
    };
    text = text.replace(['\n', '\r'], " ");
    if let Some((at, _)) = text.char_indices().nth(DETAIL_LEN_MAX) {
        text.truncate(at);
    }
    text.trim_end_matches([' ', ':']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use PermanentCause as Cause;

    #[test]
    fn classify_known_answers_gives_what_a_caller_does() {
        let p = ColdErrorKind::Permanent;
        let after = Some(Duration::from_secs(3));
        let table = [
            (404, "NoSuchBucket", p(Cause::BucketMissing), false),
            (404, "NoSuchKey", ColdErrorKind::NotFound, false),
            (404, "", ColdErrorKind::NotFound, false),
            (403, "AccessDenied", p(Cause::AccessDenied), false),
            (403, "", p(Cause::AccessDenied), false),
            (403, "InvalidAccessKeyId", p(Cause::BadCredentials), false),
            (403, "SignatureDoesNotMatch", p(Cause::BadCredentials), false),
            (403, "RequestTimeTooSkewed", p(Cause::ClockSkew), false),
            (301, "PermanentRedirect", p(Cause::WrongEndpoint), false),
            (503, "SlowDown", ColdErrorKind::Throttled { after }, false),
            (503, "", ColdErrorKind::Throttled { after }, false),
            (429, "", ColdErrorKind::Throttled { after }, false),
            (412, "PreconditionFailed", ColdErrorKind::Conflict, false),
            (409, "ConditionalRequestConflict", ColdErrorKind::Retry, false),
            (500, "InternalError", ColdErrorKind::Retry, true),
            (502, "", ColdErrorKind::Retry, true),
            (416, "InvalidRange", p(Cause::OutOfRange), false),
            (507, "", p(Cause::StoreFull), false),
            (501, "NotImplemented", p(Cause::Unsupported), false),
            (400, "MalformedXML", p(Cause::BadRequest), false),
            (200, "", ColdErrorKind::Retry, true),
        ];
        for (status, code, kind, doubt) in table {
            let answer = Answer { status, code, retry_after: after };
            assert_eq!(classify(&answer), (kind, doubt), "{status} {code}");
        }
    }

    #[test]
    fn unanswered_refused_connection_is_certain() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(unanswered(&refused), (ColdErrorKind::Retry, false));
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(unanswered(&reset), (ColdErrorKind::Retry, true));
    }
}
