//! What people decide about removals: held ones are approved or rejected (`approval`), and an environment that is left is
//! disabled whole (`retire`). What a run itself lets through or holds is in `cycle/removals`.
//!
//! Nothing is disabled here that was not evaluated, or that nobody has asked for by name.

pub mod approval;
mod look_up;
pub mod retire;

use super::Base;
use super::desk::Desk;
use super::pull::Puller;

/// Carries out what people decide about removals.
#[derive(Clone)]
pub struct Guard {
    base: Base,
    puller: Puller,
    desk: Desk,
}

impl Guard {
    pub(super) fn new(base: Base, puller: Puller, desk: Desk) -> Self {
        Self { base, puller, desk }
    }
}
