//! From a verdict to what is written: desired row against present row. Pure.
//!
//! A plan leaves no choice to whoever applies it, and planning again after applying it is empty.

mod change;
mod fields;
pub mod guard;
pub mod roles;
mod row;
pub mod upn;

pub use change::{Change, FieldChange, Operation};
pub use fields::{Finding, desired, is_address};
pub use roles::{RoleChange, RolePlan, plan_roles};
pub use row::{Removals, RowPlan, Writer, plan_row};
