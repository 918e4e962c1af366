//! Metrics and tracing. This module lists all metrics.

pub mod logs;
pub mod metrics;
