//! A directory user, the properties one may select, and how they are written as JSON.
//!
//! A property is absent in a first round when it was never set, and an explicit null in later rounds. A page of
//! users is written straight into bytes: a benchmark is to measure its client, not this.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

/// One entry of `assignedPlans`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPlan {
    /// `servicePlanId`; a string, so that a test can send upper case or nonsense.
    pub plan_id: String,
    /// `capabilityStatus`: Enabled, Warning, Suspended, Deleted, LockedOut, or anything new.
    pub capability_status: String,
    /// `service`, a coarse name.
    pub service: String,
    /// `assignedDateTime`, as written on the wire.
    pub assigned: String,
}

impl AssignedPlan {
    /// A plan in this state.
    pub fn new(plan_id: impl ToString, capability_status: impl Into<String>) -> Self {
        Self {
            plan_id: plan_id.to_string(),
            capability_status: capability_status.into(),
            service: "CRM".into(),
            assigned: "2024-02-29T08:00:00Z".into(),
        }
    }
}

/// One entry of `assignedLicenses`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedLicense {
    /// `skuId`.
    pub sku_id: String,
    /// `disabledPlans`.
    pub disabled_plans: Vec<String>,
}

/// A list that is shared until somebody changes it, and that remembers its JSON while it is shared.
#[derive(Clone, Debug)]
pub struct List<T> {
    items: Arc<Vec<T>>,
    json: Option<Arc<[u8]>>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            items: Arc::default(),
            json: None,
        }
    }
}

impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.items, &other.items) || self.items == other.items
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        Self {
            items: Arc::new(items),
            json: None,
        }
    }
}

impl<T> Deref for List<T> {
    type Target = Vec<T>;
    fn deref(&self) -> &Vec<T> {
        &self.items
    }
}

impl<T: Clone> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        self.json = None;
        Arc::make_mut(&mut self.items)
    }
}

impl<T: Json> List<T> {
    /// The same list with its JSON made once.
    pub(super) fn prerendered(items: Vec<T>) -> Self {
        let mut json = Vec::new();
        array(&mut json, &items);
        Self {
            items: Arc::new(items),
            json: Some(json.into()),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match &self.json {
            Some(json) => out.extend_from_slice(json),
            None => array(out, &self.items),
        }
    }
}

/// A user with every property the simulator models. `Default` is an enabled member without a name.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each field is the Graph property of the same name")]
pub struct User {
    /// The object id; nil in a new user means "choose one".
    pub id: Uuid,
    /// Whether the object is an `agentUser`.
    pub is_agent: bool,
    /// None: never set, or not readable.
    pub account_enabled: Option<bool>,
    /// `assignedPlans`.
    pub plans: List<AssignedPlan>,
    /// `assignedLicenses`.
    pub licenses: List<AssignedLicense>,
    pub business_phones: Vec<String>,
    pub on_premises_sync_enabled: Option<bool>,
    pub created: Option<DateTime<Utc>>,
    pub city: Option<String>,
    pub company_name: Option<String>,
    pub country: Option<String>,
    pub department: Option<String>,
    pub display_name: Option<String>,
    pub employee_id: Option<String>,
    pub external_user_state: Option<String>,
    pub fax_number: Option<String>,
    pub given_name: Option<String>,
    pub job_title: Option<String>,
    pub mail: Option<String>,
    pub mail_nickname: Option<String>,
    pub mobile_phone: Option<String>,
    pub office_location: Option<String>,
    pub postal_code: Option<String>,
    pub preferred_language: Option<String>,
    pub state: Option<String>,
    pub street_address: Option<String>,
    pub surname: Option<String>,
    pub usage_location: Option<String>,
    pub user_principal_name: Option<String>,
    pub user_type: Option<String>,
}

impl Default for User {
    fn default() -> Self {
        Self {
            id: Uuid::nil(),
            is_agent: false,
            account_enabled: Some(true),
            plans: List::default(),
            licenses: List::default(),
            business_phones: Vec::new(),
            on_premises_sync_enabled: None,
            created: None,
            city: None,
            company_name: None,
            country: None,
            department: None,
            display_name: None,
            employee_id: None,
            external_user_state: None,
            fax_number: None,
            given_name: None,
            job_title: None,
            mail: None,
            mail_nickname: None,
            mobile_phone: None,
            office_location: None,
            postal_code: None,
            preferred_language: None,
            state: None,
            street_address: None,
            surname: None,
            usage_location: None,
            user_principal_name: None,
            user_type: Some("Member".into()),
        }
    }
}

impl User {
    /// An enabled member with this name and an address made of it.
    #[must_use]
    pub fn named(given_name: &str, surname: &str) -> Self {
        let local = format!("{given_name}.{surname}").to_lowercase().replace(' ', "");
        let address = format!("{local}@contoso.example");
        Self {
            display_name: Some(format!("{given_name} {surname}")),
            given_name: Some(given_name.into()),
            surname: Some(surname.into()),
            mail: Some(address.clone()),
            user_principal_name: Some(address),
            ..Self::default()
        }
    }

    /// The same user with these usable plans and no others.
    #[must_use]
    pub fn with_plans(mut self, plan_ids: &[Uuid]) -> Self {
        self.plans = plan_ids
            .iter()
            .map(|id| AssignedPlan::new(id, "Enabled"))
            .collect::<Vec<_>>()
            .into();
        self
    }

    pub(crate) fn odata_type(&self) -> &'static str {
        if self.is_agent {
            "#microsoft.graph.agentUser"
        } else {
            "#microsoft.graph.user"
        }
    }
}

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

/// Something that can be written as JSON.
pub trait Json {
    /// Appends the JSON.
    fn json(&self, out: &mut Vec<u8>);
}

impl Json for String {
    fn json(&self, out: &mut Vec<u8>) {
        text(out, self);
    }
}

impl Json for AssignedPlan {
    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"assignedDateTime\":");
        text(out, &self.assigned);
        out.extend_from_slice(b",\"capabilityStatus\":");
        text(out, &self.capability_status);
        out.extend_from_slice(b",\"service\":");
        text(out, &self.service);
        out.extend_from_slice(b",\"servicePlanId\":");
        text(out, &self.plan_id);
        out.push(b'}');
    }
}

impl Json for AssignedLicense {
    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"disabledPlans\":");
        array(out, &self.disabled_plans);
        out.extend_from_slice(b",\"skuId\":");
        text(out, &self.sku_id);
        out.push(b'}');
    }
}

fn array<T: Json>(out: &mut Vec<u8>, items: &[T]) {
    out.push(b'[');
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        item.json(out);
    }
    out.push(b']');
}

/// Writes a JSON string.
pub(crate) fn text(out: &mut Vec<u8>, words: &str) {
    // Writing a string into a vector cannot fail.
    let _ = serde_json::to_writer(out, words);
}

/// Writes an id without allocating.
pub(crate) fn id(out: &mut Vec<u8>, id: Uuid) {
    let mut buffer = Uuid::encode_buffer();
    out.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
}
