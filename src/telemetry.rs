//! Metrics and tracing. What is counted is listed here and nowhere else.

pub mod logs;
pub mod metrics;
