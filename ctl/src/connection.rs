//! A gateway that somebody is logged in to: reads and changes resources.
//!
//! Answers keep the JSON as it came beside what this program understands of it, so that `-o json` shows fields of newer gateways too.

use crate::failure::Failure;
use dfs_api::{Client, ClientError};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::ops::Deref;

/// An answer: what is understood of it, and all of it.
pub(crate) struct Answer<T> {
    value: T,
    json: Value,
}

impl<T> Deref for Answer<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Serialize for Answer<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(to)
    }
}

impl<T: DeserializeOwned> Answer<T> {
    fn of(json: Value) -> Result<Answer<T>, Failure> {
        let value = serde_json::from_value(json.clone());
        let value = value.map_err(|error| ClientError::BadAnswer(error.to_string()))?;
        Ok(Answer { value, json })
    }
}

impl<T> Answer<T> {
    /// All of it.
    pub fn json(&self) -> &Value {
        &self.json
    }
}

/// A gateway that somebody is logged in to.
pub(crate) struct Connection {
    client: Client,
    server: String,
}

impl Connection {
    /// One by a client that has a token.
    pub fn new(client: Client, server: String) -> Connection {
        Connection { client, server }
    }

    /// Where it is.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The client, for what is no JSON.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Reads a resource.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Failure> {
        Answer::of(self.client.get(path).await?)
    }

    /// Reads a collection, all pages of it.
    pub async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<Vec<T>>, Failure> {
        Answer::of(Value::Array(self.client.list(path).await?))
    }

    /// Sends a body and reads the answer.
    pub async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Answer<T>, Failure> {
        Answer::of(self.client.post(path, body).await?)
    }

    /// Replaces a resource and reads the answer.
    pub async fn put<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Answer<T>, Failure> {
        Answer::of(self.client.put(path, body).await?)
    }

    /// Changes parts of a resource and reads the answer.
    pub async fn patch<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Answer<T>, Failure> {
        Answer::of(self.client.patch(path, body).await?)
    }

    /// Deletes a resource.
    pub async fn delete(&self, path: &str) -> Result<(), Failure> {
        Ok(self.client.delete(path).await?)
    }
}

/// A path of names below each other, whatever is in them.
pub(crate) fn path(parts: &[&str]) -> String {
    let mut path = String::new();
    for (at, part) in parts.iter().enumerate() {
        path.push('/');
        // Every other part is a collection's own word.
        path.push_str(&if at % 2 == 0 { (*part).to_owned() } else { Client::segment(part) });
    }
    path
}
