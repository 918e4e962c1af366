//! The properties of a user that one may select, and how they are written as JSON.
//!
//! A property is absent in a first round when it was never set, and an explicit null in later rounds. A page of
//! users is written straight into bytes: a benchmark is to measure its client, not this.

use chrono::{DateTime, SecondsFormat, Utc};

use super::user::{AssignedLicense, AssignedPlan, List, User, array, id, text};

/// A set of properties, one bit each, in the order of [`PROPERTIES`].
pub(crate) type Mask = u128;

enum Value<'a> {
    Text(&'a Option<String>),
    Flag(Option<bool>),
    Time(Option<DateTime<Utc>>),
    Texts(&'a [String]),
    Plans(&'a List<AssignedPlan>),
    Licenses(&'a List<AssignedLicense>),
    /// Known to Graph, never set here.
    Unset,
    /// A collection that is known to Graph and always empty here.
    Empty,
}

type Property = (&'static str, fn(&User) -> Value<'_>);

const PROPERTIES: &[Property] = &[
    ("accountEnabled", |u| Value::Flag(u.account_enabled)),
    ("assignedLicenses", |u| Value::Licenses(&u.licenses)),
    ("assignedPlans", |u| Value::Plans(&u.plans)),
    ("businessPhones", |u| Value::Texts(&u.business_phones)),
    ("city", |u| Value::Text(&u.city)),
    ("companyName", |u| Value::Text(&u.company_name)),
    ("country", |u| Value::Text(&u.country)),
    ("createdDateTime", |u| Value::Time(u.created)),
    ("department", |u| Value::Text(&u.department)),
    ("displayName", |u| Value::Text(&u.display_name)),
    ("employeeId", |u| Value::Text(&u.employee_id)),
    ("externalUserState", |u| Value::Text(&u.external_user_state)),
    ("faxNumber", |u| Value::Text(&u.fax_number)),
    ("givenName", |u| Value::Text(&u.given_name)),
    ("jobTitle", |u| Value::Text(&u.job_title)),
    ("mail", |u| Value::Text(&u.mail)),
    ("mailNickname", |u| Value::Text(&u.mail_nickname)),
    ("mobilePhone", |u| Value::Text(&u.mobile_phone)),
    ("officeLocation", |u| Value::Text(&u.office_location)),
    ("onPremisesSyncEnabled", |u| Value::Flag(u.on_premises_sync_enabled)),
    ("postalCode", |u| Value::Text(&u.postal_code)),
    ("preferredLanguage", |u| Value::Text(&u.preferred_language)),
    ("state", |u| Value::Text(&u.state)),
    ("streetAddress", |u| Value::Text(&u.street_address)),
    ("surname", |u| Value::Text(&u.surname)),
    ("usageLocation", |u| Value::Text(&u.usage_location)),
    ("userPrincipalName", |u| Value::Text(&u.user_principal_name)),
    ("userType", |u| Value::Text(&u.user_type)),
    ("ageGroup", |_| Value::Unset),
    ("consentProvidedForMinor", |_| Value::Unset),
    ("creationType", |_| Value::Unset),
    ("deletedDateTime", |_| Value::Unset),
    ("employeeHireDate", |_| Value::Unset),
    ("employeeLeaveDateTime", |_| Value::Unset),
    ("employeeOrgData", |_| Value::Unset),
    ("employeeType", |_| Value::Unset),
    ("externalUserStateChangeDateTime", |_| Value::Unset),
    ("isManagementRestricted", |_| Value::Unset),
    ("isResourceAccount", |_| Value::Unset),
    ("lastPasswordChangeDateTime", |_| Value::Unset),
    ("legalAgeGroupClassification", |_| Value::Unset),
    ("onPremisesDistinguishedName", |_| Value::Unset),
    ("onPremisesDomainName", |_| Value::Unset),
    ("onPremisesExtensionAttributes", |_| Value::Unset),
    ("onPremisesImmutableId", |_| Value::Unset),
    ("onPremisesLastSyncDateTime", |_| Value::Unset),
    ("onPremisesSamAccountName", |_| Value::Unset),
    ("onPremisesSecurityIdentifier", |_| Value::Unset),
    ("onPremisesUserPrincipalName", |_| Value::Unset),
    ("passwordPolicies", |_| Value::Unset),
    ("passwordProfile", |_| Value::Unset),
    ("preferredDataLocation", |_| Value::Unset),
    ("securityIdentifier", |_| Value::Unset),
    ("showInAddressList", |_| Value::Unset),
    ("signInSessionsValidFromDateTime", |_| Value::Unset),
    ("identities", |_| Value::Empty),
    ("imAddresses", |_| Value::Empty),
    ("licenseAssignmentStates", |_| Value::Empty),
    ("otherMails", |_| Value::Empty),
    ("onPremisesProvisioningErrors", |_| Value::Empty),
    ("provisionedPlans", |_| Value::Empty),
    ("proxyAddresses", |_| Value::Empty),
    ("serviceProvisioningErrors", |_| Value::Empty),
];

/// Properties outside the main store: a collection cannot select them.
pub(crate) const NOT_IN_THE_MAIN_STORE: &[&str] = &[
    "signInActivity",
    "cloudLicensing",
    "mailboxSettings",
    "deviceEnrollmentLimit",
    "print",
    "aboutMe",
    "birthday",
    "hireDate",
    "interests",
    "mySite",
    "pastProjects",
    "preferredName",
    "responsibilities",
    "schools",
    "skills",
];

/// What comes back without `$select`.
const DEFAULTS: &[&str] = &[
    "businessPhones",
    "displayName",
    "givenName",
    "jobTitle",
    "mail",
    "mobilePhone",
    "officeLocation",
    "preferredLanguage",
    "surname",
    "userPrincipalName",
];

/// What `User.ReadBasic.All` lets an application see.
const BASIC: &[&str] = &[
    "displayName",
    "givenName",
    "mail",
    "securityIdentifier",
    "surname",
    "userPrincipalName",
];

/// The bit of a property, by its name in any case.
pub(crate) fn property(name: &str) -> Option<Mask> {
    PROPERTIES
        .iter()
        .position(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|bit| 1 << bit)
}

pub(crate) fn default_properties() -> Mask {
    set_of(DEFAULTS)
}

pub(crate) fn basic_properties() -> Mask {
    set_of(BASIC)
}

/// Every property, which is what a created, restored or deleted user changed.
pub(crate) const ALL: Mask = Mask::MAX;

fn set_of(names: &[&str]) -> Mask {
    names
        .iter()
        .filter_map(|name| property(name))
        .fold(0, |set, bit| set | bit)
}

/// The properties in which two versions of a user differ.
pub(crate) fn difference(before: &User, after: &User) -> Mask {
    if before.is_agent != after.is_agent {
        return ALL;
    }
    let mut changed = 0;
    for (bit, (_, of)) in PROPERTIES.iter().enumerate() {
        let same = match (of(before), of(after)) {
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Flag(a), Value::Flag(b)) => a == b,
            (Value::Time(a), Value::Time(b)) => a == b,
            (Value::Texts(a), Value::Texts(b)) => a == b,
            (Value::Plans(a), Value::Plans(b)) => a == b,
            (Value::Licenses(a), Value::Licenses(b)) => a == b,
            _ => true,
        };
        if !same {
            changed |= 1 << bit;
        }
    }
    changed
}

/// How a user is to be written.
#[derive(Clone, Copy)]
pub(crate) struct Writing {
    /// The properties asked for.
    pub selection: Mask,
    /// The properties the application may read; a selected one it may not read is left out.
    pub readable: Mask,
    /// "Limited information": everything but the id is null.
    pub blank: bool,
    /// Leave out what was never set, instead of writing null.
    pub omit_unset: bool,
    /// Write `@odata.type` even for an ordinary user.
    pub typed: bool,
}

impl Writing {
    pub(crate) fn full(selection: Mask) -> Self {
        Self {
            selection,
            readable: ALL,
            blank: false,
            omit_unset: false,
            typed: false,
        }
    }
}

/// Writes one user as a JSON object.
pub(crate) fn write(out: &mut Vec<u8>, user: &User, how: Writing) {
    write_open(out, user, how);
    out.push(b'}');
}

/// Writes one user without the closing brace.
pub(crate) fn write_open(out: &mut Vec<u8>, user: &User, how: Writing) {
    out.push(b'{');
    if how.typed || user.is_agent {
        out.extend_from_slice(b"\"@odata.type\":\"");
        out.extend_from_slice(user.odata_type().as_bytes());
        out.extend_from_slice(b"\",");
    }
    out.extend_from_slice(b"\"id\":\"");
    id(out, user.id);
    out.push(b'"');
    let mut left = how.selection & how.readable;
    while left != 0 {
        let bit = left.trailing_zeros() as usize;
        left &= left - 1;
        let Some((name, of)) = PROPERTIES.get(bit) else { break };
        let value = if how.blank { Value::Unset } else { of(user) };
        let unset = matches!(
            value,
            Value::Text(None) | Value::Flag(None) | Value::Time(None) | Value::Unset
        );
        if unset && how.omit_unset && !how.blank {
            continue;
        }
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        write_value(out, &value);
    }
}

fn write_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Text(Some(words)) => text(out, words),
        Value::Flag(Some(true)) => out.extend_from_slice(b"true"),
        Value::Flag(Some(false)) => out.extend_from_slice(b"false"),
        Value::Time(Some(time)) => text(out, &time.to_rfc3339_opts(SecondsFormat::Secs, true)),
        Value::Texts(items) => array(out, items),
        Value::Plans(plans) => plans.write(out),
        Value::Licenses(licenses) => licenses.write(out),
        Value::Empty => out.extend_from_slice(b"[]"),
        Value::Text(None) | Value::Flag(None) | Value::Time(None) | Value::Unset => out.extend_from_slice(b"null"),
    }
}
