//! What a route takes: its query and its body, parsed to the letter and described from the same types.

use crate::guard::Refusal;
use axum::body::Bytes;
use axum::extract::Query as UrlQuery;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use dfs_api::{AuditQuery, Problem};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Items of a page where the caller does not say.
const PAGE: usize = 100;
/// Most items of a page.
pub(crate) const PAGE_MAX: usize = 1000;
/// Longest key of an item.
const AFTER_MAX: usize = 256;

/// The query of a route. What it does not know is refused.
pub(crate) trait Query: Sized + Send + 'static {
    fn schema(schemas: &mut SchemaGenerator) -> Option<Schema>;
    fn parse(uri: &Uri) -> Result<Self, Refusal>;
}

/// No query at all.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

/// A page of a list.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Paged {
    /// Most items of one answer; 100 when left out.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<usize>,
    /// The key of the last item seen, out of the `link` header; the list goes on after it.
    #[schemars(length(max = 256))]
    pub after: Option<String>,
}

impl Paged {
    /// Most items of the page. *Errors:* one that is out of range.
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            None => Ok(PAGE),
            Some(limit) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
            Some(_) => Err(Problem::field("limit", format!("limit is 1 to {PAGE_MAX}"))),
        }
    }

    /// The key after which the page begins. *Errors:* one that is none.
    pub fn after(&self) -> Result<Option<&str>, Problem> {
        match &self.after {
            Some(after) if after.chars().count() > AFTER_MAX => {
                Err(Problem::field("after", format!("after has at most {AFTER_MAX} characters")))
            }
            after => Ok(after.as_deref()),
        }
    }
}

/// A change that may cut clients off.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Forced {
    /// Do it although clients are cut off.
    pub force: bool,
}

/// A change that may be tried without doing it.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tried {
    /// Do it although clients are cut off.
    pub force: bool,
    /// Only test it, and answer what would come of it.
    pub dry_run: bool,
}

/// Whether all of the caller's sessions are meant.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AllSessions {
    /// End every session of the caller, not only this one.
    pub all: bool,
}

macro_rules! query {
    ($($type:ty),*) => {$(
        impl Query for $type {
            fn schema(schemas: &mut SchemaGenerator) -> Option<Schema> {
                Some(<$type>::json_schema(schemas))
            }

            fn parse(uri: &Uri) -> Result<Self, Refusal> {
                parsed(uri)
            }
        }
    )*};
}
query!(NoQuery, Paged, Forced, Tried, AllSessions, AuditQuery);

fn parsed<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    let found = UrlQuery::<T>::try_from_uri(uri);
    found.map(|UrlQuery(query)| query).map_err(|rejection| {
        let text = rejection.body_text();
        Problem { field: field_of(&text), ..Problem::new(400, "invalid-query", text) }.into()
    })
}

/// The body of a route.
pub(crate) trait Payload: Sized + Send + 'static {
    /// Whether it is read at all, and how many bytes of it at most.
    const BYTES_MAX: Option<usize>;
    /// Media type and schema.
    fn schema(schemas: &mut SchemaGenerator) -> Option<(&'static str, Schema)>;
    fn parse(headers: &HeaderMap, body: Bytes) -> Result<Self, Refusal>;
}

/// Largest JSON body in bytes.
const JSON_MAX: usize = 1 << 20;
/// Largest body that is a file: a backup of 10,000 users and all their grants is a few MiB.
const FILE_MAX: usize = 64 << 20;

/// No body. What a caller sends all the same is not read.
pub(crate) struct NoBody;

impl Payload for NoBody {
    const BYTES_MAX: Option<usize> = None;

    fn schema(_: &mut SchemaGenerator) -> Option<(&'static str, Schema)> {
        None
    }

    fn parse(_: &HeaderMap, _: Bytes) -> Result<Self, Refusal> {
        Ok(NoBody)
    }
}

/// A JSON body.
pub(crate) struct Sent<T>(pub T);

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Payload for Sent<T> {
    const BYTES_MAX: Option<usize> = Some(JSON_MAX);

    fn schema(schemas: &mut SchemaGenerator) -> Option<(&'static str, Schema)> {
        Some(("application/json", schemas.subschema_for::<T>()))
    }

    fn parse(headers: &HeaderMap, body: Bytes) -> Result<Self, Refusal> {
        if !media_type(headers).is_some_and(|kind| kind == "application/json" || kind.ends_with("+json")) {
            let why = "the body must be JSON, with the header content-type: application/json";
            return Err(Problem::new(415, "not-json", why).into());
        }
        // A list would be taken for the fields in their order.
        if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            return Err(
                Problem::new(422, "invalid-body", "the body must be a JSON object, not a list").into()
            );
        }
        match axum::Json::<T>::from_bytes(&body) {
            Ok(axum::Json(value)) => Ok(Sent(value)),
            Err(rejection) => {
                let (status, text) = (rejection.status().as_u16(), rejection.body_text());
                Err(Problem { field: field_of(&text), ..Problem::new(status, "invalid-body", text) }.into())
            }
        }
    }
}

