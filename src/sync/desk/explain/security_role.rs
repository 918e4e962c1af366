//! The check of security roles. It decides nothing: without a role a user can sign in, but use no data.

use super::{Explanation, ShownCheck};

impl Explanation {
    /// Whether the row has a security role, and from where.
    #[must_use]
    pub fn security_role(&self) -> ShownCheck {
        let (status, detail, remedy) = if self.row.is_none() {
            ("not_applicable", "there is no row".to_owned(), None)
        } else if self.roles.is_empty() {
            let detail = "no role, directly or through a team: can sign in, but use no data".to_owned();
            let remedy = "Grant a role with `rollcall role grant`, or add the user to a team that has one.";
            ("fail", detail, Some(remedy))
        } else {
            ("pass", self.roles.join(", "), None)
        };
        ShownCheck {
            gate: "security_role",
            status,
            code: (status == "fail").then_some("no_security_role"),
            detail,
            remedy,
        }
    }
}
