//! Edits of columns, which may change their owner (rules.md, sections 7 and 9).

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::by_hand::{check_reason, put_on_hold, set_mode};
use super::ownership::{own_by_customer, own_if_mapped};
use super::places::{Place, ProfileText};
use super::{Answer, Ask, Desk, Effect, Refusal, Ruled, bad_input, text_of};
use crate::domain::environment::Environment;
use crate::domain::field::{Field, Policy};
use crate::domain::reason::Code;
use crate::domain::system_user::{SystemUser, access_mode};
use crate::plan::{Operation, is_address};
use crate::store::changes::Author;
use crate::store::{StoreError, Transaction, changes, columns, rows};
use crate::sync::DeskError;

/// The longest name of a company, in Unicode code points.
const COMPANY_CHARACTERS: usize = 256;

/// One validated edit.
#[derive(Clone, Debug)]
enum Edit {
    Text(Field, Option<String>),
    Mode(i16),
    Company(Option<String>),
    Profile(ProfileText, Option<String>),
    /// A place as it was named, before it is looked up.
    Place(Place, Option<String>),
    /// A place that was looked up.
    Placed(Place, Option<Uuid>),
}

impl Desk {
    /// Changes columns of a row: column → value. Under `until_edited`, texts from the directory become the customer's.
    /// Under `always`, the next sync restores the directory's value. Columns that customers added are accepted as they
    /// are.
    ///
    /// # Errors
    /// [`DeskError::BadInput`] naming the column, [`DeskError::Refused`], or when the database fails.
    pub async fn edit(&self, ask: Ask<'_>, values: &Map<String, Value>) -> Result<Answer, DeskError> {
        self.edit_and_hold(ask, values, None).await
    }

    /// As [`Self::edit`], and puts the row on hold if a reason is given. The request is atomic.
    ///
    /// # Errors
    /// As [`Self::edit`].
    pub async fn edit_and_hold(
        &self,
        ask: Ask<'_>,
        values: &Map<String, Value>,
        hold: Option<&str>,
    ) -> Result<Answer, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        if let Some(reason) = hold {
            check_reason("holdreason", reason)?;
        }
        let mut edits = Vec::new();
        let mut custom = Vec::new();
        for (column, value) in values {
            match edit_of(column, value)? {
                Some(edit) => edits.push(edit),
                None => custom.push((column.clone(), value.clone())),
            }
        }
        self.check_custom(&custom).await?;
        self.base
            .retry(|| self.try_edit(environment, ask, &edits, hold, &custom))
            .await
    }

    /// One attempt at an edit, all or nothing.
    async fn try_edit(
        &self,
        environment: &Environment,
        ask: Ask<'_>,
        edits: &[Edit],
        hold: Option<&str>,
        custom: &[(String, Value)],
    ) -> Result<Answer, DeskError> {
        let mut tx = self.base.begin(None).await?;
        let edits = self.look_up_places(&mut tx, environment, edits).await?;
        let change = |row: &mut SystemUser| {
            edits.iter().try_for_each(|edit| make(environment, edit, row))?;
            for (column, _) in custom {
                own_if_mapped(environment, row, column);
            }
            hold.map_or(Ok(()), |reason| put_on_hold(row, ask.actor, reason))
        };
        let mut answer = self
            .change_by_hand(&mut tx, environment, ask, Operation::Edit, &change)
            .await?;
        if let Some(row) = answer.user.as_ref().map(|row| row.systemuserid)
            && !custom.is_empty()
        {
            let is_changed = self.edit_custom(&mut tx, environment, ask, row, custom).await?;
            if is_changed && answer.outcome == Effect::Unchanged {
                answer.outcome = Effect::Updated;
            }
            answer.user = rows::find_by_id(&mut tx, &environment.name, row).await?;
        }
        tx.commit().await?;
        Ok(answer)
    }

    /// The edits with the ids of the places that they name.
    async fn look_up_places(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        edits: &[Edit],
    ) -> Result<Vec<Edit>, DeskError> {
        let mut found = Vec::with_capacity(edits.len());
        for edit in edits {
            found.push(match edit {
                Edit::Place(place, given) => {
                    Edit::Placed(*place, self.place(tx, environment, *place, given.as_deref()).await?)
                }
                edit => edit.clone(),
            });
        }
        Ok(found)
    }

    /// Checks that custom columns exist and are not columns of this program.
    async fn check_custom(&self, custom: &[(String, Value)]) -> Result<(), DeskError> {
        if custom.is_empty() {
            return Ok(());
        }
        let mut db = self.base.store.read().await?;
        let known = columns::custom(&mut db).await?;
        for (column, _) in custom {
            if SystemUser::COLUMNS.contains(&column.as_str()) {
                return Err(Refusal::saying(
                    Code::FieldNotEditable,
                    format!("`{column}` cannot be edited: it follows the directory or has a command of its own"),
                )
                .into());
            }
            if !known.contains(column) {
                return Err(bad_input(column, "there is no such column"));
            }
        }
        Ok(())
    }

    /// Writes customer-added columns of a locked row. Returns whether any changed.
    async fn edit_custom(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        ask: Ask<'_>,
        row: Uuid,
        custom: &[(String, Value)],
    ) -> Result<bool, DeskError> {
        let mut fields = Map::new();
        for (column, value) in custom {
            let old = columns::read(&mut *tx, &environment.name, row, column).await?;
            let written = columns::write(&mut *tx, &environment.name, row, column, value).await;
            written.map_err(|error| not_taken(column, error))?;
            let new = columns::read(&mut *tx, &environment.name, row, column).await?;
            if old != new {
                fields.insert(column.clone(), json!([old, new]));
            }
        }
        let edited: Vec<&str> = custom.iter().map(|(column, _)| column.as_str()).collect();
        let checked = columns::check_deferred(tx).await;
        checked.map_err(|error| not_taken(&edited.join(", "), error))?;
        let author = Author {
            actor: ask.actor,
            run_id: None,
            by_rule: false,
            at: self.base.clock.now(),
        };
        let is_changed = !fields.is_empty();
        if is_changed {
            columns::touch(&mut *tx, &environment.name, row, author).await?;
            changes::record_edit(tx, &environment.name, row, fields, author).await?;
        }
        Ok(is_changed)
    }
}

