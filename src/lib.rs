//! rollcall keeps a table of SystemUsers true to a Microsoft Entra ID directory.
//!
//! The directory flows in one direction: Graph → mirror → verdict → plan → SystemUser.

pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod graph;
pub mod http;
pub mod plan;
pub mod rules;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod store;
pub mod sync;
pub mod telemetry;
