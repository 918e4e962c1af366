//! One row of `rollcall.system_user`: our record of a user in one environment.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::directory_user::{name_key, upn_key};
use super::field::Field;
use super::reason::Code;

/// Access modes as Dataverse numbers them.
pub mod access_mode {
    /// Full use of the web interface.
    pub const READ_WRITE: i16 = 0;
    /// Settings and administration only; for unlicensed administrators.
    pub const ADMINISTRATIVE: i16 = 1;
    /// Reading only.
    pub const READ: i16 = 2;
    /// The support placeholder.
    pub const SUPPORT: i16 = 3;
    /// Programs only; at most seven a environment.
    pub const NON_INTERACTIVE: i16 = 4;
    /// The delegated administrator placeholder.
    pub const DELEGATED_ADMIN: i16 = 5;
}

/// `azurestate`: whether the directory user exists.
pub mod azure_state {
    /// Exists.
    pub const EXISTS: i16 = 0;
    /// Soft-deleted.
    pub const SOFT_DELETED: i16 = 1;
    /// Gone.
    pub const GONE: i16 = 2;
}

/// `accessmode_origin` of a mode that the sync chose and may change.
pub const ORIGIN_SYNC: &str = "sync";
/// `accessmode_origin` of a mode that a person chose: the sync leaves it alone.
pub const ORIGIN_CUSTOMER: &str = "customer";

/// The actor under which the sync writes.
pub const SYNC_ACTOR: &str = "sync";
/// The support placeholder's name.
pub const SUPPORT_UPN: &str = "crmoln@microsoft.com";
/// The delegated administrator placeholder's name.
pub const DELEGATED_ADMIN_UPN: &str = "crmoln2@microsoft.com";

/// Names that belong to the system (rules.md, gate 2), lower-cased.
const RESERVED: [&str; 6] = [
    SUPPORT_UPN,
    DELEGATED_ADMIN_UPN,
    "system",
    "integration",
    SYNC_ACTOR,
    "rollcall",
];

/// Whether a name is reserved.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    RESERVED.contains(&key)
}

/// What entitled a row; only what lapses with a grace is told apart (rules.md, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastEntitlement {
    /// Nothing that leaves a grace behind.
    #[default]
    Other,
    /// App passes alone.
    AppPass,
}

impl From<Option<String>> for LastEntitlement {
    fn from(stored: Option<String>) -> Self {
        match stored.as_deref() {
            Some("app_pass") => Self::AppPass,
            _ => Self::Other,
        }
    }
}

impl From<LastEntitlement> for Option<String> {
    fn from(last: LastEntitlement) -> Self {
        (last == LastEntitlement::AppPass).then(|| "app_pass".to_owned())
    }
}

