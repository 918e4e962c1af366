//! The integration tests: one binary, the real engine against the simulated tenant and a real PostgreSQL, each
//! test in a database of its own. `world` is the stage.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod approval;
mod architecture;
mod auth;
mod binary;
mod chaos;
mod cli;
mod clouds;
mod codes;
mod columns;
mod commits;
mod constraints;
mod contract;
mod crash;
mod credentials;
mod daemon;
mod database;
mod doubts;
mod dry_run;
mod ending;
mod environments;
mod failover;
mod feed;
mod fields;
mod first_sync;
mod folding;
mod forget;
mod guard;
mod import;
mod least_privilege;
mod messages;
mod on_demand;
mod operations;
mod order;
mod other_programs;
mod outages;
mod property;
mod proxy;
mod readme;
mod recovery;
mod reference;
mod retention;
mod scale;
mod schemas;
mod secrecy;
mod seeds;
mod slots;
mod statements;
mod teams;
mod upgrade;
mod webhooks;
mod world;
mod wrong_database;
