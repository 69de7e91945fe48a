//! From the YAML tree to typed values with places: every mistake is told, none ends the reading.
//!
//! Knows no dialect. A dialect's `model.rs` lists its keys once with [`record!`]; the reader, the list of known keys
//! and the published schema all come from that list.

mod mistakes;
mod scalars;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::yaml::{self, Node};
use crate::diag::{Diagnostic, Span};

pub use scalars::{ByteSize, Lasting, Parse};

/// What a dialect takes as the value of a key.
pub trait Read: Sized {
    /// Fits after "takes", e.g. `a duration such as 20m`.
    fn takes() -> String;

    /// None after a mistake was reported.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;

    /// Whether `key:` with nothing behind it means something.
    fn takes_nothing() -> bool {
        false
    }
}

/// Collects what is wrong with one file while it is read.
pub struct Reader<'a> {
    pub source: &'a str,
    pub diagnostics: Vec<Diagnostic>,
    /// The key whose value is being read; empty at the top.
    key: Arc<str>,
}

impl<'a> Reader<'a> {
    pub fn new(source: &'a str) -> Self {
        Reader {
            source,
            diagnostics: vec![],
            key: "".into(),
        }
    }

    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// The key whose value is being read.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Reads a value on behalf of `key`.
    pub fn value<T: Read>(&mut self, key: &Arc<str>, node: &Node) -> Option<T> {
        let outer = std::mem::replace(&mut self.key, key.clone());
        let value = if node.is_null() && !T::takes_nothing() {
            self.report(mistakes::no_value(key, node.head, &T::takes()));
            None
        } else {
            T::read(node, self)
        };
        self.key = outer;
        value
    }

    /// Reads the value of one key of a mapping, if it is there.
    pub fn field<T: Read>(&mut self, node: &Node, key: &'static str) -> Option<T> {
        let entry = node.entries()?.iter().find(|entry| &*entry.key == key)?;
        self.value(&entry.key, &entry.value)
    }

    pub fn wrong<T: Read>(&mut self, node: &Node) {
        self.report(mistakes::wrong_kind(&self.key, node, &T::takes()));
    }

    /// Reports every key that is not in `known`. `hint` may know where such a key belongs.
    pub fn known_keys(&mut self, node: &Node, what: &str, known: &[&str], hint: fn(&str) -> Option<&'static str>) {
        for entry in node.entries().unwrap_or_default() {
            if !known.contains(&&*entry.key) {
                self.report(mistakes::unknown_key(
                    what,
                    &entry.key,
                    entry.key_span,
                    known,
                    hint(&entry.key),
                ));
            }
        }
    }

    /// The place of a range of bytes of a scalar's text.
    pub fn place_within(&self, node: &Node, start: usize, end: usize) -> Span {
        yaml::place_within(self.source, node, start..end)
    }
}

/// A scalar's value and the node it was read from.
#[derive(Debug, Clone)]
pub struct At<T> {
    pub value: T,
    pub node: Node,
}

impl<T> At<T> {
    /// What is drawn when it is wrong.
    #[expect(clippy::misnamed_getters, reason = "what people are shown is the head")]
    pub fn span(&self) -> Span {
        self.node.head
    }
}

/// Text as it was written; a number or `true` counts as its text.
pub type Text = At<Arc<str>>;

impl<T: Parse> Read for At<T> {
    fn takes() -> String {
        T::takes()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Some((scalar, meaning)) = node.scalar() else {
            reader.wrong::<Self>(node);
            return None;
        };
        match T::parse(&scalar.text, &meaning) {
            Ok(value) => Some(At {
                value,
                node: node.clone(),
            }),
            Err(why) => {
                let key = reader.key.clone();
                reader.report(mistakes::wrong_scalar(&key, node, &scalar.text, &T::takes(), why));
                None
            }
        }
    }
}

impl<T: Parse> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::schema()
    }
}

/// `a` or `[a, b]`.
#[derive(Debug, Clone)]
pub struct OneOrMany<T> {
    pub items: Vec<T>,
    pub node: Node,
}

impl<T: Read> Read for OneOrMany<T> {
    fn takes() -> String {
        format!("{}, or a list of such", T::takes())
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let items = match node.items() {
            Some(items) => items.iter().filter_map(|item| read_item(item, reader)).collect(),
            None => vec![T::read(node, reader)?],
        };
        Some(OneOrMany {
            items,
            node: node.clone(),
        })
    }
}

fn read_item<T: Read>(item: &Node, reader: &mut Reader<'_>) -> Option<T> {
    if item.is_null() && !T::takes_nothing() {
        let key = reader.key.clone();
        reader.report(mistakes::empty_item(&key, item.head, &T::takes()));
        return None;
    }
    T::read(item, reader)
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// `[a, b]` only.
#[derive(Debug, Clone)]
pub struct Many<T> {
    pub items: Vec<T>,
    pub node: Node,
}

impl<T: Read> Read for Many<T> {
    fn takes() -> String {
        format!("a list, each item {}", T::takes())
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(items) = node.items() else {
            reader.wrong::<Self>(node);
            return None;
        };
        Some(Many {
            items: items.iter().filter_map(|item| read_item(item, reader)).collect(),
            node: node.clone(),
        })
    }
}

impl<T: JsonSchema> JsonSchema for Many<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Many{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": one })
    }
}

