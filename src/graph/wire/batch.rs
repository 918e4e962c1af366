//! The wire format of `$batch` (graph.md, section 7.4): requests by id, and their responses in any order.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Undecodable, decode_with_path, mended};

/// The body of one part: a non-JSON body is a string, no body is null.
pub(in crate::graph) type Body = Box<RawValue>;

/// The posted body.
#[derive(Serialize)]
pub(in crate::graph) struct RawBatch {
    pub requests: Vec<RawRequest>,
}

/// One part.
#[derive(Serialize)]
pub(in crate::graph) struct RawRequest {
    /// Unique within the batch.
    pub id: String,
    pub method: &'static str,
    /// Relative to the version's root.
    pub url: String,
}

/// The answer to one part.
#[derive(Debug, Default, Deserialize)]
pub(in crate::graph) struct RawResponse {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: Option<HashMap<String, serde_json::Value>>,
    #[serde(default)]
    body: Option<Body>,
}

impl RawResponse {
    /// The status, if present.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// A header, whatever the case of its name; numbers are read as strings.
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self
            .headers
            .as_ref()?
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))?;
        match value {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The body as received.
    pub fn into_body(self) -> Body {
        self.body.unwrap_or_else(|| RawValue::NULL.to_owned())
    }

    /// The bytes of the body; `null` if there is none.
    pub fn bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or(RawValue::NULL).get().as_bytes()
    }
}

/// Decodes the answers by id. Of several with one id the first counts; an undecodable one is left out.
pub(in crate::graph) fn decode(body: &[u8]) -> Result<HashMap<String, RawResponse>, Undecodable> {
    let body = mended(body);
    let RawResponses { responses } = decode_with_path(&body)?;
    let mut answers = HashMap::with_capacity(responses.len());
    for response in responses {
        if let Ok(RawName { id }) = serde_json::from_str(response.get())
            && let Ok(response) = serde_json::from_str(response.get())
        {
            answers.entry(id).or_insert(response);
        }
    }
    Ok(answers)
}

/// Decodes a body that was fetched alone as the part of a batch would be.
pub(in crate::graph) fn decode_alone(body: &[u8]) -> Result<Body, Undecodable> {
    serde_json::from_slice(&mended(body)).map_err(|_| Undecodable::Broken)
}

#[derive(Deserialize)]
struct RawResponses<'a> {
    #[serde(borrow)]
    responses: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawName {
    id: String,
}
