//! Reading a delivery's headers: each at most once, and plain text.

use reqwest::header::HeaderMap;

use super::error::WebhookError;

/// Longest delivery id that is kept; forges send UUIDs.
const DELIVERY_ID_BYTES_MAX: usize = 200;

/// A header's text; none when it is not there or empty. Twice is an error, since two readers would read two things.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, WebhookError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(WebhookError::Repeated { name: name.to_owned() });
    }
    match value.to_str() {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(WebhookError::Header {
            name: name.to_owned(),
            why: "it is not plain text",
        }),
    }
}

/// The first of several names for the same thing.
pub(super) fn first<'a>(headers: &'a HeaderMap, names: &[&str]) -> Result<Option<&'a str>, WebhookError> {
    for name in names {
        if let Some(text) = one(headers, name)? {
            return Ok(Some(text.trim()));
        }
    }
    Ok(None)
}

/// The delivery id under the first of several names.
pub(super) fn delivery(headers: &HeaderMap, names: &[&str]) -> Result<Option<String>, WebhookError> {
    let Some(id) = first(headers, names)? else {
        return Ok(None);
    };
    if id.len() > DELIVERY_ID_BYTES_MAX {
        return Err(WebhookError::Header {
            name: names.join(" or "),
            why: "a delivery id is at most 200 bytes",
        });
    }
    Ok(Some(id.to_owned()))
}

/// Whether the body is an HTML form with the JSON in its `payload` field, as GitHub, Gitea and Gogs can be told to send it.
pub(super) fn is_form(headers: &HeaderMap) -> Result<bool, WebhookError> {
    let kind = one(headers, "content-type")?.unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    Ok(kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}