/// A file as a body.
pub(crate) struct File(pub Bytes);

impl Payload for File {
    const BYTES_MAX: Option<usize> = Some(FILE_MAX);

    fn schema(_: &mut SchemaGenerator) -> Option<(&'static str, Schema)> {
        Some(("application/octet-stream", schemars::json_schema!({})))
    }

    fn parse(headers: &HeaderMap, body: Bytes) -> Result<Self, Refusal> {
        if media_type(headers).as_deref() != Some("application/octet-stream") {
            let why = "the body must be the file, with the header content-type: application/octet-stream";
            return Err(Problem::new(415, "not-a-file", why).into());
        }
        Ok(File(body))
    }
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

/// The field that a parser's complaint is about: what it quotes, below the path that it gives.
fn field_of(text: &str) -> Option<String> {
    let quoted = ["missing field `", "unknown field `", "duplicate field `"].iter().find_map(|lead| {
        let (_, rest) = text.split_once(lead)?;
        rest.split('`').next()
    });
    let told = text.split_once("target type: ").or_else(|| text.split_once("query string: "));
    let path = told.and_then(|(_, rest)| rest.split_once(": ")).map(|(path, _)| path);
    let path = path.filter(|path| !path.contains([' ', '`']) && *path != "." && *path != "?");
    match (path, quoted) {
        (Some(path), Some(name)) if path != name && !path.ends_with(&format!(".{name}")) => {
            Some(format!("{path}.{name}"))
        }
        (Some(path), _) => Some(path.to_owned()),
        (None, name) => name.map(str::to_owned),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use dfs_api::{CreateUser, ShareConfig};

    fn json() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        headers
    }

    fn refused<T: DeserializeOwned + JsonSchema + Send + 'static>(body: &str) -> Problem {
        let Err(Refusal(problem)) = Sent::<T>::parse(&json(), Bytes::copy_from_slice(body.as_bytes())) else {
            panic!("{body} was taken");
        };
        problem
    }

    #[test]
    fn body_that_is_wrong_names_the_field_however_deep() {
        let field = |body: &str| refused::<ShareConfig>(body).field;
        let with = |more: &str| format!(r#"{{"name": "s", "metadata": "m", "cold": "c", {more}}}"#);
        assert_eq!(field(r#"{"name": "s"}"#).as_deref(), Some("metadata"));
        assert_eq!(field(&with(r#""durabilty": "local""#)).as_deref(), Some("durabilty"));
        assert_eq!(field(&with(r#""block_size": "x""#)).as_deref(), Some("block_size"));
        assert_eq!(
            field(&with(r#""rules": {"recycle": {"keep_days": -1, "bytes_max": 1}}"#)).as_deref(),
            Some("rules.recycle.keep_days")
        );
        assert_eq!(field(&with(r#""rules": {"shown": 1}"#)).as_deref(), Some("rules.shown"));
        assert_eq!(refused::<dfs_api::ChangeUser>(" [null, null]").status, 422);
        assert_eq!(refused::<CreateUser>("{").status, 400);
        assert_eq!(refused::<CreateUser>(r#"{"name": 1}"#).status, 422);
    }

    #[test]
    fn body_of_another_media_type_is_refused() {
        let refused = |headers: &HeaderMap| match Sent::<CreateUser>::parse(headers, Bytes::new()) {
            Err(Refusal(problem)) => problem.status,
            Ok(_) => 200,
        };
        assert_eq!(refused(&HeaderMap::new()), 415);
        let mut form = HeaderMap::new();
        form.insert(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        assert_eq!(refused(&form), 415);
    }

    #[test]
    fn query_takes_only_what_it_knows() {
        let paged = |query: &str| match Paged::parse(&format!("/users?{query}").parse().unwrap()) {
            Ok(paged) => Ok((paged.limit, paged.after)),
            Err(Refusal(problem)) => Err((problem.status, problem.field)),
        };
        assert_eq!(paged("limit=7&after=bo"), Ok((Some(7), Some("bo".to_owned()))));
        assert_eq!(paged("limt=7"), Err((400, Some("limt".to_owned()))));
        assert_eq!(paged("limit=-1"), Err((400, Some("limit".to_owned()))));
        assert!(NoQuery::parse(&"/x?y=1".parse().unwrap()).is_err());
        assert!(Forced::parse(&"/x?force=true".parse().unwrap()).is_ok_and(|asked| asked.force));
    }
}