/// A row, with the columns that other programs read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "the columns are Dataverse's")]
pub struct SystemUser {
    /// The environment's name.
    pub environment: String,
    /// The row's key.
    pub systemuserid: Uuid,
    /// The Entra object id of a user, or of an application's service principal; none for stubs and placeholders.
    pub azureactivedirectoryobjectid: Option<Uuid>,
    /// The application id of an application user.
    pub applicationid: Option<Uuid>,
    /// The user principal name.
    pub domainname: Option<String>,
    /// Full name.
    pub fullname: Option<String>,
    /// First name, "#" where the directory has none.
    pub firstname: Option<String>,
    /// Last name.
    pub lastname: Option<String>,
    /// Job title.
    pub jobtitle: Option<String>,
    /// Primary e-mail.
    pub internalemailaddress: Option<String>,
    /// Main phone.
    pub address1_telephone1: Option<String>,
    /// Mobile phone.
    pub mobilephone: Option<String>,
    /// Street.
    pub address1_line1: Option<String>,
    /// City.
    pub address1_city: Option<String>,
    /// State or province.
    pub address1_stateorprovince: Option<String>,
    /// Postal code.
    pub address1_postalcode: Option<String>,
    /// Country or region.
    pub address1_country: Option<String>,
    /// See [`access_mode`].
    pub accessmode: i16,
    /// `sync` or `customer`: who set the access mode.
    pub accessmode_origin: String,
    /// Whether the user may not sign in.
    pub isdisabled: bool,
    /// Why, as a reason code.
    pub disabledreason: Option<String>,
    /// `sync` or the actor who disabled it.
    pub disabled_by: Option<String>,
    /// Whether the user has a usable full plan.
    pub islicensed: bool,
    /// True for rows bound to an object id.
    pub issyncwithdirectory: bool,
    /// An unlicensed administrator.
    pub setupuser: bool,
    /// See [`azure_state`].
    pub azurestate: i16,
    /// When the directory user was deleted.
    pub azuredeletedon: Option<DateTime<Utc>>,
    /// 1 where the row itself was deleted.
    pub deletedstate: i16,
    /// A placeholder made by data import.
    pub isstub: bool,
    /// The row into which a stub went.
    pub merged_into: Option<Uuid>,
    /// The default company, from the import that made the row.
    pub company: Option<String>,
    /// Held by an administrator.
    pub onhold: bool,
    /// Why it is held.
    pub holdreason: Option<String>,
    /// Columns that a person edited and the sync leaves alone since (policy `until_edited`).
    pub customer_owned: Vec<String>,
    /// What entitled the row when it was last judged with anything that did.
    #[serde(skip)]
    pub last_entitlement: LastEntitlement,
    /// When a time-bound judgement of this row falls due.
    #[serde(skip)]
    pub due_at: Option<DateTime<Utc>>,
    /// The folded name, where the row is live and holds it.
    #[serde(skip)]
    pub upn_key: Option<String>,
    /// When it was created.
    pub createdon: DateTime<Utc>,
    /// Who created it.
    pub createdby: String,
    /// When a value last changed.
    pub modifiedon: DateTime<Utc>,
    /// Who changed it.
    pub modifiedby: String,
}

impl SystemUser {
    /// The text of a synchronised column.
    #[must_use]
    pub fn text(&self, field: Field) -> Option<String> {
        match field {
            Field::ObjectId => self.azureactivedirectoryobjectid.map(|id| id.to_string()),
            Field::DomainName => self.domainname.clone(),
            Field::FirstName => self.firstname.clone(),
            Field::LastName => self.lastname.clone(),
            Field::FullName => self.fullname.clone(),
            Field::JobTitle => self.jobtitle.clone(),
            Field::InternalEmailAddress => self.internalemailaddress.clone(),
            Field::Telephone1 => self.address1_telephone1.clone(),
            Field::MobilePhone => self.mobilephone.clone(),
            Field::Line1 => self.address1_line1.clone(),
            Field::City => self.address1_city.clone(),
            Field::StateOrProvince => self.address1_stateorprovince.clone(),
            Field::PostalCode => self.address1_postalcode.clone(),
            Field::Country => self.address1_country.clone(),
        }
    }

    /// Sets the text of a synchronised column; the object id is not a text and is left alone.
    pub fn set_text(&mut self, field: Field, value: Option<String>) {
        match field {
            Field::ObjectId => {}
            Field::DomainName => self.domainname = value,
            Field::FirstName => self.firstname = value,
            Field::LastName => self.lastname = value,
            Field::FullName => self.fullname = value,
            Field::JobTitle => self.jobtitle = value,
            Field::InternalEmailAddress => self.internalemailaddress = value,
            Field::Telephone1 => self.address1_telephone1 = value,
            Field::MobilePhone => self.mobilephone = value,
            Field::Line1 => self.address1_line1 = value,
            Field::City => self.address1_city = value,
            Field::StateOrProvince => self.address1_stateorprovince = value,
            Field::PostalCode => self.address1_postalcode = value,
            Field::Country => self.address1_country = value,
        }
    }

    /// Whether a person edited the column under `until_edited`.
    #[must_use]
    pub fn owned_by_customer(&self, field: Field) -> bool {
        self.customer_owned.iter().any(|column| column == field.column())
    }

    /// Live rows hold their user principal name.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.azurestate == azure_state::EXISTS && self.deletedstate == 0
    }
}

