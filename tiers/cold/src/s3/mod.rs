//! A cold store in an S3 bucket, or in anything that speaks S3 with conditional puts.
//!
//! The SDK's own retries are off. Integrity of uploads: over TLS by TLS and, at Amazon, a checksum that the SDK adds; over
//! plain HTTP the payload's SHA-256 is signed, so that the store refuses what was changed on the way. Reads are verified
//! above, block by block. A crash leaves at most an incomplete upload in parts, which is no object.

mod body;
mod cut;
mod failure;
mod multipart;

use crate::error::{ColdError, ColdErrorKind, ColdOp, ColdResult, PermanentCause};
use crate::store::{
    ColdInfo, ColdStore, DeleteOutcome, LIST_PAGE_MAX, ListPage, ListToken, ListedObject, OWNER_LEN_MAX,
    ObjectInfo, ObjectVersion, PutBody, PutOutcome, span,
};
use crate::{Key, KeyPrefix};
use async_trait::async_trait;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::Bytes;
use cut::Cut;
use dfs_model::Timestamp;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// Most keys of one delete request, a bound of S3.
const DELETE_KEYS_MAX: usize = 1000;
/// Largest body of a put that this program will send: 5 GiB in one request, more in parts.
const PUT_LEN_MAX: u64 = 1 << 40;
/// Region that signs requests to endpoints which know none.
const REGION_DEFAULT: &str = "us-east-1";

/// A key pair. Its secret shows in no output.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct S3Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Credentials({}, secret not shown)", self.access_key_id)
    }
}

/// Where a bucket is and how to talk to it.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// `http://` or `https://` address of the store; `None`: Amazon's.
    pub endpoint: Option<String>,
    /// Region; `None`: from the environment for Amazon, a neutral one for other endpoints.
    pub region: Option<String>,
    /// Bucket in the path instead of the host name; `None`: yes with an endpoint, no without.
    pub path_style: Option<bool>,
    /// `None`: the usual chain (environment, profile, container or instance role, command).
    pub credentials: Option<S3Credentials>,
    /// Bodies above this many bytes go up in parts.
    pub multipart_above: u64,
    /// Whether payload hashes are signed; `None`: over plain HTTP only.
    pub sign_payload: Option<bool>,
    /// Longest time for a connection to open.
    pub connect_timeout: Duration,
    /// Longest time of one request in all; the limit layer is usually stricter.
    pub request_timeout: Duration,
}

impl S3Config {
    /// The defaults for a bucket.
    #[must_use]
    pub fn bucket(bucket: impl Into<String>) -> S3Config {
        S3Config {
            bucket: bucket.into(),
            endpoint: None,
            region: None,
            path_style: None,
            credentials: None,
            multipart_above: 32 << 20,
            sign_payload: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(300),
        }
    }

    /// Bucket and endpoint for humans.
    fn location(&self) -> String {
        format!("s3://{} at {}", self.bucket, self.endpoint.as_deref().unwrap_or("Amazon S3"))
    }
}

/// A bucket.
pub struct S3Cold {
    client: aws_sdk_s3::Client,
    bucket: String,
    location: String,
    multipart_above: u64,
    sign_payload: bool,
}

