//! One row of `rollcall.system_user`: our record of a user in one environment.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::directory_user::{name_key, upn_key};
use super::extra_field::ExtraColumns;
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
    /// Programs only; by default at most seven per environment.
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
    /// Permanently deleted.
    pub const GONE: i16 = 2;
}

/// `accessmode_origin` of a mode that the sync chose and may change.
pub const ORIGIN_SYNC: &str = "sync";
/// `accessmode_origin` of a mode that a person chose: the sync does not change it.
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

/// What entitled a row; only what lapses with a grace period is distinguished (rules.md, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastEntitlement {
    /// Nothing that has a grace period.
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

/// The columns of `rollcall.system_user` after its key, listed only here: `$then` is a macro that takes the given
/// tokens and this table. A row contains a name; the same name for SQL; its nullability as sqlx writes it; and its
/// type. If batches write the column, its SQL type and parameter follow; if the directory feeds it as a text, the field
/// follows. A new column needs a migration whose `write_each` writes it: `tests/it/columns.rs`.
macro_rules! with_columns {
    ($then:ident $given:tt) => {
        $then! { $given
            written {
                /// The Entra object id of a user, or of an application's service principal; none for stubs and
                /// placeholders.
                azureactivedirectoryobjectid "azureactivedirectoryobjectid" "?" Option<Uuid>, "uuid[]" "$5";
                /// The application id of an application user, which never changes.
                applicationid "applicationid" "?" Option<Uuid>, "uuid[]" "$6";
                /// The user principal name.
                domainname "domainname" "?" Option<String>, "text[]" "$7", DomainName;
                /// Full name.
                fullname "fullname" "?" Option<String>, "text[]" "$8", FullName;
                /// First name, "#" where the directory has none.
                firstname "firstname" "?" Option<String>, "text[]" "$9", FirstName;
                /// Last name.
                lastname "lastname" "?" Option<String>, "text[]" "$10", LastName;
                /// Job title.
                jobtitle "jobtitle" "?" Option<String>, "text[]" "$11", JobTitle;
                /// Primary e-mail.
                internalemailaddress "internalemailaddress" "?" Option<String>, "text[]" "$12", InternalEmailAddress;
                /// Main phone.
                address1_telephone1 "address1_telephone1" "?" Option<String>, "text[]" "$13", Telephone1;
                /// Mobile phone.
                mobilephone "mobilephone" "?" Option<String>, "text[]" "$14", MobilePhone;
                /// Street.
                address1_line1 "address1_line1" "?" Option<String>, "text[]" "$15", Line1;
                /// City.
                address1_city "address1_city" "?" Option<String>, "text[]" "$16", City;
                /// State or province.
                address1_stateorprovince "address1_stateorprovince" "?" Option<String>, "text[]" "$17", StateOrProvince;
                /// Postal code.
                address1_postalcode "address1_postalcode" "?" Option<String>, "text[]" "$18", PostalCode;
                /// Country or region.
                address1_country "address1_country" "?" Option<String>, "text[]" "$19", Country;
                /// See [`access_mode`].
                accessmode "accessmode" "!" i16, "smallint[]" "$20";
                /// `sync` or `customer`: who set the access mode.
                accessmode_origin "accessmode_origin" "!" String, "text[]" "$21";
                /// Whether the user is barred from signing in.
                isdisabled "isdisabled" "!" bool, "boolean[]" "$22";
                /// The reason code, if disabled.
                disabledreason "disabledreason" "?" Option<String>, "text[]" "$23";
                /// `sync` or the actor who disabled it.
                disabled_by "disabled_by" "?" Option<String>, "text[]" "$24";
                /// Whether the user has a usable full plan.
                islicensed "islicensed" "!" bool, "boolean[]" "$25";
                /// True for rows bound to an object id.
                issyncwithdirectory "issyncwithdirectory" "!" bool, "boolean[]" "$26";
                /// An unlicensed administrator.
                setupuser "setupuser" "!" bool, "boolean[]" "$27";
                /// See [`azure_state`].
                azurestate "azurestate" "!" i16, "smallint[]" "$28";
                /// When the directory user was deleted.
                azuredeletedon "azuredeletedon" "?" Option<DateTime<Utc>>, "timestamptz[]" "$29";
                /// 1 where the row itself was deleted.
                deletedstate "deletedstate" "!" i16, "smallint[]" "$30";
                /// A placeholder made by data import.
                isstub "isstub" "!" bool, "boolean[]" "$31";
                /// The default company, from the import that created the row.
                company "company" "?" Option<String>, "text[]" "$32";
                /// Held by an administrator.
                onhold "onhold" "!" bool, "boolean[]" "$33";
                /// Why it is held.
                holdreason "holdreason" "?" Option<String>, "text[]" "$34";
                /// When a time-bound evaluation of this row is due.
                #[serde(skip)]
                due_at "due_at" "?" Option<DateTime<Utc>>, "timestamptz[]" "$35";
                /// The folded name, if the row is live and holds it.
                #[serde(skip)]
                upn_key "upn_key" "?" Option<String>, "text[]" "$36";
                /// When a value last changed.
                modifiedon "modifiedon" "!" DateTime<Utc>, "timestamptz[]" "$37";
                /// Who changed it.
                modifiedby "modifiedby" "!" String, "text[]" "$38";
            }
            apart {
                /// The business unit; null for a row that is not filled in yet, which belongs to the root.
                businessunitid "businessunitid" "?" Option<Uuid>;
                /// The manager: a row of the same environment.
                parentsystemuserid "parentsystemuserid" "?" Option<Uuid>;
                /// The position.
                positionid "positionid" "?" Option<Uuid>;
                /// Title, as `Dr`.
                title "title" "?" Option<String>;
                /// Nickname.
                nickname "nickname" "?" Option<String>;
                /// Middle name.
                middlename "middlename" "?" Option<String>;
                /// The number or name under which the employer knows the person.
                employeeid "employeeid" "?" Option<String>;
                /// The language that the person prefers, as `en-GB`.
                preferredlanguage "preferredlanguage" "?" Option<String>;
                /// The row into which a stub was merged.
                merged_into "merged_into" "?" Option<Uuid>;
                /// Columns that a person edited and that the sync no longer writes (policy `until_edited`).
                customer_owned "customer_owned" "!" Vec<String>;
                /// The entitlement at the last evaluation in which the row had one.
                #[serde(skip)]
                last_entitlement "last_entitlement" "?" LastEntitlement;
                /// When it was created.
                createdon "createdon" "!" DateTime<Utc>;
                /// Who created it.
                createdby "createdby" "!" String;
            }
        }
    };
}
pub(crate) use with_columns;

