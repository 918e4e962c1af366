//! What the directory wants in each column: rules.md, section 7.

use super::directory::Person;

/// What a column should hold.
pub enum Wanted {
    /// This.
    Value(Option<String>),
    /// The directory's value is unusable. "too long or no address: keep the old value"; "at creation an invalid mail
    /// falls back to the UPN if that is valid, else null".
    KeepElse(Option<String>),
}

/// What the directory wants in a column.
pub fn wanted(person: &Person, column: &str) -> Wanted {
    let given = filled(person.given_name.as_ref());
    let surname = filled(person.surname.as_ref());
    let shown = filled(person.display_name.as_ref());
    Wanted::Value(match column {
        // "never truncated"; stored as sent.
        "domainname" => person.upn.clone(),
        // "blank → "#"; cut"
        "firstname" => Some(cut(given.as_deref().unwrap_or("#"), 256)),
        // "blank → displayName, still blank → "#""
        "lastname" => Some(cut(&surname.or(shown).unwrap_or_else(|| "#".to_owned()), 256)),
        // "givenName and surname joined by a blank, blank ones left out; both blank → displayName; else "#""
        "fullname" => Some(cut(
            &match (given, surname) {
                (Some(given), Some(surname)) => format!("{given} {surname}"),
                (Some(only), None) | (None, Some(only)) => only,
                (None, None) => shown.unwrap_or_else(|| "#".to_owned()),
            },
            200,
        )),
        "internalemailaddress" => return address(person),
        "jobtitle" => limited(person.job_title.as_ref(), 128),
        "address1_telephone1" => limited(person.phone.as_ref(), 64),
        "mobilephone" => limited(person.mobile.as_ref(), 64),
        "address1_line1" => limited(person.street.as_ref(), 1024),
        "address1_city" => limited(person.city.as_ref(), 128),
        "address1_stateorprovince" => limited(person.state.as_ref(), 128),
        "address1_postalcode" => limited(person.postal_code.as_ref(), 40),
        "address1_country" => limited(person.country.as_ref(), 128),
        other => panic!("the directory does not feed {other}"),
    })
}

/// "mail, or UPN when mail is null"
fn address(person: &Person) -> Wanted {
    let upn = filled(person.upn.as_ref()).filter(|upn| is_address(upn));
    match filled(person.mail.as_ref()) {
        Some(mail) if is_address(&mail) => Wanted::Value(Some(mail)),
        Some(_) => Wanted::KeepElse(upn),
        None if upn.is_some() => Wanted::Value(upn),
        None => Wanted::KeepElse(None),
    }
}

/// "A valid e-mail has at most 100 characters, one @ with text on both sides and no white space"
fn is_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split('@').collect();
    parts.len() == 2
        && parts.iter().all(|part| !part.is_empty())
        && !text.chars().any(char::is_whitespace)
        && text.chars().count() <= 100
}

/// "blank (null, empty or only white space) becomes null"
fn filled(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.chars().all(char::is_whitespace)).cloned()
}

/// "lengths are Unicode code points"
fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn limited(text: Option<&String>, most: usize) -> Option<String> {
    filled(text).map(|text| cut(&text, most))
}
