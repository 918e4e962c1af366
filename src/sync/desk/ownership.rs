//! Who owns each column of a row (rules.md, section 7), and giving it to the customer or back to the sync.

use serde::Serialize;
use serde_json::Value;

use super::{Answer, Ask, Desk, bad_input, no_row};
use crate::domain::directory_user::DirectoryUser;
use crate::domain::environment::Environment;
use crate::domain::field::{Field, Policy};
use crate::domain::system_user::{ORIGIN_CUSTOMER, ORIGIN_SYNC, SystemUser};
use crate::plan::{Operation, desired};
use crate::store::mirror;
use crate::sync::DeskError;

/// Who owns one column of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Ownership {
    /// The column's name.
    pub field: String,
    /// Its policy in the environment.
    pub policy: &'static str,
    /// The value in the directory as this column would hold it, as last read; absent where the directory says nothing of
    /// the column or of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// `sync`, `customer`, or `nobody` where the sync wrote it once or never.
    pub owner: &'static str,
}

impl Desk {
    /// Who owns each column of a row.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when the row does not exist, or when the database fails.
    pub async fn ownership(&self, ask: Ask<'_>) -> Result<Vec<Ownership>, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        let row = self.base.find_row(&environment.name, ask.user).await?;
        let row = row.ok_or_else(|| no_row(ask.environment, ask.user))?;
        let mut db = self.base.store.read().await?;
        let ids = Vec::from_iter(row.azureactivedirectoryobjectid);
        let users = mirror::read_users(&mut db, &ids).await?;
        Ok(ownership(environment, &row, users.values().next()))
    }

    /// Gives columns to the customer, or back to the sync, which writes the directory's value in the next cycle.
    ///
    /// # Errors
    /// [`DeskError::BadInput`] for a column that has no owner, [`DeskError::Refused`], or when the database fails.
    pub async fn own(&self, ask: Ask<'_>, fields: &[String], to_customer: bool) -> Result<Answer, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        for column in fields.iter().filter(|column| *column != "accessmode") {
            let mut mapped = environment.extra_fields.iter();
            let policy = if let Some(field) = mapped.find(|field| field.column == *column) {
                field.policy
            } else {
                let field = column.parse().map_err(|problem: String| bad_input(column, problem))?;
                environment.policies.of(field)
            };
            if policy != Policy::UntilEdited {
                return Err(bad_input(
                    column,
                    format!(
                        "its policy is \"{}\": only columns under \"until_edited\" have an owner",
                        policy.as_str()
                    ),
                ));
            }
        }
        self.by_hand(ask, Operation::Edit, &|row| {
            for column in fields {
                if column == "accessmode" {
                    let origin = if to_customer { ORIGIN_CUSTOMER } else { ORIGIN_SYNC };
                    origin.clone_into(&mut row.accessmode_origin);
                } else if to_customer {
                    own_by_customer(row, column);
                } else {
                    row.customer_owned.retain(|owned| owned != column);
                }
            }
            Ok(())
        })
        .await
    }
}

/// Who owns each column of a row.
#[must_use]
pub fn ownership(environment: &Environment, row: &SystemUser, user: Option<&DirectoryUser>) -> Vec<Ownership> {
    let owned = |column: &str, policy: Policy, directory: Option<String>| {
        let owner = match policy {
            Policy::UntilEdited if row.owned_by_customer(column) => "customer",
            Policy::Always | Policy::UntilEdited => "sync",
            Policy::OnCreate | Policy::Never => "nobody",
        };
        Ownership {
            field: column.to_owned(),
            policy: policy.as_str(),
            directory,
            owner,
        }
    };
    let fields = Field::ALL.into_iter().map(|field| {
        let directory = user.and_then(|user| desired(user, field).0.value());
        owned(field.column(), environment.policies.of(field), directory)
    });
    let extra = environment.extra_fields.iter().map(|field| {
        let directory = user.and_then(|user| match user.extra_value(field.property) {
            Value::Null => None,
            Value::String(text) => Some(text),
            value => Some(value.to_string()),
        });
        owned(&field.column, field.policy, directory)
    });
    let mut owners: Vec<Ownership> = fields.chain(extra).collect();
    owners.push(Ownership {
        field: "accessmode".to_owned(),
        policy: Policy::UntilEdited.as_str(),
        directory: None,
        owner: if row.accessmode_origin == ORIGIN_SYNC {
            "sync"
        } else {
            "customer"
        },
    });
    owners
}

/// Makes a column the customer's.
pub(super) fn own_by_customer(row: &mut SystemUser, column: &str) {
    if !row.customer_owned.iter().any(|owned| owned == column) {
        row.customer_owned.push(column.to_owned());
    }
}

/// A column that `[[extra_field]]` maps becomes the customer's with the edit, where the policy says so.
pub(super) fn own_if_mapped(environment: &Environment, row: &mut SystemUser, column: &str) {
    let mut mapped = environment.extra_fields.iter();
    if mapped.any(|field| field.column == column && field.policy == Policy::UntilEdited) {
        own_by_customer(row, column);
    }
}