macro_rules! define {
    ([] written { $($(#[$about:meta])* $name:ident $sql:literal $null:literal $type:ty, $kind:literal $at:literal $(, $field:ident)?;)* }
        apart { $($(#[$about_apart:meta])* $apart:ident $sql_apart:literal $null_apart:literal $type_apart:ty;)* }) => {
        /// A row, with the columns that other programs read.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
        pub struct SystemUser {
            /// The environment's name.
            pub environment: String,
            /// The row's key.
            pub systemuserid: Uuid,
            $($(#[$about])* pub $name: $type,)*
            $($(#[$about_apart])* pub $apart: $type_apart,)*
            /// The columns that `[[extra_field]]` maps, in an evaluation.
            #[serde(skip)]
            pub extra: ExtraColumns,
        }

        impl SystemUser {
            /// The program's own columns. Everything else in the table is a customer's.
            pub const COLUMNS: &[&str] =
                &["environment", "systemuserid", "unheld_upn_key", $($sql,)* $($sql_apart),*];

            /// The text of a synchronised column.
            #[must_use]
            pub fn text(&self, field: Field) -> Option<String> {
                match field {
                    Field::ObjectId => self.azureactivedirectoryobjectid.map(|id| id.to_string()),
                    $($(Field::$field => self.$name.clone(),)?)*
                }
            }

            /// Sets the text of a synchronised column; the object id is not a text and is not changed.
            pub fn set_text(&mut self, field: Field, value: Option<String>) {
                match field {
                    Field::ObjectId => {}
                    $($(Field::$field => self.$name = value,)?)*
                }
            }
        }

        impl Field {
            /// The column's name in `rollcall.system_user`.
            #[must_use]
            pub const fn column(self) -> &'static str {
                match self {
                    Self::ObjectId => "azureactivedirectoryobjectid",
                    $($(Self::$field => $sql,)?)*
                }
            }
        }
    };
}
with_columns!(define []);

/// The filter of a list of rows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Enabled or disabled rows only.
    pub disabled: Option<bool>,
    /// One access mode only.
    pub accessmode: Option<i16>,
    /// One reason code only.
    pub reason: Option<String>,
    /// `regular`, `application`, `non_interactive`, `stub`, `reserved`.
    pub kind: Option<String>,
    /// Enabled directory users without a security role of their own or of a team.
    pub without_role: bool,
    /// Text in name, full name or e-mail, case-insensitive.
    pub text: Option<String>,
    /// Continue after this key.
    pub after: Option<Uuid>,
    /// The maximum number of rows.
    pub limit: i64,
}

impl SystemUser {
    /// Whether a person edited the column under `until_edited`.
    #[must_use]
    pub fn owned_by_customer(&self, column: &str) -> bool {
        self.customer_owned.iter().any(|owned| owned == column)
    }

    /// Sets a column that `[[extra_field]]` maps.
    pub fn set_extra(&mut self, column: &str, value: Value) {
        let text = value.as_str().map(str::to_owned);
        self.extra.set(column, value);
        match column {
            "title" => self.title = text,
            "nickname" => self.nickname = text,
            "middlename" => self.middlename = text,
            "employeeid" => self.employeeid = text,
            "preferredlanguage" => self.preferredlanguage = text,
            _ => {}
        }
    }

    /// Live rows hold their user principal name.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.azurestate == azure_state::EXISTS && self.deletedstate == 0
    }
}

impl SystemUser {
    /// An enabled row without data.
    #[must_use]
    pub fn blank(environment: &str, systemuserid: Uuid, actor: &str, now: DateTime<Utc>) -> Self {
        Self {
            environment: environment.to_owned(),
            systemuserid,
            accessmode_origin: ORIGIN_SYNC.to_owned(),
            createdon: now,
            createdby: actor.to_owned(),
            modifiedon: now,
            modifiedby: actor.to_owned(),
            ..Self::default()
        }
    }

    /// The key that the row holds once it is written: an unchanged name keeps its key, or stays without one if another
    /// row holds it.
    #[must_use]
    pub fn upn_key_after(&self, before: Option<&Self>) -> Option<String> {
        match before {
            Some(before) if before.domainname == self.domainname && before.is_live() == self.is_live() => {
                before.upn_key.clone()
            }
            _ => self.domainname.as_deref().filter(|_| self.is_live()).and_then(name_key),
        }
    }

    /// Disables the row, with the actor and the reason.
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

    /// Whether the sync may enable the row again: the sync disabled it, or its environment was retired and is back.
    #[must_use]
    pub fn is_disabled_by_sync(&self) -> bool {
        self.isdisabled
            && (self.disabled_by.as_deref() == Some(SYNC_ACTOR)
                || self.disabledreason.as_deref() == Some(Code::EnvironmentRetired.as_str()))
    }

    /// Whether it is one of the two placeholders, which are never changed.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.azureactivedirectoryobjectid.is_none()
            && self.applicationid.is_none()
            && self
                .domainname
                .as_deref()
                .is_some_and(|name| is_reserved(&upn_key(name)))
    }

    /// A non-interactive user: counted by the cap while it is enabled.
    #[must_use]
    pub fn is_non_interactive(&self) -> bool {
        self.accessmode == access_mode::NON_INTERACTIVE && self.applicationid.is_none()
    }

    /// An enabled row that is bound to a directory object: counted by the guard's percentage.
    #[must_use]
    pub fn is_enabled_and_bound(&self) -> bool {
        !self.isdisabled && self.azureactivedirectoryobjectid.is_some()
    }
}

impl SystemUser {
    /// An enabled regular row without data, for the rule table and for tests.
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
