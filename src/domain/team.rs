//! Teams: users who share security roles (rules.md, section 13).

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::word::words;

words! {
    /// The kind of a team.
    pub enum TeamType : "no type of team" {
        /// Members are added by hand; it can have roles.
        Owner "owner"
        /// Members are added by hand; it has no roles.
        Access "access"
        /// Its members are those of a security group.
        SecurityGroup "security_group"
        /// Its members are those of a Microsoft 365 group.
        Microsoft365Group "microsoft_365_group"
    }
}

words! {
    /// Who of a group is in its team.
    pub enum MembershipType : "no type of membership" {
        /// Every member of the group.
        MembersAndGuests "members_and_guests"
        /// Members who are no guests of the tenant.
        Members "members"
        /// The owners of the group.
        Owners "owners"
        /// Members who are guests of the tenant.
        Guests "guests"
    }
}

/// The number under which Dataverse knows each of some words, in their order.
macro_rules! numbered {
    ($($name:ident)*) => {$(
        impl $name {
            /// The number in the database.
            #[must_use]
            pub const fn number(self) -> i16 {
                self as i16
            }

            /// The one with this number.
            #[must_use]
            pub fn of(number: i16) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.number() == number)
            }
        }
    )*};
}
numbered!(TeamType MembershipType);

/// A team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Team {
    /// The environment's name.
    pub environment: String,
    /// The team's key.
    pub teamid: Uuid,
    /// Its name, unique in the environment.
    pub name: String,
    /// 0 owner, 1 access, 2 security group, 3 Microsoft 365 group.
    pub teamtype: i16,
    /// The business unit.
    pub businessunitid: Uuid,
    /// The name of the business unit.
    pub businessunitidname: String,
    /// The administrator: a row of the same environment.
    pub administratorid: Option<Uuid>,
    /// The default team of its business unit: its members are the users of the unit.
    pub isdefault: bool,
    /// The group whose members it has.
    pub azureactivedirectoryobjectid: Option<Uuid>,
    /// Who of the group: 0 members and guests, 1 members, 2 owners, 3 guests.
    pub membershiptype: Option<i16>,
    /// When it was created.
    pub createdon: DateTime<Utc>,
    /// Who created it.
    pub createdby: String,
    /// When it last changed.
    pub modifiedon: DateTime<Utc>,
    /// Who changed it.
    pub modifiedby: String,
}

impl Team {
    /// Whether its members are those of a group.
    #[must_use]
    pub const fn follows_group(&self) -> bool {
        self.azureactivedirectoryobjectid.is_some()
    }

    /// Whether it can have security roles.
    #[must_use]
    pub const fn takes_roles(&self) -> bool {
        self.teamtype != TeamType::Access.number()
    }
}

/// A member of a team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Member {
    /// The row.
    pub systemuserid: Uuid,
    /// Its user principal name.
    pub domainname: Option<String>,
    /// Its full name.
    pub fullname: Option<String>,
    /// Whether the row is disabled.
    pub isdisabled: bool,
    /// When a person added it; null where the membership follows a business unit or a group.
    pub added_at: Option<DateTime<Utc>>,
    /// Who added it.
    pub added_by: Option<String>,
}

/// A role of a team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TeamRole {
    /// The role.
    pub role: String,
    /// When it was granted.
    pub granted_at: DateTime<Utc>,
    /// Who granted it.
    pub granted_by: String,
}
