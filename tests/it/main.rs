//! Integration tests, one binary: real daemon, real repositories, real registry, the real `drydock`.
//!
//! `support` holds the parts that tests start; every other module is one area of behaviour.

mod deploy;
mod docker;
mod examples;
mod expr;
mod harness;
mod images;
mod init;
mod run;
mod source;
mod support;
mod tidy;
mod trigger;
