//! Whether the columns that `[[extra_field]]` maps exist and take their properties.

use std::collections::BTreeMap;

use super::Records;
use crate::domain::extra_field::{ExtraField, Kind};
use crate::store::columns::{self, ColumnType};
use crate::sync::DeskError;

impl Records {
    /// What is wrong with mapped columns, by the position of the mapping.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unfit_columns(&self) -> Result<BTreeMap<usize, String>, DeskError> {
        let environment = self.base.settings.environments.first();
        let fields = environment.map_or(&[][..], |(environment, _)| &environment.extra_fields);
        let names: Vec<String> = fields.iter().map(|field| field.column.clone()).collect();
        let mut db = self.db().await?;
        let found = columns::types(&mut db, &names).await?;
        let problems = fields.iter().enumerate();
        Ok(problems
            .filter_map(|(at, field)| Some((at, problem(field, found.get(&field.column))?)))
            .collect())
    }
}

/// What keeps a column from taking its property.
fn problem(field: &ExtraField, found: Option<&ColumnType>) -> Option<String> {
    let (column, property) = (&field.column, field.property);
    let expected = match property.kind {
        Kind::Text => "text or varchar",
        Kind::Date => "date or timestamptz",
        Kind::Boolean => "boolean",
    };
    match found {
        None => Some(format!(
            "system_user has no column `{column}`; add it as {expected}, or remove the mapping"
        )),
        Some(found) if found.is_computed => Some(format!(
            "the database computes the column `{column}`; map `{}` to another one",
            property.name
        )),
        Some(found) if !property.kind.column_types().contains(&found.name.as_str()) => Some(format!(
            "the column `{column}` is of type {}, and `{}` is {}; expected a column of type {expected}",
            found.shown,
            property.name,
            property.kind.as_str()
        )),
        Some(_) => None,
    }
}
