//! From a verdict to what is written: desired row against present row. Pure.
//!
//! A plan leaves no choice to whoever applies it, and planning again after applying it is empty.

pub mod batch;
mod candidate;
mod change;
mod fields;
pub mod guard;
pub mod roles;
mod row;
pub mod upn;

pub use candidate::{Candidate, EnvironmentView, Unasked, Unread, reserved, unknown};
pub use change::{Change, FieldChange, Operation};
pub use fields::{Finding, desired, is_address};
pub use roles::{RoleChange, RolePlan, plan_roles};
pub use row::{RemovalMode, RowPlan, Writer, plan_row};
