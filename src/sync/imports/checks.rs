//! Validates import requests.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use croner::parser::{CronParser, Seconds};

use crate::domain::directory_user::upn_key;
use crate::domain::import::ImportRequest;
use crate::domain::text::{object_id, trimmed};
use crate::domain::unit::NAME_CHARACTERS;
use crate::sync::DeskError;
use crate::sync::desk::bad_input;
use crate::telemetry::metrics::UNDEFINED;

/// The maximum number of users selected for one job: a longer list is an import of everyone.
pub const MOST_USERS: usize = 100_000;

/// Retries when the directory is unavailable: the default, and the maximum a request may set (rules.md, section 9).
/// Three span seven minutes, the length of most outages; see `work` for the pauses.
pub const DEFAULT_RETRIES: u8 = 3;
/// See [`DEFAULT_RETRIES`].
pub const MOST_RETRIES: u8 = 5;

/// The maximum number of monitoring categories: they are labels of metrics, which must stay few.
pub const MOST_CATEGORIES: usize = 20;

/// The maximum length of a company, in Unicode code points.
const COMPANY_CHARACTERS: usize = 256;
const GROUP_CHARACTERS: usize = 128;
const CATEGORY_CHARACTERS: usize = 32;
const DESCRIPTION_CHARACTERS: usize = 1024;

/// A valid request with its defaults, as it is stored, and the time when it is first due.
pub(in crate::sync) fn checked(
    request: &ImportRequest,
    now: DateTime<Utc>,
) -> Result<(ImportRequest, Option<DateTime<Utc>>), DeskError> {
    let users = selection(request)?;
    let schedule = optional("schedule", request.schedule.as_deref(), DESCRIPTION_CHARACTERS)?;
    let next_run_at = match &schedule {
        Some(schedule) => Some(next_run(schedule, now)?),
        None => None,
    };
    let max_retries = request.max_retries.unwrap_or(DEFAULT_RETRIES);
    if max_retries > MOST_RETRIES {
        return Err(bad_input("max_retries", format!("expected 0 to {MOST_RETRIES}")));
    }
    let checked = ImportRequest {
        environment: request.environment.clone(),
        company: company_of(&request.company)?,
        default_business_unit: optional(
            "default_business_unit",
            request.default_business_unit.as_deref(),
            NAME_CHARACTERS,
        )?,
        businessunitid: None,
        users,
        all: request.all,
        background: request.background || schedule.is_some(),
        batch_group: optional("batch_group", request.batch_group.as_deref(), GROUP_CHARACTERS)?,
        private: request.private,
        critical: request.critical,
        monitoring_category: Some(category(request.monitoring_category.as_deref())?),
        description: optional("description", request.description.as_deref(), DESCRIPTION_CHARACTERS)?,
        schedule,
        max_retries: Some(max_retries),
        roles: roles(request),
    };
    Ok((checked, next_run_at))
}

/// A company as rows store it.
pub(in crate::sync) fn company_of(company: &str) -> Result<String, DeskError> {
    optional("company", Some(company), COMPANY_CHARACTERS)?
        .ok_or_else(|| bad_input("company", "an import needs the default company of the users it creates"))
}

/// The selected users, each once, in the order given.
fn selection(request: &ImportRequest) -> Result<Vec<String>, DeskError> {
    if request.all {
        return match request.users.as_slice() {
            [] => Ok(Vec::new()),
            _ => Err(bad_input("users", "users cannot be selected together with `all`")),
        };
    }
    let mut seen = HashSet::new();
    let named = request.users.iter().map(|user| trimmed(user));
    let key = |user: &str| object_id(user).map_or_else(|_| upn_key(user), |id| id.to_string());
    let users: Vec<String> = named
        .filter(|user| !user.is_empty() && seen.insert(key(user)))
        .map(str::to_owned)
        .collect();
    if users.is_empty() {
        return Err(bad_input("users", "name at least one user, or ask for `all`"));
    }
    if users.len() > MOST_USERS {
        return Err(bad_input("users", format!("more than {MOST_USERS} users")));
    }
    if users.iter().any(|user| user.contains('\0')) {
        return Err(bad_input("users", "a text cannot hold NUL characters"));
    }
    Ok(users)
}

/// The roles, each once, in the order given.
fn roles(request: &ImportRequest) -> Vec<String> {
    let mut seen = HashSet::new();
    let named = request.roles.iter().map(|role| trimmed(role));
    named.filter(|role| seen.insert(*role)).map(str::to_owned).collect()
}

fn category(given: Option<&str>) -> Result<String, DeskError> {
    let given = given
        .map(trimmed)
        .filter(|given| !given.is_empty())
        .unwrap_or(UNDEFINED);
    let is_label = given.len() <= CATEGORY_CHARACTERS
        && given
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'));
    if is_label {
        Ok(given.to_owned())
    } else {
        Err(bad_input(
            "monitoring_category",
            format!("expected up to {CATEGORY_CHARACTERS} of the letters a-z, digits, `_` and `-`"),
        ))
    }
}

/// Whether a category is in use, or there is room for another.
pub(in crate::sync) fn may_use_category(known: &[String], category: Option<&str>) -> bool {
    let Some(category) = category.filter(|category| *category != UNDEFINED) else {
        return true;
    };
    known.iter().any(|known| known == category) || known.len() < MOST_CATEGORIES
}

fn optional(field: &str, text: Option<&str>, characters: usize) -> Result<Option<String>, DeskError> {
    let Some(text) = text.map(trimmed).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.contains('\0') {
        return Err(bad_input(field, "a text cannot hold NUL characters"));
    }
    if text.chars().count() > characters {
        return Err(bad_input(field, format!("longer than {characters} characters")));
    }
    Ok(Some(text.to_owned()))
}

/// The next due time of a schedule after a given time, in UTC. Five fields: no import is worth starting every second.
pub(in crate::sync) fn next_run(schedule: &str, after: DateTime<Utc>) -> Result<DateTime<Utc>, DeskError> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
    let refuse = |problem: &str| {
        let expected =
            "five fields of cron: minute, hour, day of the month, month, day of the week, as in `0 2 * * 1-5`";
        bad_input("schedule", format!("`{schedule}` {problem}; expected {expected}"))
    };
    let cron = parser.parse(schedule).map_err(|_| refuse("is no schedule"))?;
    cron.find_next_occurrence(&after, false)
        .map_err(|_| refuse("is never due"))
}
