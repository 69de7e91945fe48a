//! Promises of the expression language, as tables.
