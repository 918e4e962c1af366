//! What a look-up brings.

use uuid::Uuid;

/// What the directory says of somebody right now.
#[derive(Clone, Debug)]
pub(in crate::sync) enum Fresh {
    /// The mirror knows this user as the directory does, but for what was not asked.
    User(Uuid, Unasked),
    /// A row that no directory user belongs to.
    Row(Uuid),
    /// A name that belongs to the system and has no row.
    Reserved,
    /// Neither the directory nor the table knows anybody of that name.
    Nobody,
    /// The directory gave no answer: the user, if known from elsewhere, and what went wrong.
    Unanswered(Option<Uuid>, String),
}

/// What the directory did not say of somebody who was asked about: what was known before counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(in crate::sync) struct Unasked {
    /// Who holds an administrator role: nobody loses access for want of a licence or a group.
    pub roles: bool,
    /// Who owns the security group.
    pub owners: bool,
    /// Which groups the user's groups are in.
    pub nesting: bool,
    /// Whether there is such a security group at all: nobody is out of it for certain.
    pub group: bool,
    /// Something was asked and not answered; otherwise it is a bound that kept it from being asked.
    pub has_failed: bool,
}

impl Unasked {
    /// What was not said of either of two.
    pub fn or(self, other: Self) -> Self {
        Self {
            roles: self.roles || other.roles,
            owners: self.owners || other.owners,
            nesting: self.nesting || other.nesting,
            group: self.group || other.group,
            has_failed: self.has_failed || other.has_failed,
        }
    }
}

impl Fresh {
    /// What the directory did not say of a user whom it knows.
    pub fn unasked(&self) -> Unasked {
        match self {
            Self::User(_, unasked) => *unasked,
            _ => Unasked::default(),
        }
    }
}

/// What the directory says of some users.
#[derive(Debug)]
pub(in crate::sync) struct Answers {
    /// One for each, in the order asked.
    pub fresh: Vec<Fresh>,
    /// Why the directory could not be asked any more, about anybody.
    pub outage: Option<String>,
}
