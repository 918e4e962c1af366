//! rollcall keeps a table of SystemUsers true to a Microsoft Entra ID directory.
//!
//! The directory flows in one direction: Graph → mirror → verdict → plan → SystemUser.

pub mod clock;
pub mod config;
pub mod domain;
pub mod graph;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod telemetry;