impl SystemUser {
    /// An enabled row with nothing in it.
    #[must_use]
    pub fn blank(environment: &str, systemuserid: Uuid, actor: &str, now: DateTime<Utc>) -> Self {
        Self {
            environment: environment.to_owned(),
            systemuserid,
            azureactivedirectoryobjectid: None,
            applicationid: None,
            domainname: None,
            fullname: None,
            firstname: None,
            lastname: None,
            jobtitle: None,
            internalemailaddress: None,
            address1_telephone1: None,
            mobilephone: None,
            address1_line1: None,
            address1_city: None,
            address1_stateorprovince: None,
            address1_postalcode: None,
            address1_country: None,
            accessmode: access_mode::READ_WRITE,
            accessmode_origin: ORIGIN_SYNC.to_owned(),
            isdisabled: false,
            disabledreason: None,
            disabled_by: None,
            islicensed: false,
            issyncwithdirectory: false,
            setupuser: false,
            azurestate: azure_state::EXISTS,
            azuredeletedon: None,
            deletedstate: 0,
            isstub: false,
            merged_into: None,
            company: None,
            onhold: false,
            holdreason: None,
            customer_owned: Vec::new(),
            last_entitlement: LastEntitlement::Other,
            due_at: None,
            upn_key: None,
            createdon: now,
            createdby: actor.to_owned(),
            modifiedon: now,
            modifiedby: actor.to_owned(),
        }
    }

    /// The key that the row holds once it is written: a name that stays keeps the key it has, or goes on without one
    /// where somebody else holds it.
    #[must_use]
    pub fn upn_key_after(&self, before: Option<&Self>) -> Option<String> {
        match before {
            Some(before) if before.domainname == self.domainname && before.is_live() == self.is_live() => {
                before.upn_key.clone()
            }
            _ => self.domainname.as_deref().filter(|_| self.is_live()).and_then(name_key),
        }
    }

    /// Disables the row; who and why stand beside it.
    pub fn disable(&mut self, by: &str, reason: Code) {
        self.isdisabled = true;
        self.disabledreason = Some(reason.as_str().to_owned());
        self.disabled_by = Some(by.to_owned());
    }

    /// Enables the row.
    pub fn enable(&mut self) {
        self.isdisabled = false;
        self.disabledreason = None;
        self.disabled_by = None;
    }

    /// Whether the sync may enable the row again: it has disabled it, or the row went with its environment, which is back.
    #[must_use]
    pub fn is_disabled_by_sync(&self) -> bool {
        self.isdisabled
            && (self.disabled_by.as_deref() == Some(SYNC_ACTOR)
                || self.disabledreason.as_deref() == Some(Code::EnvironmentRetired.as_str()))
    }

    /// Whether it is one of the two placeholders, which nobody touches.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.azureactivedirectoryobjectid.is_none()
            && self.applicationid.is_none()
            && self
                .domainname
                .as_deref()
                .is_some_and(|name| is_reserved(&upn_key(name)))
    }

    /// A non-interactive user: one of the few that the cap counts while it is enabled.
    #[must_use]
    pub fn is_non_interactive(&self) -> bool {
        self.accessmode == access_mode::NON_INTERACTIVE && self.applicationid.is_none()
    }

    /// An enabled row that is bound to a directory object: what the guard's percentage counts.
    #[must_use]
    pub fn is_enabled_and_bound(&self) -> bool {
        !self.isdisabled && self.azureactivedirectoryobjectid.is_some()
    }
}

impl SystemUser {
    /// An enabled regular row with nothing in it, for the rule table and for tests.
    pub(crate) fn example(id: Option<Uuid>) -> Self {
        Self {
            azureactivedirectoryobjectid: id,
            domainname: Some("ada@contoso.example".to_owned()),
            issyncwithdirectory: id.is_some(),
            ..Self::blank("test", Uuid::from_u128(0xab), SYNC_ACTOR, DateTime::UNIX_EPOCH)
        }
    }

    /// The same row, disabled.
    pub(crate) fn disabled(mut self, by: &str, reason: &str) -> Self {
        self.isdisabled = true;
        self.disabled_by = Some(by.to_owned());
        self.disabledreason = Some(reason.to_owned());
        self
    }
}
