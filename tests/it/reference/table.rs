//! Rows of `rollcall.system_user` as another program reads them: every documented column.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// The columns that the directory feeds, the object id excepted.
pub const FED: [&str; 13] = [
    "domainname",
    "firstname",
    "lastname",
    "fullname",
    "jobtitle",
    "internalemailaddress",
    "address1_telephone1",
    "mobilephone",
    "address1_line1",
    "address1_city",
    "address1_stateorprovince",
    "address1_postalcode",
    "address1_country",
];

#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "the columns are Dataverse's")]
pub struct Row {
    pub systemuserid: Uuid,
    pub azureactivedirectoryobjectid: Option<Uuid>,
    pub applicationid: Option<Uuid>,
    pub domainname: Option<String>,
    pub firstname: Option<String>,
    pub lastname: Option<String>,
    pub fullname: Option<String>,
    pub jobtitle: Option<String>,
    pub internalemailaddress: Option<String>,
    pub address1_telephone1: Option<String>,
    pub mobilephone: Option<String>,
    pub address1_line1: Option<String>,
    pub address1_city: Option<String>,
    pub address1_stateorprovince: Option<String>,
    pub address1_postalcode: Option<String>,
    pub address1_country: Option<String>,
    pub accessmode: i16,
    pub accessmode_origin: String,
    pub isdisabled: bool,
    pub disabledreason: Option<String>,
    pub disabled_by: Option<String>,
    pub islicensed: bool,
    pub issyncwithdirectory: bool,
    pub setupuser: bool,
    pub azurestate: i16,
    pub azuredeletedon: Option<DateTime<Utc>>,
    pub deletedstate: i16,
    pub isstub: bool,
    pub company: Option<String>,
    pub onhold: bool,
    pub holdreason: Option<String>,
    /// Sorted.
    pub customer_owned: Vec<String>,
    pub createdon: DateTime<Utc>,
    pub createdby: String,
    pub modifiedon: DateTime<Utc>,
    pub modifiedby: String,
}

const SELECT: &str =
    "select systemuserid, azureactivedirectoryobjectid, applicationid, domainname, firstname, lastname,
    fullname, jobtitle, internalemailaddress, address1_telephone1, mobilephone, address1_line1, address1_city,
    address1_stateorprovince, address1_postalcode, address1_country, accessmode, accessmode_origin, isdisabled,
    disabledreason, disabled_by, islicensed, issyncwithdirectory, setupuser, azurestate, azuredeletedon, deletedstate,
    isstub, company, onhold, holdreason, array(select unnest(customer_owned) order by 1) as customer_owned, createdon,
    createdby, modifiedon, modifiedby
    from rollcall.system_user where environment = $1";

/// All rows of an environment by key.
pub async fn read(db: &mut PgConnection, environment: &str) -> BTreeMap<Uuid, Row> {
    let rows: Vec<Row> = sqlx::query_as(SELECT).bind(environment).fetch_all(db).await.unwrap();
    rows.into_iter().map(|row| (row.systemuserid, row)).collect()
}

/// One row.
pub async fn read_one(db: &mut PgConnection, environment: &str, systemuserid: Uuid) -> Option<Row> {
    sqlx::query_as(sqlx::AssertSqlSafe(format!("{SELECT} and systemuserid = $2")))
        .bind(environment)
        .bind(systemuserid)
        .fetch_optional(db)
        .await
        .unwrap()
}

impl Row {
    /// A row with nothing in it that somebody makes at that time.
    pub fn new(systemuserid: Uuid, by: &str, at: DateTime<Utc>) -> Self {
        Self {
            systemuserid,
            azureactivedirectoryobjectid: None,
            applicationid: None,
            domainname: None,
            firstname: None,
            lastname: None,
            fullname: None,
            jobtitle: None,
            internalemailaddress: None,
            address1_telephone1: None,
            mobilephone: None,
            address1_line1: None,
            address1_city: None,
            address1_stateorprovince: None,
            address1_postalcode: None,
            address1_country: None,
            accessmode: 0,
            accessmode_origin: "sync".to_owned(),
            isdisabled: false,
            disabledreason: None,
            disabled_by: None,
            islicensed: false,
            issyncwithdirectory: false,
            setupuser: false,
            azurestate: 0,
            azuredeletedon: None,
            deletedstate: 0,
            isstub: false,
            company: None,
            onhold: false,
            holdreason: None,
            customer_owned: Vec::new(),
            createdon: at,
            createdby: by.to_owned(),
            modifiedon: at,
            modifiedby: by.to_owned(),
        }
    }

    /// A column that holds a text.
    pub fn text(&mut self, column: &str) -> &mut Option<String> {
        match column {
            "domainname" => &mut self.domainname,
            "firstname" => &mut self.firstname,
            "lastname" => &mut self.lastname,
            "fullname" => &mut self.fullname,
            "jobtitle" => &mut self.jobtitle,
            "internalemailaddress" => &mut self.internalemailaddress,
            "address1_telephone1" => &mut self.address1_telephone1,
            "mobilephone" => &mut self.mobilephone,
            "address1_line1" => &mut self.address1_line1,
            "address1_city" => &mut self.address1_city,
            "address1_stateorprovince" => &mut self.address1_stateorprovince,
            "address1_postalcode" => &mut self.address1_postalcode,
            "address1_country" => &mut self.address1_country,
            "company" => &mut self.company,
            "holdreason" => &mut self.holdreason,
            other => panic!("{other} is no text column"),
        }
    }

    /// "UPNs are unique, case-insensitively, among live rows (`azurestate` 0, not soft-deleted) of one environment"
    /// (section 7): the name that the row holds.
    pub fn held_name(&self) -> Option<String> {
        let is_live = self.azurestate == 0 && self.deletedstate == 0;
        self.domainname
            .as_ref()
            .filter(|_| is_live)
            .map(|name| name.to_lowercase())
    }

    /// "counted on: ... mode 4 without `applicationid`" (section 6)
    pub fn is_non_interactive(&self) -> bool {
        self.accessmode == 4 && self.applicationid.is_none()
    }

    /// Columns in which two rows differ: name, here, there.
    pub fn differences(&self, other: &Self) -> Vec<(String, Value, Value)> {
        if self == other {
            return Vec::new();
        }
        let (here, there) = (
            serde_json::to_value(self).unwrap(),
            serde_json::to_value(other).unwrap(),
        );
        let columns = here.as_object().unwrap().keys();
        columns
            .filter(|column| here[*column] != there[*column])
            .map(|column| (column.clone(), here[column].clone(), there[column].clone()))
            .collect()
    }
}
