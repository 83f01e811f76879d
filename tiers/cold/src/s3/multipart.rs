//! Uploads in parts, for bodies above a threshold. The object appears whole, with the completion, or not at all.
//!
//! Whatever ends the upload early, a drop of the future included, an abort is sent; if that too is lost, the bucket's
//! lifecycle rule for incomplete uploads has to clean up.

use super::{S3Cold, body};
use crate::{ColdError, ColdErrorKind, ColdOp, ColdResult, Key, PutBody, PutOutcome};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures_util::{StreamExt, TryStreamExt, stream};

/// Parts of one upload under way at once.
const PARTS_AT_ONCE: usize = 4;
/// Smallest part but the last: the 5 MiB of S3, rounded up for fewer requests.
const PART_LEN_MIN: u64 = 8 << 20;
/// Most parts of an upload, a bound of S3.
const PARTS_MAX: u64 = 10_000;

/// Sends an abort when it goes away armed.
struct Abort<'a> {
    store: &'a S3Cold,
    key: &'a Key,
    upload: String,
    armed: bool,
}

impl Drop for Abort<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let request = self
            .store
            .client
            .abort_multipart_upload()
            .bucket(&self.store.bucket)
            .key(self.key.as_str())
            .upload_id(&self.upload);
        let (store, key) = (self.store.location.clone(), self.key.clone());
        runtime.spawn(async move {
            if let Err(error) = request.send().await {
                tracing::debug!(store, %key, ?error, "cold store: an upload in parts could not be aborted");
            }
        });
    }
}

impl S3Cold {
    pub(super) async fn put_parts(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome> {
        let begun = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key.as_str())
            .send()
            .await
            .map_err(|error| self.failed(ColdOp::Put, error).key(key).certain())?;
        let upload = begun.upload_id.unwrap_or_default();
        if upload.is_empty() {
            let detail = "no upload id in the answer";
            return Err(ColdError::new(ColdErrorKind::Retry, ColdOp::Put, &self.location, detail)
                .key(key)
                .certain());
        }
        let mut abort = Abort { store: self, key, upload, armed: true };
        // Until the completion is sent nothing can appear under the key.
        let parts = self.send_parts(key, &abort.upload, &body).await.map_err(ColdError::certain)?;
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(key.as_str())
            .upload_id(&abort.upload)
            .if_none_match("*")
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .send()
            .await;
        match complete {
            Ok(done) if done.e_tag.is_some() => {
                abort.armed = false;
                Ok(PutOutcome::Stored)
            }
            Ok(_) => {
                let detail = "the answer to the completion says neither yes nor no";
                Err(ColdError::new(ColdErrorKind::Retry, ColdOp::Put, &self.location, detail).key(key))
            }
            Err(error) => match self.failed(ColdOp::Put, error).key(key) {
                error if error.kind == ColdErrorKind::Conflict => Ok(PutOutcome::Exists),
                // The upload may be gone because an earlier completion worked: ask no further, it is in doubt.
                error if error.is_not_found() => {
                    Err(ColdError { kind: ColdErrorKind::Retry, in_doubt: true, ..error })
                }
                error => Err(error),
            },
        }
    }

    async fn send_parts(&self, key: &Key, upload: &str, body: &PutBody) -> ColdResult<Vec<CompletedPart>> {
        let part_len = PART_LEN_MIN.max(body.len().div_ceil(PARTS_MAX));
        let count = body.len().div_ceil(part_len);
        let sends = (0..count).map(|nth| async move {
            let part = body.slice(nth * part_len, ((nth + 1) * part_len).min(body.len()));
            let number = i32::try_from(nth + 1).unwrap_or(i32::MAX);
            let sent = self
                .client
                .upload_part()
                .bucket(&self.bucket)
                .key(key.as_str())
                .upload_id(upload)
                .part_number(number)
                .content_length(i64::try_from(part.len()).unwrap_or(i64::MAX))
                .body(body::stream(&part, self.sign_payload))
                .send()
                .await
                .map_err(|error| self.failed(ColdOp::Put, error).key(key))?;
            Ok(CompletedPart::builder().set_e_tag(sent.e_tag).part_number(number).build())
        });
        stream::iter(sends).buffered(PARTS_AT_ONCE).try_collect().await
    }
}
