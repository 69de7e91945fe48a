//! Scalars that mean more than text: booleans, numbers, durations, sizes.

use std::sync::Arc;
use std::time::Duration;

use schemars::{Schema, json_schema};

use crate::dialect::yaml::Meaning;

/// A value written as one scalar.
pub trait Parse: Sized {
    /// Fits after "takes".
    fn takes() -> String;

    /// Err: why not, in a few words, if there is more to say than "not understood".
    fn parse(text: &str, meaning: &Meaning) -> Result<Self, Option<String>>;

    fn schema() -> Schema;
}

impl Parse for Arc<str> {
    fn takes() -> String {
        "text".into()
    }

    fn parse(text: &str, _: &Meaning) -> Result<Self, Option<String>> {
        Ok(text.into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl Parse for bool {
    fn takes() -> String {
        "`true` or `false`".into()
    }

    fn parse(_: &str, meaning: &Meaning) -> Result<Self, Option<String>> {
        match meaning {
            Meaning::Bool(value) => Ok(*value),
            Meaning::Null | Meaning::Number(_) | Meaning::Text => Err(None),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "boolean" })
    }
}

impl Parse for u32 {
    fn takes() -> String {
        "a whole number".into()
    }

    fn parse(text: &str, _: &Meaning) -> Result<Self, Option<String>> {
        text.parse().map_err(|_| None)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "integer", "minimum": 0 })
    }
}

impl Parse for f64 {
    fn takes() -> String {
        "a number".into()
    }

    fn parse(text: &str, _: &Meaning) -> Result<Self, Option<String>> {
        text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or(None)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "number" })
    }
}

/// `90s`, `20m`, `2h`, `7d`, and sums such as `1h30m`. More than zero, at most a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasting(pub Duration);

const LASTING_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

impl Parse for Lasting {
    fn takes() -> String {
        "a duration such as `90s`, `20m` or `2h`".into()
    }

    fn parse(text: &str, meaning: &Meaning) -> Result<Self, Option<String>> {
        if matches!(meaning, Meaning::Number(_)) {
            return Err(Some("a unit is missing: s, m, h or d".into()));
        }
        let mut total = Duration::ZERO;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(None);
        }
        while !rest.is_empty() {
            let digits = rest.find(|one: char| !one.is_ascii_digit()).ok_or(None)?;
            let amount: u64 = rest[..digits].parse().map_err(|_| None)?;
            let unit_end = rest[digits..]
                .find(|one: char| one.is_ascii_digit())
                .map_or(rest.len(), |at| digits + at);
            let unit = match rest[digits..unit_end].trim() {
                "ms" => Duration::from_millis(1),
                "s" => Duration::from_secs(1),
                "m" | "min" => Duration::from_secs(60),
                "h" => Duration::from_secs(3600),
                "d" => Duration::from_secs(24 * 3600),
                other => return Err(Some(format!("`{other}` is no unit; use s, m, h or d"))),
            };
            let part = u32::try_from(amount).ok().and_then(|amount| unit.checked_mul(amount));
            total = part.and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
            rest = &rest[unit_end..];
        }
        if total > LASTING_MAX {
            return Err(too_long());
        }
        if total.is_zero() {
            Err(Some("must be more than nothing".into()))
        } else {
            Ok(Lasting(total))
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+ ?(ms|s|m|min|h|d) ?)+$", "examples": ["90s", "20m", "2h"] })
    }
}

fn too_long() -> Option<String> {
    Some("longer than a year".into())
}

/// `512MiB`, `2GiB`, `300MB`; `k`, `m`, `g` as Docker writes them count in 1024. In bytes; at least 1 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl Parse for ByteSize {
    fn takes() -> String {
        "a size such as `512MiB` or `2GiB`".into()
    }

    fn parse(text: &str, meaning: &Meaning) -> Result<Self, Option<String>> {
        if matches!(meaning, Meaning::Number(_)) {
            return Err(Some("a unit is missing: MiB, GiB, MB or GB".into()));
        }
        let text = text.trim();
        let digits = text.find(|one: char| !one.is_ascii_digit() && one != '.').ok_or(None)?;
        let amount: f64 = text[..digits].parse().map_err(|_| None)?;
        let unit: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
            "b" => 1,
            "kb" => 1000,
            "k" | "kib" => 1 << 10,
            "mb" => 1_000_000,
            "m" | "mib" => 1 << 20,
            "gb" => 1_000_000_000,
            "g" | "gib" => 1 << 30,
            "tb" => 1_000_000_000_000,
            "t" | "tib" => 1 << 40,
            other => return Err(Some(format!("`{other}` is no unit; use MiB, GiB, MB or GB"))),
        };
        let bytes = amount * unit as f64;
        if bytes >= (1u64 << 60) as f64 {
            return Err(Some("more than any machine has".into()));
        }
        if bytes < (1u64 << 20) as f64 {
            Err(Some("less than 1 MiB".into()))
        } else {
            Ok(ByteSize(bytes as u64))
        }
    }

    fn schema() -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9.]+ ?([kKmMgGtT]([iI]?[bB])?|[bB])$",
            "examples": ["512MiB", "2GiB"]
        })
    }
}
