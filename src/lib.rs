//! Drydock: a self-hosted, container-native CI runner. One file, one engine, three dialects.
//!
//! Rooms and what each may import: see ARCHITECTURE.md; `tests/it/tidy.rs` enforces it.

pub mod cli;
pub mod clock;
pub mod config;
pub mod diag;
pub mod dialect;
pub mod engine;
pub mod event;
pub mod executor;
pub mod expr;
pub mod forge;
pub mod pipelines;
pub mod plan;
pub mod registry;
pub mod report;
pub mod secret;
pub mod server;
pub mod shim;
pub mod source;
pub mod stop;
pub mod store;
pub mod tree;
