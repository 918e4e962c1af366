//! rollcall keeps a table of SystemUsers true to a Microsoft Entra ID directory.
//!
//! The directory flows in one direction: Graph → mirror → verdict → plan → SystemUser.

// `cli::output` is the one way out: a line that it prints stays one line, and a closed pipe is no panic.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod error;
pub mod graph;
pub mod http;
pub mod plan;
pub mod rules;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod webhook;
