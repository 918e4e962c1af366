//! People's decisions about removals: held ones are approved or rejected (`approval`), and an environment that is no
//! longer configured is disabled as a whole (`retire`). What a run itself allows or holds is in `cycle/removals`.
//!
//! Nothing is disabled here unless it was evaluated or a person named its environment.

pub mod approval;
mod look_up;
pub mod retire;

use super::Base;
use super::desk::Desk;
use super::pull::Puller;

/// Carries out people's decisions about removals.
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
