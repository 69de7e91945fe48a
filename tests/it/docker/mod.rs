//! Jobs in a real engine: what a step sees, how it ends, what it may do, what is left of it.

mod rig;

mod ends;
mod environment;
mod files;
mod images;
mod isolation;
mod memory;
mod output;
mod services;
mod settings;
mod workloads;