impl S3Cold {
    /// Makes the client. No request is sent to the bucket: that is the probe's work. *Errors:* `Permanent(WrongEndpoint)`
    /// for an endpoint that is no HTTP address.
    pub async fn open(config: S3Config) -> ColdResult<S3Cold> {
        let location = config.location();
        let plain = config.endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
        let known = plain || config.endpoint.as_deref().is_none_or(|url| url.starts_with("https://"));
        if !known || config.bucket.is_empty() {
            let kind = ColdErrorKind::Permanent(PermanentCause::WrongEndpoint);
            let detail = "an endpoint starts with http:// or https://, and a bucket has a name";
            return Err(ColdError::new(kind, ColdOp::Open, &location, detail));
        }
        let region = config.region.or_else(|| config.endpoint.is_some().then(|| REGION_DEFAULT.to_owned()));
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        if let Some(pair) = config.credentials {
            let (id, secret) = (pair.access_key_id, pair.secret_access_key);
            loader = loader.credentials_provider(Credentials::new(
                id,
                secret,
                pair.session_token,
                None,
                "configuration",
            ));
        }
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(config.connect_timeout)
            .operation_attempt_timeout(config.request_timeout)
            .build();
        let shared = loader.load().await;
        let mut builder = aws_sdk_s3::config::Builder::from(&shared)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .force_path_style(config.path_style.unwrap_or(config.endpoint.is_some()));
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        if config.endpoint.as_deref().is_some_and(|url| !url.contains(".amazonaws.com")) {
            builder = builder
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        }
        Ok(S3Cold {
            client: aws_sdk_s3::Client::from_conf(builder.build()),
            bucket: config.bucket,
            location,
            multipart_above: config.multipart_above.clamp(5 << 20, 5 << 30),
            sign_payload: config.sign_payload.unwrap_or(plain),
        })
    }

    fn failed<E>(&self, op: ColdOp, error: SdkError<E, HttpResponse>) -> ColdError
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        failure::translate(op, &self.location, error)
    }

    fn error(&self, kind: ColdErrorKind, op: ColdOp, key: &Key, detail: impl Into<String>) -> ColdError {
        ColdError::new(kind, op, &self.location, detail).key(key)
    }

    async fn put_whole(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome> {
        let sent = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .if_none_match("*")
            .content_length(i64::try_from(body.len()).unwrap_or(i64::MAX))
            .body(body::stream(&body, self.sign_payload))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(PutOutcome::Stored),
            Err(error) => match self.failed(ColdOp::Put, error).key(key) {
                error if error.kind == ColdErrorKind::Conflict => Ok(PutOutcome::Exists),
                error if error.is_not_found() => Err(self.bucket_or(error).await),
                error => Err(error),
            },
        }
    }

    /// An answer "not found" without a code may mean the bucket: asks.
    async fn bucket_or(&self, error: ColdError) -> ColdError {
        match self.client.head_bucket().bucket(&self.bucket).send().await {
            Err(missing) if missing.raw_response().is_some_and(|r| r.status().as_u16() == 404) => {
                let kind = ColdErrorKind::Permanent(PermanentCause::BucketMissing);
                ColdError { kind, detail: "the bucket does not exist".to_owned(), ..error }
            }
            _ => error,
        }
    }

    async fn delete_some(&self, keys: &[Key]) -> ColdResult<Vec<DeleteOutcome>> {
        let mut objects = Vec::with_capacity(keys.len());
        for key in keys {
            let object = ObjectIdentifier::builder().key(key.as_str()).build();
            objects.push(object.map_err(|e| self.bad_request(ColdOp::Delete, e))?);
        }
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build();
        let delete = delete.map_err(|e| self.bad_request(ColdOp::Delete, e))?;
        let sent = self.client.delete_objects().bucket(&self.bucket).delete(delete).send().await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                let error = self.failed(ColdOp::Delete, error);
                return match error.cause() {
                    Some(PermanentCause::Unsupported) => Ok(self.delete_singly(keys).await),
                    _ => Err(error),
                };
            }
        };
        let mut refused: HashMap<String, (String, String)> = HashMap::new();
        for error in answer.errors.unwrap_or_default() {
            let words = (error.code.unwrap_or_default(), error.message.unwrap_or_default());
            refused.insert(error.key.unwrap_or_default(), words);
        }
        Ok(keys
            .iter()
            .map(|key| match refused.get(key.as_str()) {
                None => DeleteOutcome::Gone,
                Some((code, _)) if code == "NoSuchKey" => DeleteOutcome::Gone,
                Some((code, message)) => {
                    let (kind, _) =
                        failure::classify(&failure::Answer { code, ..failure::Answer::default() });
                    DeleteOutcome::Failed(self.error(kind, ColdOp::Delete, key, format!("{code}: {message}")))
                }
            })
            .collect())
    }

    /// For stores without a batch delete.
    async fn delete_singly(&self, keys: &[Key]) -> Vec<DeleteOutcome> {
        let mut outcomes = Vec::with_capacity(keys.len());
        for key in keys {
            let sent = self.client.delete_object().bucket(&self.bucket).key(key.as_str()).send().await;
            outcomes.push(match sent.map_err(|error| self.failed(ColdOp::Delete, error).key(key)) {
                Ok(_) => DeleteOutcome::Gone,
                Err(error) if error.is_not_found() => DeleteOutcome::Gone,
                Err(error) => DeleteOutcome::Failed(error),
            });
        }
        outcomes
    }

    fn bad_request(&self, op: ColdOp, error: impl std::error::Error + Send + Sync + 'static) -> ColdError {
        let kind = ColdErrorKind::Permanent(PermanentCause::BadRequest);
        ColdError::new(kind, op, &self.location, error.to_string()).source(error)
    }
}

