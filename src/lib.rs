//! Drydock: a self-hosted, container-native CI runner. One file, one engine, three dialects.
//!
//! Rooms and what each may import: see ARCHITECTURE.md; `tests/it/tidy.rs` enforces it.

pub mod clock;
pub mod diag;
pub mod event;
pub mod expr;
pub mod forge;
pub mod registry;
pub mod secret;
pub mod shim;
pub mod source;
pub mod stop;
pub mod tree;
