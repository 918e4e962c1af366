//! The app roles of API callers.

use super::word::words;
words! {
    /// A permission of a caller. In Entra these are app roles of our application.
    pub enum ApiRole {
        /// Read everything.
        Read "Rollcall.Read"
        /// Request access on behalf of a user who signs in.
        Access "Rollcall.Access"
        /// Change users, decide on held runs, start jobs. Implies the others.
        Operate "Rollcall.Operate"
    }
}
