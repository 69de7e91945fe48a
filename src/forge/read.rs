//! Reading JSON that a stranger wrote: unknown keys are ignored, missing and null ones are "not stated", and a value of the
//! wrong type is an error that names its place.

use serde_json::Value;

use super::error::WebhookError;
use super::headers;
use crate::event::CommitSha;
use reqwest::header::HeaderMap;

/// Longest name of a repository, branch or tag that is taken.
const NAME_BYTES_MAX: usize = 1024;

/// The JSON of a delivery: the body itself, or the `payload` field of a form.
pub(super) fn json(headers: &HeaderMap, body: &[u8]) -> Result<Value, WebhookError> {
    let parsed = if headers::is_form(headers)? {
        let mut fields = url::form_urlencoded::parse(body);
        let (_, payload) = fields
            .find(|(name, _)| name == "payload")
            .ok_or(WebhookError::NoFormPayload)?;
        serde_json::from_str(&payload)
    } else {
        serde_json::from_slice(body)
    };
    let value: Value = parsed.map_err(|cause| WebhookError::NotJson { cause })?;
    match value {
        Value::Object(_) => Ok(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(WebhookError::Payload {
                at: "/".into(),
                wanted: "an object".into(),
                found: found(&value),
            })
        }
    }
}

/// A place in a payload, with the way to it for errors.
#[derive(Clone)]
pub(super) struct Place<'a> {
    value: Option<&'a Value>,
    at: String,
}

impl<'a> Place<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Place {
            value: Some(value),
            at: String::new(),
        }
    }

    /// The value under a key; nothing where there is nothing.
    pub(super) fn get(&self, key: &str) -> Result<Place<'a>, WebhookError> {
        let value = match self.present() {
            None => None,
            Some(Value::Object(map)) => map.get(key),
            Some(_) => return Err(self.wrong("an object")),
        };
        Ok(Place {
            value,
            at: format!("{}/{key}", self.at),
        })
    }

    /// The value under keys, one after the other.
    pub(super) fn way(&self, keys: &[&str]) -> Result<Place<'a>, WebhookError> {
        keys.iter().try_fold(self.clone(), |place, key| place.get(key))
    }

    fn present(&self) -> Option<&'a Value> {
        self.value.filter(|value| !value.is_null())
    }

    pub(super) fn is_stated(&self) -> bool {
        self.present().is_some()
    }

    pub(super) fn wrong(&self, wanted: &str) -> WebhookError {
        let at = if self.at.is_empty() {
            "/".to_owned()
        } else {
            self.at.clone()
        };
        let found = self.value.map_or("nothing".to_owned(), found);
        WebhookError::Payload {
            at,
            wanted: wanted.to_owned(),
            found,
        }
    }

    /// Text; the empty one counts as not stated.
    pub(super) fn text(&self) -> Result<Option<&'a str>, WebhookError> {
        match self.present() {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(self.wrong("text")),
        }
    }

    pub(super) fn number(&self) -> Result<Option<u64>, WebhookError> {
        match self.present() {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| self.wrong("a whole number")),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, WebhookError> {
        match self.present() {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong("true or false")),
        }
    }

    /// The elements of a list; none where there is no list.
    pub(super) fn list(&self) -> Result<Option<Vec<Place<'a>>>, WebhookError> {
        match self.present() {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(
                values
                    .iter()
                    .enumerate()
                    .map(|(index, value)| Place {
                        value: Some(value),
                        at: format!("{}/{index}", self.at),
                    })
                    .collect(),
            )),
            Some(_) => Err(self.wrong("a list")),
        }
    }

    /// A commit id; the all-zero one ("no commit") counts as not stated.
    pub(super) fn sha(&self) -> Result<Option<CommitSha>, WebhookError> {
        let Some(text) = self.text()? else { return Ok(None) };
        let sha = CommitSha::try_from(text.to_owned()).map_err(|_| self.wrong("a commit id of 40 or 64 hex digits"))?;
        Ok(Some(sha).filter(|sha| !sha.is_zero()))
    }

    /// `owner/name`, with more owners for subgroups; nothing in it that a path, a URL or a log line would trip over.
    pub(super) fn repo(&self) -> Result<Option<String>, WebhookError> {
        let Some(name) = self.text()? else { return Ok(None) };
        let plain = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && !part.starts_with('-')
                && part
                    .chars()
                    .all(|letter| letter.is_alphanumeric() || "-_.~+".contains(letter))
        };
        if name.len() <= NAME_BYTES_MAX && name.contains('/') && name.split('/').all(plain) {
            Ok(Some(name.to_owned()))
        } else {
            Err(self.wrong("a repository as `owner/name`"))
        }
    }

    /// A branch or tag name, or a full ref: as git allows it, so never with a space, a control character or `..`.
    pub(super) fn ref_name(&self) -> Result<Option<&'a str>, WebhookError> {
        let Some(name) = self.text()? else { return Ok(None) };
        let bad_letter = |letter: char| letter.is_control() || " ~^:?*[\\".contains(letter);
        let bad = name.len() > NAME_BYTES_MAX
            || name.contains(bad_letter)
            || name.contains("..")
            || name.contains("//")
            || name.contains("@{")
            || name.starts_with('/')
            || name.ends_with(['/', '.'])
            || name
                .split('/')
                .any(|part| part.starts_with('.') || part.ends_with(".lock"));
        if bad {
            Err(self.wrong("the name of a git ref"))
        } else {
            Ok(Some(name))
        }
    }
}

/// What stands at a place, in few words: never a long or multi-line text.
fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("{flag}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => {
            let short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
            if text.chars().nth(60).is_some() {
                format!("\"{short}…\"")
            } else {
                format!("\"{short}\"")
            }
        }
        Value::Array(values) => format!("a list of {}", values.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}