/// The edit of a column to a new value; `None` if the column cannot be edited by name.
fn edit_of(column: &str, value: &Value) -> Result<Option<Edit>, DeskError> {
    match column {
        "accessmode" => match value.as_i64() {
            Some(mode @ (0 | 1 | 2 | 4)) => Ok(Some(Edit::Mode(i16::try_from(mode).unwrap_or(0)))),
            Some(mode @ (3 | 5)) => Err(Refusal::saying(
                Code::FieldNotEditable,
                format!("access mode {mode} belongs to a placeholder and cannot be given to a user"),
            )
            .into()),
            _ => Err(bad_input(
                column,
                "expected 0 (Read-Write), 1 (Administrative), 2 (Read) or 4 (Non-interactive)",
            )),
        },
        "company" => Ok(Some(Edit::Company(company_of(value)?))),
        _ => edit_of_text(column, value),
    }
}

/// The edit of a column that takes a text.
fn edit_of_text(column: &str, value: &Value) -> Result<Option<Edit>, DeskError> {
    if let Some(place) = Place::parse(column) {
        return Ok(Some(Edit::Place(place, text_of(column, value)?)));
    }
    if let Some(field) = ProfileText::parse(column) {
        let text = text_of(column, value)?;
        let length = text.as_ref().map_or(0, |text| text.chars().count());
        if length > field.max_characters() {
            let problem = format!("longer than {} characters", field.max_characters());
            return Err(bad_input(column, problem));
        }
        return Ok(Some(Edit::Profile(field, text)));
    }
    match column.parse::<Field>() {
        Ok(field) if field.is_identity() => Err(Refusal::saying(
            Code::FieldNotEditable,
            format!("`{column}` identifies the user and follows the directory"),
        )
        .into()),
        Ok(field) => Ok(Some(Edit::Text(field, checked(field, text_of(column, value)?)?))),
        Err(_) => Ok(None),
    }
}

