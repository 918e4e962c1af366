//! Which properties of a user have a value that cannot be decoded (rules.md, section 2).

macro_rules! properties {
    ($($variant:ident $name:literal)*) => {
        /// The properties of a user that may be undecodable; the number is the bit in [`Unknowns`] and is
        /// stored: new ones come last.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Property { $(#[doc = $name] $variant,)* }

        impl Property {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in Graph.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

properties! {
    UserPrincipalName "userPrincipalName"
    DisplayName "displayName"
    GivenName "givenName"
    Surname "surname"
    JobTitle "jobTitle"
    Mail "mail"
    BusinessPhones "businessPhones"
    MobilePhone "mobilePhone"
    StreetAddress "streetAddress"
    City "city"
    State "state"
    PostalCode "postalCode"
    Country "country"
    AccountEnabled "accountEnabled"
    AssignedPlans "assignedPlans"
    Type "@odata.type"
    Removed "@removed"
    UserType "userType"
    Extra "a mapped property"
}

/// Which properties have a value that cannot be decoded (rules.md, section 2): their known values stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unknowns(i32);

impl Unknowns {
    /// The plans have never been decoded: there are no known ones.
    const NO_PLANS_EVER: i32 = 1 << 30;

    /// From the stored form.
    #[must_use]
    pub const fn from_bits(bits: i32) -> Self {
        Self(bits)
    }

    /// The stored form.
    #[must_use]
    pub const fn bits(self) -> i32 {
        self.0
    }

    /// Sets or clears a property.
    pub fn set(&mut self, property: Property, is_undecodable: bool) {
        let bit = 1 << property as i32;
        self.0 = if is_undecodable { self.0 | bit } else { self.0 & !bit };
    }

    /// Whether a property is set.
    #[must_use]
    pub const fn has(self, property: Property) -> bool {
        self.0 & (1 << property as i32) != 0
    }

    /// The value for a user whose plans were never decoded.
    #[must_use]
    pub(crate) const fn no_plans() -> Self {
        Self(Self::NO_PLANS_EVER | 1 << Property::AssignedPlans as i32)
    }

    /// Records that the plans were decoded, or never were.
    pub(super) const fn note_plans(&mut self, are_decoded: bool) {
        if are_decoded {
            self.0 &= !Self::NO_PLANS_EVER;
        } else {
            self.0 |= Self::NO_PLANS_EVER;
        }
    }

    /// Whether no complete list of plans was ever decoded; some plans may be known to be usable.
    #[must_use]
    pub const fn no_plans_ever(self) -> bool {
        self.0 & Self::NO_PLANS_EVER != 0
    }

    /// The properties that are set.
    pub fn properties(self) -> impl Iterator<Item = Property> {
        Property::ALL
            .iter()
            .copied()
            .filter(move |property| self.has(*property))
    }
}
