//! The rows of an environment: filters, pages, and the whole filter as a file.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::frame::{Frame, Page, PageProblem, Viewer, page};
use super::person::Person;
use crate::domain::reason::Code;
use crate::domain::system_user::{Filter, SystemUser};
use crate::domain::text::Text;
use crate::http::api::Api;
use crate::http::input::{Params, Path};
use crate::http::problem::Problem;

/// The rows of a page.
const ROWS: i64 = 50;
/// The rows that are read at once for a file.
const ROWS_OF_FILE: i64 = 1_000;

const STATES: [(&str, &str); 3] = [("", "any state"), ("enabled", "enabled"), ("disabled", "disabled")];
const ROLES: [(&str, &str); 2] = [("", "any role or none"), ("none", "no role: sign in, but use no data")];
const TYPES: [(&str, &str); 6] = [
    ("", "any type"),
    ("regular", "regular"),
    ("non_interactive", "non-interactive"),
    ("application", "application"),
    ("stub", "stub"),
    ("reserved", "reserved"),
];

/// The filter in the address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    text: String,
    state: String,
    #[serde(rename = "type")]
    kind: String,
    reason: String,
    /// `none`: enabled users without any security role.
    role: String,
    after: Option<Uuid>,
    done: Option<String>,
}

impl Wanted {
    fn filter(&self, limit: i64) -> Result<Filter, PageProblem> {
        let chosen = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let known = |name: &str, text: &str, all: &[(&str, &str)]| {
            let is_known = all.iter().any(|(word, _)| *word == text);
            is_known
                .then_some(())
                .ok_or_else(|| Problem::bad_input(name, "expected one of the list"))
        };
        known("state", &self.state, &STATES)?;
        known("type", &self.kind, &TYPES)?;
        known("role", &self.role, &ROLES)?;
        if !self.reason.is_empty() && Code::parse(&self.reason).is_none() {
            return Err(Problem::bad_input("reason", "no reason code").into());
        }
        Ok(Filter {
            disabled: chosen(&self.state).map(|state| state == "disabled"),
            accessmode: None,
            reason: chosen(&self.reason),
            kind: chosen(&self.kind),
            without_role: self.role == "none",
            text: chosen(&self.text),
            after: self.after,
            limit,
        })
    }

    /// The same filter in an address, after a row.
    fn query(&self, after: Option<Uuid>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let after = after.map(|after| after.to_string()).unwrap_or_default();
        let pairs = [
            ("text", &self.text),
            ("state", &self.state),
            ("type", &self.kind),
            ("reason", &self.reason),
            ("role", &self.role),
            ("after", &after),
        ];
        query.extend_pairs(pairs.into_iter().filter(|(_, value)| !value.is_empty()));
        query.finish()
    }

    fn is_empty(&self) -> bool {
        self.query(None).is_empty()
    }
}

#[derive(Template)]
#[template(path = "console/users.html")]
struct Users {
    frame: Frame,
    environment: String,
    environments: Vec<String>,
    wanted: Wanted,
    people: Vec<Person>,
    next: Option<Uuid>,
    may_add: bool,
}

impl Users {
    fn reasons() -> impl Iterator<Item = (&'static str, &'static str)> {
        Code::ALL.iter().map(|code| (code.as_str(), code.sentence()))
    }

    fn is(option: &str, wanted: &str) -> bool {
        option == wanted
    }

    fn state(&self) -> String {
        match (self.people.len(), self.wanted.is_empty(), &self.next) {
            (0, true, _) => "There are no rows yet.".to_owned(),
            (0, false, _) => "Nobody matches the filter.".to_owned(),
            (count, _, None) if self.wanted.after.is_none() => format!("{count} rows."),
            (count, _, _) => format!("{count} rows on this page."),
        }
    }
}

pub(super) async fn show(
    State(api): State<Api>,
    viewer: Viewer,
    Path(environment): Path<Text>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    let engine = api.engine();
    let filter = wanted.filter(ROWS + 1)?;
    let mut rows = engine.records().users(&environment, &filter).await?;
    let has_more = rows.len() > usize::try_from(ROWS).unwrap_or_default();
    if has_more {
        rows.pop();
    }
    let mut frame = viewer
        .frame(&api, Page::Users, format!("Users of {}", &*environment))
        .await?;
    frame.environment = Some(environment.to_string());
    frame.note_effect(wanted.done.as_deref());
    page(&Users {
        frame,
        environment: environment.into(),
        environments: engine.settings.names(),
        people: rows.iter().map(Person::from).collect(),
        next: rows.last().filter(|_| has_more).map(|row| row.systemuserid),
        wanted,
        may_add: viewer.requests(),
    })
}

const COLUMNS: [&str; 10] = [
    "systemuserid",
    "azureactivedirectoryobjectid",
    "domainname",
    "fullname",
    "internalemailaddress",
    "jobtitle",
    "accessmode",
    "isdisabled",
    "disabledreason",
    "islicensed",
];

/// All rows of the filter as a file, read page by page.
pub(super) async fn csv(
    State(api): State<Api>,
    _: Viewer,
    Path(environment): Path<Text>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    let records = api.engine().records();
    let filter = wanted.filter(ROWS_OF_FILE)?;
    let first = records.users(&environment, &filter).await?;
    let begin = (records, filter, environment.to_string(), Some(first), true);
    let parts = futures_util::stream::unfold(begin, async |(records, mut filter, environment, rows, is_first)| {
        let rows = match rows {
            Some(rows) => rows,
            None => match records.users(&environment, &filter).await {
                Ok(rows) => rows,
                Err(error) => {
                    let part = Err(std::io::Error::other(Problem::from(error).detail.to_string()));
                    filter.limit = 0;
                    return Some((part, (records, filter, environment, Some(Vec::new()), false)));
                }
            },
        };
        if rows.is_empty() && !is_first {
            return None;
        }
        filter.after = rows.last().map(|row| row.systemuserid).or(Some(Uuid::max()));
        let mut text = if is_first {
            COLUMNS.join(",") + "\r\n"
        } else {
            String::new()
        };
        text.extend(rows.iter().map(line));
        Some((Ok(text), (records, filter, environment, None, false)))
    });
    let mut response = axum::body::Body::from_stream(parts).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/csv; charset=utf-8"),
    );
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"users.csv\""),
    );
    Ok(response)
}

fn line(row: &SystemUser) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let values = [
        row.systemuserid.to_string(),
        row.azureactivedirectoryobjectid
            .map(|id| id.to_string())
            .unwrap_or_default(),
        text(&row.domainname),
        text(&row.fullname),
        text(&row.internalemailaddress),
        text(&row.jobtitle),
        row.accessmode.to_string(),
        row.isdisabled.to_string(),
        text(&row.disabledreason),
        row.islicensed.to_string(),
    ];
    values.map(|value| cell(&value)).join(",") + "\r\n"
}

/// A value in a file that a spreadsheet opens: never a formula.
fn cell(value: &str) -> String {
    let is_formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let value = if is_formula {
        format!("'{value}")
    } else {
        value.to_owned()
    };
    if value.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn a_value_is_never_a_formula_and_stays_one_cell() {
        for (value, expected) in [
            ("Ada", "Ada"),
            ("=cmd()", "'=cmd()"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("\tx", "'\tx"),
            ("\rx", "\"'\rx\""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
        ] {
            assert_eq!(cell(value), expected);
        }
    }
}
