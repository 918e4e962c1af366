//! The rules: who gets a SystemUser and in what state. Pure and total: no IO, no clock, no panic.
//!
//! `evaluate` is the only judge. The cycle, on-demand operations and `explain` all call it and differ in
//! the trigger they pass and in whether they apply the verdict. Source: rules.md, sections 1 to 5.

mod access_mode;
mod entitlement;
mod evaluate;
pub mod explain;
mod gate;
pub(crate) mod situation;
mod subject;
pub mod table;
#[cfg(test)]
pub(crate) mod tests;
mod verdict;

pub use evaluate::evaluate;
pub use gate::{Gate, RULES, Rule};
pub use subject::{AdminRoles, Client, DirectoryAnswer, GroupRelation, Subject, Trigger};
pub use verdict::{Check, Entitlement, Outcome, Status, Verdict};
