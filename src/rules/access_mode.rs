//! Access mode and `setupuser` (rules.md, section 5).

use super::subject::Subject;
use crate::domain::environment::{Environment, Kind};
use crate::domain::system_user::access_mode::{ADMINISTRATIVE, READ_WRITE};

/// The mode and `setupuser` that the row should have if it ends enabled.
pub(super) fn access_mode(environment: &Environment, subject: &Subject<'_>) -> (i16, bool) {
    if let Some(row) = subject.row
        && (row.accessmode_origin != "sync" || row.accessmode > ADMINISTRATIVE)
    {
        return (row.accessmode, row.setupuser);
    }
    if environment.kind == Kind::Teams && subject.roles.escapes_group() {
        return (READ_WRITE, false);
    }
    if subject.roles.any() && subject.licences.full.is_none() {
        (ADMINISTRATIVE, true)
    } else {
        (READ_WRITE, false)
    }
}
