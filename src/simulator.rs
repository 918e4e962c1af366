//! A simulated Entra tenant speaking Graph, and a private PostgreSQL cluster.

pub mod cluster;
