//! Values of the expression language, and how they turn into truth, numbers, text and JSON.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::number;

/// A value. Cloning is cheap: collections and strings are shared.
///
/// `PartialEq` compares contents, for tests and change detection; the language's own `==` is [`Value::loosely_equals`].
#[derive(Debug, Clone, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Number(f64),
    String(Arc<str>),
    Array(Arc<Vec<Value>>),
    Object(Arc<Object>),
}

/// Named values in the order they were put in. Names are found without regard to case, unless the object was made by
/// [`Object::case_sensitive`] (GitHub's `env` context on Linux).
#[derive(Debug, Clone, Default)]
pub struct Object {
    entries: IndexMap<String, (String, Value)>,
    case_sensitive: bool,
}

impl Object {
    pub fn new() -> Self {
        Object::default()
    }

    /// An object whose names differ by case.
    pub fn case_sensitive() -> Self {
        Object {
            case_sensitive: true,
            ..Object::default()
        }
    }

    /// Puts a value in; one of the same name is replaced and keeps its place.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let name = name.into();
        self.entries.insert(self.key(&name), (name, value.into()));
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.get(self.key(name).as_str()).map(|(_, value)| value)
    }

    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.entries
            .shift_remove(self.key(name).as_str())
            .map(|(_, value)| value)
    }

    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Names as they were given, with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.values().map(|(name, value)| (name.as_str(), value))
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.iter().map(|(_, value)| value)
    }

    fn key(&self, name: &str) -> String {
        if self.case_sensitive {
            name.to_string()
        } else {
            fold(name)
        }
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(name, value)| other.get(name) == Some(value))
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut object = Object::new();
        for (name, value) in entries {
            object.insert(name, value);
        }
        object
    }
}

impl Value {
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Value::String(text.into())
    }

    pub fn array(items: Vec<Value>) -> Self {
        Value::Array(Arc::new(items))
    }

    pub fn object<K: Into<String>, V: Into<Value>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Value::Object(Arc::new(entries.into_iter().collect()))
    }

    /// `Null`, `Boolean`, `Number`, `String`, `Array` or `Object`.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "Null",
            Value::Bool(_) => "Boolean",
            Value::Number(_) => "Number",
            Value::String(_) => "String",
            Value::Array(_) => "Array",
            Value::Object(_) => "Object",
        }
    }

    /// False are `null`, `false`, `0`, `NaN` and the empty string; all else is true, empty collections too.
    pub fn is_truthy(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(value) => *value != 0.0 && !value.is_nan(),
            Value::String(text) => !text.is_empty(),
            Value::Array(_) | Value::Object(_) => true,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Neither array nor object.
    pub fn is_primitive(&self) -> bool {
        !matches!(self, Value::Array(_) | Value::Object(_))
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(items) = self {
            Some(items)
        } else {
            None
        }
    }

    pub fn as_object(&self) -> Option<&Object> {
        if let Value::Object(object) = self {
            Some(object)
        } else {
            None
        }
    }

    /// The entry of an object by name; none for all other values.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_object().and_then(|object| object.get(name))
    }

    /// As a number: null and false 0, true 1, text by its digits (empty 0, else NaN), collections NaN.
    pub fn to_number(&self) -> f64 {
        match self {
            Value::Null => 0.0,
            Value::Bool(value) => f64::from(u8::from(*value)),
            Value::Number(value) => *value,
            Value::String(text) => number::parse(text),
            Value::Array(_) | Value::Object(_) => f64::NAN,
        }
    }

    /// The language's `==`: unlike kinds are compared as numbers, text without regard to case, NaN equals nothing, and
    /// a collection equals only itself.
    pub fn loosely_equals(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::String(left), Value::String(right)) => fold(left) == fold(right),
            (Value::Array(left), Value::Array(right)) => Arc::ptr_eq(left, right),
            (Value::Object(left), Value::Object(right)) => Arc::ptr_eq(left, right),
            (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => false,
            (
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_),
            ) => self.to_number() == other.to_number(),
        }
    }

    /// The language's order, none where there is none (NaN, collections).
    pub fn loosely_compares(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
            (Value::String(left), Value::String(right)) => {
                Some(fold(left).encode_utf16().cmp(fold(right).encode_utf16()))
            }
            (Value::Null, Value::Null) => None,
            (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => None,
            (
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_),
            ) => self.to_number().partial_cmp(&other.to_number()),
        }
    }

    /// As JSON. Whole numbers are written without a point; NaN and the infinities, which JSON lacks, as strings.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(value) => number_to_json(*value),
            Value::String(text) => text.as_ref().into(),
            Value::Array(items) => items.iter().map(Value::to_json).collect(),
            Value::Object(object) => object
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_json()))
                .collect(),
        }
    }
}

/// Largest whole number below which every whole number is exact.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

fn number_to_json(value: f64) -> serde_json::Value {
    if value.fract() == 0.0 && value.abs() < WHOLE_MAX {
        return (value as i64).into();
    }
    match serde_json::Number::from_f64(value) {
        Some(number) => number.into(),
        None => number::format(value).into(),
    }
}

/// Upper case, one character for one: how text is compared. Letters outside ASCII never become ASCII ones, so that the
/// Turkish dotless `ı` stays apart from `I`, as on GitHub.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    text.chars()
        .map(|c| {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(single), None) if c.is_ascii() || !single.is_ascii() => single,
                _ => c,
            }
        })
        .collect()
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::Number(left), Value::Number(right)) => left == right || (left.is_nan() && right.is_nan()),
            (Value::String(left), Value::String(right)) => left == right,
            (Value::Array(left), Value::Array(right)) => left == right,
            (Value::Object(left), Value::Object(right)) => left == right,
            (
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
                _,
            ) => false,
        }
    }
}

/// GitHub's text form: null is empty, collections are `Array` and `Object`.
impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => Ok(()),
            Value::Bool(value) => write!(out, "{value}"),
            Value::Number(value) => out.write_str(&number::format(*value)),
            Value::String(text) => out.write_str(text),
            Value::Array(_) => out.write_str("Array"),
            Value::Object(_) => out.write_str("Object"),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(value) => number_to_json(*value).serialize(serializer),
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items.iter() {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Value::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(Value::from)
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(text) => Value::String(text.into()),
            serde_json::Value::Array(items) => Value::array(items.into_iter().map(Value::from).collect()),
            serde_json::Value::Object(entries) => {
                let mut object = Object::new();
                for (name, value) in entries {
                    // Of names that differ by case only, the first one counts.
                    if !object.contains_key(&name) {
                        object.insert(name, value);
                    }
                }
                object.into()
            }
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Number(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Number(f64::from(value))
    }
}

/// Exact up to 2^53.
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Number(value as f64)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Number(value as f64)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text.into())
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Value::array(items)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Value::Object(Arc::new(object))
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}
