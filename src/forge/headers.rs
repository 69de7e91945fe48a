//! Reading a delivery's headers: each at most once, and plain text. What is wrong with a proof is 401, with the rest 400.

use reqwest::header::HeaderMap;

use super::error::WebhookError;

/// Longest delivery id that is kept; forges send UUIDs.
const DELIVERY_ID_BYTES_MAX: usize = 200;

/// The text of a header that proves something; none when it is not there or empty. Twice is an error, since two readers would read two things.
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

/// The first of several names for the same thing; for headers that prove nothing.
pub(super) fn first<'a>(headers: &'a HeaderMap, names: &[&str]) -> Result<Option<&'a str>, WebhookError> {
    for name in names {
        let mut values = headers.get_all(*name).iter();
        let unreadable = |why| WebhookError::Unreadable {
            name: (*name).to_owned(),
            why,
        };
        let Some(value) = values.next() else { continue };
        if values.next().is_some() {
            return Err(unreadable("it is there more than once"));
        }
        let text = value.to_str().map_err(|_| unreadable("it is not plain text"))?.trim();
        if !text.is_empty() {
            return Ok(Some(text));
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
        return Err(WebhookError::Unreadable {
            name: names.join(" or "),
            why: "a delivery id is at most 200 bytes",
        });
    }
    Ok(Some(id.to_owned()))
}

/// Whether the body is an HTML form with the JSON in its `payload` field, as GitHub, Gitea and Gogs can be told to send it.
pub(super) fn is_form(headers: &HeaderMap) -> Result<bool, WebhookError> {
    let kind = first(headers, &["content-type"])?.unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    Ok(kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}
