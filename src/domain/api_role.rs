//! What callers of the API may do.

use super::word::words;
words! {
    /// What a caller may do. Entra knows them as app roles of our application.
    pub enum ApiRole {
        /// Read everything.
        Read "Rollcall.Read"
        /// Ask for access on behalf of somebody who signs in.
        Access "Rollcall.Access"
        /// Change users, decide on held runs, start jobs. Implies the others.
        Operate "Rollcall.Operate"
    }
}
