//! What the three forges' payloads mean, as tables.

#![allow(clippy::unwrap_used)]

mod recorded;
