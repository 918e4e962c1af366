//! Why removals are held (rules.md, section 11): a source's answer alone is not evidence, or a limit of the guard would
//! be exceeded. Stored and shown as a sentence; handled by its kind.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::reason::Code;
use super::source::Source;

/// The reasons that a doubt about the users' listing concerns.
const PRESENCE: &[Code] = &[Code::DirectoryDeleted, Code::DirectorySoftDeleted];
/// The reasons that a doubt about a group's listing concerns.
const MEMBERSHIP: &[Code] = &[Code::NotInSecurityGroup];
/// The reasons that a doubt about administrators concerns: administrators need neither a licence nor the group.
const ROLES: &[Code] = &[Code::Unlicensed, Code::AppPassExhausted, Code::NotInSecurityGroup];
/// The reasons that a doubt about licences concerns.
pub const LICENCES: &[Code] = &[Code::Unlicensed, Code::AppPassExhausted];

macro_rules! doubts {
    ($($variant:ident { $($hole:ident: $kind:ty),* } $code:literal $concerns:ident $text:literal;)*) => {
        /// Why removals are held.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the sentences of the table say it")]
        pub enum Doubt {
            $(#[doc = $text] $variant { $($hole: $kind),* },)*
            /// A limit of the guard, or a doubt of an older version.
            Told(String),
        }

        impl Doubt {
            /// The stable name.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $code,)* Self::Told(_) => "told" }
            }

            /// The removal reasons for which the source is not evidence under this doubt.
            #[must_use]
            pub const fn concerns(&self, source: Source) -> &'static [Code] {
                match (self, source) {
                    $((Self::$variant { .. }, _) => $concerns,)*
                    (Self::Told(_), Source::Users) => PRESENCE,
                    (Self::Told(_), Source::Group(_)) => MEMBERSHIP,
                    (Self::Told(_), Source::Roles) => ROLES,
                    (Self::Told(_), Source::Skus) => LICENCES,
                }
            }

            fn parse(text: &str) -> Option<Self> {
                $(if let Some(&[$($hole),*]) = holes(text, $text).as_deref() {
                    return Some(Self::$variant { $($hole: $hole.parse().ok()?),* });
                })*
                None
            }
        }

        impl fmt::Display for Doubt {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant { $($hole),* } => write!(f, $text, $($hole),*),)*
                    Self::Told(text) => f.write_str(text),
                }
            }
        }
    };
}

doubts! {
    NoAccountStates {} "no_account_states" PRESENCE
        "users come without accountEnabled: grant the application permission User.Read.All and give admin consent";
    NobodyListed { had: u64 } "nobody_listed" PRESENCE
        "users: the directory listed nobody, where there had been {}";
    ListingShort { listed: u64, expected: u64 } "listing_short" PRESENCE
        "users: the directory listed {} users, where it should have listed {}";
    GroupEmpty { group: Uuid, had: u64 } "group_empty" MEMBERSHIP
        "the listing of group {} came back empty, where it had {} members";
    GroupShort { group: Uuid, listed: u64, expected: u64 } "group_short" MEMBERSHIP
        "the listing of group {} had {} members, where it should have had {}";
    RoleGroupEmpty { group: Uuid, had: usize } "role_group_empty" ROLES
        "roles: the listing of the role-assignable group {} came back empty, where it had {} members who are still in it by their own account";
    NoAdministrator { had: usize } "no_administrator" ROLES
        "roles: nobody is an administrator any more, where {} had been";
    NoPlans {} "no_plans" LICENCES
        "licences: no user that was listed has its plans any more";
    NoProduct {} "no_product" LICENCES
        "licences: the tenant lists no product with a plan, where it had a Marketing licence";
    NobodyLicensed {} "nobody_licensed" LICENCES
        "licences: nobody has a licence any more";
}

impl FromStr for Doubt {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::parse(text).unwrap_or_else(|| Self::Told(text.to_owned())))
    }
}

/// The parts of a text at the positions where a sentence has `{}`.
fn holes<'a>(text: &'a str, sentence: &str) -> Option<Vec<&'a str>> {
    let mut parts = sentence.split("{}");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let mut holes = Vec::new();
    for part in parts {
        let at = if part.is_empty() { rest.len() } else { rest.find(part)? };
        holes.push(&rest[..at]);
        rest = &rest[at + part.len()..];
    }
    rest.is_empty().then_some(holes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_is_known_again_by_its_sentence() {
        let group = Uuid::from_u128(7);
        for doubt in [
            Doubt::NoAccountStates {},
            Doubt::NobodyListed { had: 12 },
            Doubt::ListingShort {
                listed: 12,
                expected: 20,
            },
            Doubt::GroupEmpty { group, had: 3 },
            Doubt::GroupShort {
                group,
                listed: 3,
                expected: 5,
            },
            Doubt::RoleGroupEmpty { group, had: 3 },
            Doubt::NoAdministrator { had: 2 },
            Doubt::NoPlans {},
            Doubt::NoProduct {},
            Doubt::NobodyLicensed {},
            Doubt::Told("users: the directory listed nobody, where there had been some".to_owned()),
            Doubt::Told("licences: nobody has a licence any more, today".to_owned()),
        ] {
            assert_eq!(doubt.to_string().parse(), Ok(doubt.clone()), "{}", doubt.code());
        }
    }
}
