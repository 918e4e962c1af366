//! The nouns. No IO, no clock.

pub mod api_role;
pub mod change_feed;
pub mod credential;
pub mod directory_user;
pub mod doubt;
pub mod environment;
pub mod feed;
pub mod field;
pub mod import;
pub mod licence;
pub mod reason;
pub mod removal;
pub mod retention;
pub mod role;
pub mod run;
pub mod schema;
pub mod secret;
pub mod session;
pub mod signing_keys;
pub mod source;
pub mod status;
pub mod system_user;
pub mod text;
pub mod unit;
pub mod unknowns;
pub(crate) mod word;