pub(in crate::sync) fn company_of(value: &Value) -> Result<Option<String>, DeskError> {
    let company = text_of("company", value)?;
    if company
        .as_ref()
        .is_some_and(|company| company.chars().count() > COMPANY_CHARACTERS)
    {
        return Err(bad_input(
            "company",
            format!("longer than {COMPANY_CHARACTERS} characters"),
        ));
    }
    Ok(company)
}

fn checked(field: Field, text: Option<String>) -> Result<Option<String>, DeskError> {
    let Some(given) = &text else { return Ok(None) };
    if given.chars().count() > field.max_characters() {
        return Err(bad_input(
            field.column(),
            format!("longer than {} characters", field.max_characters()),
        ));
    }
    if field == Field::InternalEmailAddress && !is_address(given) {
        return Err(bad_input(
            field.column(),
            "no e-mail address: expected one @ with text on both sides",
        ));
    }
    Ok(text)
}

fn make(environment: &Environment, edit: &Edit, row: &mut SystemUser) -> Ruled<()> {
    match edit {
        Edit::Text(field, value) => {
            row.set_text(*field, value.clone());
            if environment.policies.of(*field) == Policy::UntilEdited {
                own_by_customer(row, field.column());
            }
        }
        Edit::Mode(_) if row.applicationid.is_some() => return Err(Refusal::new(Code::ApplicationUser)),
        Edit::Mode(_) if row.isstub => return Err(Refusal::new(Code::StubUser)),
        Edit::Mode(mode) => {
            set_mode(row, *mode);
            if *mode != access_mode::ADMINISTRATIVE {
                row.setupuser = false;
            }
        }
        Edit::Company(company) => row.company.clone_from(company),
        Edit::Profile(field, value) => {
            field.set(row, value.clone());
            own_if_mapped(environment, row, field.as_str());
        }
        Edit::Placed(place, id) => place.set(row, *id),
        Edit::Place(..) => {}
    }
    Ok(())
}

/// Reports a value that the database rejects to the caller.
fn not_taken(columns: &str, error: StoreError) -> DeskError {
    match error {
        StoreError::Value(problem) => bad_input(columns, problem),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_9_what_can_be_edited_and_what_not() {
        let refused = |column: &str, value: Value| match edit_of(column, &value) {
            Ok(Some(_)) => "taken".to_owned(),
            Ok(None) => "custom".to_owned(),
            Err(DeskError::Refused(refusal)) => refusal.code.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(refused("jobtitle", json!("Countess")), "taken");
        assert_eq!(refused("company", json!(null)), "taken");
        assert_eq!(refused("accessmode", json!(4)), "taken");
        assert_eq!(refused("nickname", json!("Ada")), "taken");
        assert_eq!(refused("parentsystemuserid", json!("bob@contoso.example")), "taken");
        assert_eq!(refused("accessmode", json!(3)), "field_not_editable");
        assert_eq!(refused("domainname", json!("x@y")), "field_not_editable");
        assert_eq!(
            refused("azureactivedirectoryobjectid", json!("x")),
            "field_not_editable"
        );
        assert_eq!(refused("favourite_colour", json!("blue")), "custom");
        for (column, value) in [
            ("accessmode", json!("4")),
            ("accessmode", json!(6)),
            ("jobtitle", json!(7)),
            ("jobtitle", json!("x".repeat(129))),
            ("jobtitle", json!("a\0b")),
            ("internalemailaddress", json!("no address")),
            ("company", json!("x".repeat(257))),
            ("title", json!("x".repeat(129))),
            ("businessunitid", json!(7)),
        ] {
            assert!(refused(column, value.clone()).contains(column), "{column} {value}");
        }
    }

    #[test]
    fn section_9_blank_is_null() {
        let Ok(Some(Edit::Text(_, value))) = edit_of("jobtitle", &json!("  ")) else {
            panic!("a text");
        };
        assert_eq!(value, None);
    }
}
