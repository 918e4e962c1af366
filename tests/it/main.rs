//! The integration tests: one binary, the real engine against the simulated tenant and a real PostgreSQL, each
//! test in a database of its own. `world` is the stage.

mod approval;
mod architecture;
mod doubts;
mod dry_run;
mod fields;
mod first_sync;
mod guard;
mod slots;
mod world;