/// A mapping whose keys the author chooses, in file order.
#[derive(Debug, Clone)]
pub struct Named<T> {
    pub entries: Vec<NamedEntry<T>>,
    pub node: Node,
}

#[derive(Debug, Clone)]
pub struct NamedEntry<T> {
    pub key: Arc<str>,
    pub key_span: Span,
    pub value: T,
}

impl<T: Read> Read for Named<T> {
    fn takes() -> String {
        format!("a mapping, each value {}", T::takes())
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(found) = node.entries() else {
            reader.wrong::<Self>(node);
            return None;
        };
        let mut entries = Vec::with_capacity(found.len());
        for entry in found {
            if let Some(value) = reader.value(&entry.key, &entry.value) {
                entries.push(NamedEntry {
                    key: entry.key.clone(),
                    key_span: entry.key_span,
                    value,
                });
            }
        }
        Some(Named {
            entries,
            node: node.clone(),
        })
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": one })
    }
}

/// A short form (text, or a list) that stands for a mapping, or the mapping itself.
#[derive(Debug, Clone)]
pub enum ShortOr<S, M> {
    Short(S),
    Full(M),
}

impl<S: Read, M: Read> Read for ShortOr<S, M> {
    fn takes() -> String {
        format!("{} or {}", S::takes(), M::takes())
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.entries() {
            Some(_) => M::read(node, reader).map(ShortOr::Full),
            None if matches!(&node.content, yaml::Content::List(_)) && !S::takes().contains("list") => {
                reader.wrong::<Self>(node);
                None
            }
            None => S::read(node, reader).map(ShortOr::Short),
        }
    }

    fn takes_nothing() -> bool {
        S::takes_nothing()
    }
}

impl<S: JsonSchema, M: JsonSchema> JsonSchema for ShortOr<S, M> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}Or{}", S::schema_name(), M::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let short = generator.subschema_for::<S>();
        let full = generator.subschema_for::<M>();
        json_schema!({ "anyOf": [short, full] })
    }
}

/// A value, or nothing behind the key: `push:`.
#[derive(Debug, Clone)]
pub struct OrNothing<T>(pub Option<T>);

impl<T: Read> Read for OrNothing<T> {
    fn takes() -> String {
        format!("nothing, or {}", T::takes())
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if node.is_null() {
            return Some(OrNothing(None));
        }
        T::read(node, reader).map(|value| OrNothing(Some(value)))
    }

    fn takes_nothing() -> bool {
        true
    }
}

impl<T: JsonSchema> JsonSchema for OrNothing<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}OrNothing", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [{ "const": null }, value] })
    }
}

/// Any value, read later by whoever knows what it means (a matrix axis).
impl Read for Node {
    fn takes() -> String {
        "any value".into()
    }

    fn read(node: &Node, _: &mut Reader<'_>) -> Option<Self> {
        Some(node.clone())
    }
}

impl JsonSchema for Node {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Any".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

/// A mapping with known keys: the struct, its reading, its list of keys and its part of the schema.
/// `as "key"` names a key that is no Rust name; `hints` says where a misplaced key belongs.
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub struct $name:ident = $what:literal {
            $( $(#[$note:meta])* $field:ident $(as $key:literal)? : $type:ty, )*
        }
        $( hints { $( $from:pat => $hint:literal, )* } )?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub struct $name {
            $( $(#[$note])* $(#[schemars(rename = $key)])? pub $field: Option<$type>, )*
            #[schemars(skip)]
            pub node: $crate::dialect::yaml::Node,
        }

        impl $crate::dialect::read::Read for $name {
            fn takes() -> String {
                concat!("a mapping (", $what, ")").into()
            }

            fn read(
                node: &$crate::dialect::yaml::Node,
                reader: &mut $crate::dialect::read::Reader<'_>,
            ) -> Option<Self> {
                const KEYS: &[&str] = &[$( $crate::dialect::read::record!(@key $field $($key)?) ),*];
                fn hint(key: &str) -> Option<&'static str> {
                    match key {
                        $( $( $from => Some($hint), )* )?
                        _ => None,
                    }
                }
                if node.entries().is_none() {
                    reader.wrong::<Self>(node);
                    return None;
                }
                reader.known_keys(node, $what, KEYS, hint);
                Some($name {
                    $( $field: reader.field(node, $crate::dialect::read::record!(@key $field $($key)?)), )*
                    node: node.clone(),
                })
            }
        }
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}
pub(crate) use record;
