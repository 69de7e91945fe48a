//! Dialects: from the text of a CI file to a plan, and what a dialect does around a step.
//!
//! Pure: files come in as text, plans and diagnostics go out. Must not know tokio, the network, the clock or the environment.

pub mod yaml;
