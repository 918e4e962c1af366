//! A directory user, and the lists she shares with others.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// One entry of `assignedPlans`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPlan {
    /// `servicePlanId`; a string, so that a test can send upper case or nonsense.
    pub plan_id: String,
    /// `capabilityStatus`: Enabled, Warning, Suspended, Deleted, `LockedOut`, or anything new.
    pub capability_status: String,
    /// `service`, a coarse name.
    pub service: String,
    /// `assignedDateTime`, as written on the wire.
    pub assigned: String,
}

impl AssignedPlan {
    /// A plan in this state.
    pub fn new(plan_id: impl std::fmt::Display, capability_status: impl Into<String>) -> Self {
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

    pub(super) fn write(&self, out: &mut Vec<u8>) {
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

pub(super) fn array<T: Json>(out: &mut Vec<u8>, items: &[T]) {
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
