//! The nouns. No IO, no clock.

pub mod feed;
pub mod licence;