fn timestamp(time: Option<DateTime>) -> Timestamp {
    time.map_or(Timestamp::EPOCH, |time| Timestamp::new(time.secs(), time.subsec_nanos()))
}

fn length(len: Option<i64>) -> u64 {
    len.and_then(|len| u64::try_from(len).ok()).unwrap_or(0)
}

/// The whole object's length in a `Content-Range: bytes a-b/len`.
fn total_of(content_range: &str) -> Option<u64> {
    content_range.rsplit('/').next()?.trim().parse().ok()
}

#[async_trait]
impl ColdStore for S3Cold {
    async fn put_if_absent(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome> {
        if body.len() > self.multipart_above {
            return self.put_parts(key, body).await;
        }
        self.put_whole(key, body).await
    }

    async fn put_owner(
        &self,
        key: &Key,
        body: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> ColdResult<ObjectVersion> {
        let request = self.client.put_object().bucket(&self.bucket).key(key.as_str());
        let request = match expected {
            Some(version) => request.if_match(&version.0),
            None => request.if_none_match("*"),
        };
        let sent = request.body(body.into()).send().await;
        match sent.map_err(|error| self.failed(ColdOp::PutOwner, error).key(key)) {
            Ok(done) => done.e_tag.map(ObjectVersion).ok_or_else(|| {
                let kind = ColdErrorKind::Permanent(PermanentCause::Unsupported);
                self.error(kind, ColdOp::PutOwner, key, "the store gives objects no ETag")
            }),
            // If-Match on an object that is gone is answered with "not found".
            Err(error) if error.is_not_found() && expected.is_some() => {
                Err(ColdError { kind: ColdErrorKind::Conflict, ..error })
            }
            Err(error) => Err(error),
        }
    }

    async fn get_owner(&self, key: &Key) -> ColdResult<(Bytes, ObjectVersion)> {
        let sent = self.client.get_object().bucket(&self.bucket).key(key.as_str()).send().await;
        let got = sent.map_err(|error| self.failed(ColdOp::GetOwner, error).key(key))?;
        let len = length(got.content_length);
        if len > OWNER_LEN_MAX {
            let kind = ColdErrorKind::Permanent(PermanentCause::BadRequest);
            return Err(self.error(kind, ColdOp::GetOwner, key, format!("owner object of {len} bytes")));
        }
        let version = got.e_tag.map(ObjectVersion);
        let bytes = got.body.collect().await.map_err(|error| {
            self.error(ColdErrorKind::Retry, ColdOp::GetOwner, key, "the body broke off").source(error)
        })?;
        let kind = ColdErrorKind::Permanent(PermanentCause::Unsupported);
        let version =
            version.ok_or_else(|| self.error(kind, ColdOp::GetOwner, key, "the store gives no ETag"))?;
        Ok((bytes.into_bytes(), version))
    }

    async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> ColdResult<Vec<Bytes>> {
        let range = span(ranges);
        let want = range.end.saturating_sub(range.start);
        let header = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let sent = self.client.get_object().bucket(&self.bucket).key(key.as_str()).range(header).send().await;
        let mut got = sent.map_err(|error| self.failed(ColdOp::Get, error).key(key))?;
        let len = length(got.content_length);
        let total = got.content_range.as_deref().and_then(total_of);
        if len != want {
            let detail = format!("bytes {range:?} asked for, {len} promised of an object of {total:?}");
            let kind = match total {
                Some(total) if total < range.end => ColdErrorKind::Permanent(PermanentCause::OutOfRange),
                Some(_) => ColdErrorKind::Retry,
                None => ColdErrorKind::Permanent(PermanentCause::Unsupported),
            };
            return Err(self.error(kind, ColdOp::Get, key, detail));
        }
        let mut cut = Cut::new(ranges);
        while let Some(piece) = got.body.next().await {
            let piece = piece.map_err(|error| {
                self.error(ColdErrorKind::Retry, ColdOp::Get, key, "the body broke off").source(error)
            })?;
            cut.take(&piece);
        }
        cut.finish().map_err(|came| {
            self.error(ColdErrorKind::Retry, ColdOp::Get, key, format!("{came} bytes came instead of {want}"))
        })
    }

    async fn head(&self, key: &Key) -> ColdResult<ObjectInfo> {
        let sent = self.client.head_object().bucket(&self.bucket).key(key.as_str()).send().await;
        match sent.map_err(|error| self.failed(ColdOp::Head, error).key(key)) {
            Ok(head) => Ok(ObjectInfo {
                len: length(head.content_length),
                modified: timestamp(head.last_modified),
                version: ObjectVersion(head.e_tag.unwrap_or_default()),
            }),
            Err(error) if error.is_not_found() => Err(self.bucket_or(error).await),
            Err(error) => Err(error),
        }
    }

    async fn list_page(&self, prefix: &KeyPrefix, after: Option<&ListToken>) -> ColdResult<ListPage> {
        let sent = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix.as_str())
            .max_keys(i32::try_from(LIST_PAGE_MAX).unwrap_or(i32::MAX))
            .set_start_after(after.map(|token| token.0.clone()))
            .send()
            .await;
        let page = sent.map_err(|error| self.failed(ColdOp::List, error))?;
        let contents = page.contents.unwrap_or_default();
        let last = contents.last().and_then(|object| object.key.clone());
        let next = match (page.is_truncated.unwrap_or(false), last) {
            (false, _) => None,
            (true, Some(last)) if after.is_some_and(|token| last <= token.0) => {
                let kind = ColdErrorKind::Permanent(PermanentCause::Unsupported);
                let detail = "a listing does not go on behind start-after";
                return Err(ColdError::new(kind, ColdOp::List, &self.location, detail));
            }
            (true, Some(last)) => Some(ListToken(last)),
            (true, None) => {
                let detail = "a page without objects that is not the last";
                return Err(ColdError::new(ColdErrorKind::Retry, ColdOp::List, &self.location, detail));
            }
        };
        let objects = contents.into_iter().filter_map(|object| {
            let info = ObjectInfo {
                len: length(object.size),
                modified: timestamp(object.last_modified),
                version: ObjectVersion(object.e_tag.unwrap_or_default()),
            };
            Some(ListedObject { key: Key::new(object.key?).ok()?, info })
        });
        Ok(ListPage { objects: objects.collect(), next })
    }

    async fn delete_batch(&self, keys: &[Key]) -> ColdResult<Vec<DeleteOutcome>> {
        let mut outcomes = Vec::with_capacity(keys.len());
        for some in keys.chunks(DELETE_KEYS_MAX) {
            outcomes.extend(self.delete_some(some).await?);
        }
        Ok(outcomes)
    }

    fn describe(&self) -> ColdInfo {
        ColdInfo {
            kind: "s3",
            location: self.location.clone(),
            put_len_max: PUT_LEN_MAX,
            multipart_above: Some(self.multipart_above),
        }
    }
}
