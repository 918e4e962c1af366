//! The directory's value for each column (rules.md, section 7): blanks, joins, lengths, addresses.

use crate::domain::directory_user::DirectoryUser;
use crate::domain::field::Field;
use crate::domain::reason::Code;

/// Something about a user that an operator should examine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The finding's code.
    pub code: Code,
    /// One sentence without personal data.
    pub detail: String,
}

/// A column's desired value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// Write this.
    Value(Option<String>),
    /// The directory's value is unusable: an existing row keeps its value, a new row starts with this.
    KeepOr(Option<String>),
}

impl Desired {
    /// The value for a new row.
    #[must_use]
    pub fn value(self) -> Option<String> {
        match self {
            Self::Value(value) | Self::KeepOr(value) => value,
        }
    }
}

/// The desired value of a column, with a finding if the directory's value could not be used unchanged.
#[must_use]
pub fn desired(user: &DirectoryUser, field: Field) -> (Desired, Option<Finding>) {
    match field {
        Field::ObjectId => (Desired::Value(Some(user.id.to_string())), None),
        Field::DomainName => (Desired::Value(user.user_principal_name.clone()), None),
        Field::FirstName => plain(cut(present(user.given_name.as_ref()).unwrap_or("#"), field)),
        Field::LastName => {
            let name = present(user.surname.as_ref()).or_else(|| present(user.display_name.as_ref()));
            plain(cut(name.unwrap_or("#"), field))
        }
        Field::FullName => plain(cut(&full_name(user), field)),
        Field::InternalEmailAddress => address(user),
        Field::JobTitle => bounded(user.job_title.as_ref(), field),
        Field::Telephone1 => bounded(user.business_phone.as_ref(), field),
        Field::MobilePhone => bounded(user.mobile_phone.as_ref(), field),
        Field::Line1 => bounded(user.street_address.as_ref(), field),
        Field::City => bounded(user.city.as_ref(), field),
        Field::StateOrProvince => bounded(user.state_or_province.as_ref(), field),
        Field::PostalCode => bounded(user.postal_code.as_ref(), field),
        Field::Country => bounded(user.country.as_ref(), field),
    }
}

fn plain(value: String) -> (Desired, Option<Finding>) {
    (Desired::Value(Some(value)), None)
}

/// Blank means null, empty or white space.
fn present(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.trim().is_empty())
}

fn cut(text: &str, field: Field) -> String {
    text.chars().take(field.max_characters()).collect()
}

fn bounded(text: Option<&String>, field: Field) -> (Desired, Option<Finding>) {
    let Some(text) = present(text) else {
        return (Desired::Value(None), None);
    };
    let value = cut(text, field);
    let finding = (value.len() < text.len()).then(|| Finding {
        code: Code::ValueTruncated,
        detail: format!("{} was cut at {} characters", field.column(), field.max_characters()),
    });
    (Desired::Value(Some(value)), finding)
}

fn full_name(user: &DirectoryUser) -> String {
    let parts = [present(user.given_name.as_ref()), present(user.surname.as_ref())];
    let joined = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    if joined.is_empty() {
        present(user.display_name.as_ref()).unwrap_or("#").to_owned()
    } else {
        joined
    }
}

/// The mail, or the user principal name if there is no mail; never a text that is not an address.
fn address(user: &DirectoryUser) -> (Desired, Option<Finding>) {
    let name = present(user.user_principal_name.as_ref());
    let fallback = || name.filter(|name| is_address(name)).map(str::to_owned);
    let finding = |detail: &str| {
        Some(Finding {
            code: Code::InvalidEmail,
            detail: detail.to_owned(),
        })
    };
    match present(user.mail.as_ref()) {
        Some(mail) if is_address(mail) => (Desired::Value(Some(mail.to_owned())), None),
        Some(_) => (
            Desired::KeepOr(fallback()),
            finding("mail is no address of at most 100 characters"),
        ),
        None => match fallback() {
            Some(name) => (Desired::Value(Some(name)), None),
            None => (
                Desired::KeepOr(None),
                finding("there is no mail, and the user principal name is no address"),
            ),
        },
    }
}

/// Whether a text can be an e-mail address: at most 100 characters, one @ with text on both sides, no white space.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    text.chars().count() <= Field::InternalEmailAddress.max_characters()
        && !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
        && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests;
