//! One user in one environment: the verdict with every check, the row beside its owners, roles, history, and what can be
//! done. Somebody without a row has a page too.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::frame::{Frame, Page, PageProblem, Viewer, page, segment};
use super::person::{Badge, Person, mode};
use crate::domain::removal::RemovalState;
use crate::domain::run::ChangeLine;
use crate::domain::system_user::SystemUser;
use crate::domain::text::Text;
use crate::http::api::Api;
use crate::http::input::{Params, Path};
use crate::rules::{Outcome, Status, Trigger};
use crate::sync::desk::explain::Explanation;
use crate::sync::records::Profile;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    done: Option<String>,
}

#[derive(Template)]
#[template(path = "console/user.html")]
struct UserPage {
    frame: Frame,
    environment: String,
    /// The user in addresses.
    user: String,
    explanation: Explanation,
    person: Option<Person>,
    custom: Map<String, Value>,
    profile: Profile,
    operates: bool,
    requests: bool,
    /// The roles of the environment.
    roles: Vec<String>,
}

/// A check as the page shows it.
struct Gate<'e> {
    class: &'static str,
    word: &'static str,
    name: &'static str,
    detail: &'e str,
    remedy: Option<&'static str>,
}

impl UserPage {
    /// The name of the business unit.
    fn unit(&self) -> &str {
        self.profile.unit.as_ref().map_or("", |unit| &unit.name)
    }

    /// The page of another row of the environment.
    fn near(&self, row: &SystemUser) -> String {
        format!(
            "/console/environments/{}/users/{}",
            segment(&self.environment),
            row.systemuserid
        )
    }

    /// What a person of another row is called.
    fn called(row: &SystemUser) -> String {
        Person::from(row).name
    }

    /// Whether the sync can have a field back.
    fn is_customers(owner: &str) -> bool {
        owner == "customer"
    }

    /// The columns that only people edit: column, label, value. Places are named as people name them.
    fn editable(&self, row: &SystemUser) -> Vec<(&'static str, &'static str, String)> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let manager = self.profile.manager.as_ref();
        let position = self.profile.position.as_ref();
        vec![
            ("businessunitid", "Business unit, by name", self.unit().to_owned()),
            (
                "parentsystemuserid",
                "Manager, by user principal name",
                manager.map_or_else(String::new, |row| text(&row.domainname)),
            ),
            (
                "positionid",
                "Position, by name",
                position.map_or_else(String::new, |position| position.name.clone()),
            ),
            ("title", "Title", text(&row.title)),
            ("nickname", "Nickname", text(&row.nickname)),
            ("middlename", "Middle name", text(&row.middlename)),
            ("employeeid", "Employee id", text(&row.employeeid)),
            ("preferredlanguage", "Preferred language", text(&row.preferredlanguage)),
            ("company", "Company", text(&row.company)),
        ]
    }

    /// The verdict in a sentence.
    fn headline(&self) -> String {
        let headline = self.explanation.headline();
        if self.explanation.row.is_some() || headline.starts_with(char::is_lowercase) {
            format!("{} {headline}", self.name())
        } else {
            headline
        }
    }

    fn mode(&self) -> &'static str {
        mode(self.explanation.verdict.accessmode)
    }

    /// The address of the page.
    fn base(&self) -> String {
        let (environment, user) = (segment(&self.environment), segment(&self.user));
        format!("/console/environments/{environment}/users/{user}")
    }

    fn name(&self) -> String {
        let directory = self.explanation.directory_user.as_ref();
        let directory = directory.and_then(|user| user.display_name.clone().or(user.user_principal_name.clone()));
        let person = self.person.as_ref().map(|person| person.name.clone());
        person.or(directory).unwrap_or_else(|| self.user.clone())
    }

    fn upn(&self) -> String {
        let directory = self.explanation.directory_user.as_ref();
        let directory = directory.and_then(|user| user.user_principal_name.clone());
        self.person
            .as_ref()
            .map(|person| person.upn.clone())
            .or(directory)
            .unwrap_or_default()
    }

    /// The checks that failed or are unknown.
    fn open(&self) -> Vec<Gate<'_>> {
        self.gates()
            .filter(|gate| gate.class != "enabled" && gate.class != "disabled")
            .collect()
    }

    /// The others.
    fn passed(&self) -> Vec<Gate<'_>> {
        self.gates()
            .filter(|gate| gate.class == "enabled" || gate.class == "disabled")
            .collect()
    }

    fn gates(&self) -> impl Iterator<Item = Gate<'_>> {
        let checks = self.explanation.verdict.checks.iter().zip(&self.explanation.words);
        checks.map(|(check, words)| {
            let (class, word) = match check.status {
                Status::Pass => ("enabled", "passed"),
                Status::Fail => ("failed", "failed"),
                Status::NotApplicable => ("disabled", "does not apply"),
                Status::Unknown => ("doubt", "in doubt"),
            };
            Gate {
                class,
                word,
                name: check.gate.as_str(),
                detail: &words.detail,
                remedy: words.remedy,
            }
        })
    }

    /// What each trigger would do.
    fn triggers(&self) -> Vec<(&'static str, String, &'static str)> {
        let triggers = self.explanation.triggers.iter().map(|(trigger, verdict)| {
            let outcome = verdict.outcome.as_str();
            // Without a row, refresh reports what an access would do, and changes nothing.
            let is_only_reported = verdict.outcome == Outcome::Create && !trigger.may_create();
            let outcome = if is_only_reported {
                format!("nothing (access: {outcome})")
            } else {
                outcome.to_owned()
            };
            (
                trigger.as_str(),
                outcome,
                verdict.code.map_or("", |code| code.sentence()),
            )
        });
        triggers.collect()
    }

    /// The row's columns from the directory: name, value, owner.
    fn fields(&self) -> Vec<(String, String, &'static str)> {
        let Some(row) = &self.explanation.row else {
            return Vec::new();
        };
        let values = serde_json::to_value(row).unwrap_or_default();
        let shown = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let owned = self.explanation.ownership().into_iter();
        owned
            .map(|one| (one.field.clone(), shown(&values[&one.field]), one.owner))
            .collect()
    }

    fn held(&self) -> Option<&crate::domain::removal::Held> {
        self.explanation
            .held
            .as_ref()
            .filter(|held| held.state == RemovalState::Held)
    }

    /// A line of the history in words.
    fn sentence(line: &ChangeLine) -> String {
        let done = match line.operation.as_str() {
            "create" => "Created",
            "update" => "Updated from the directory",
            "enable" => "Enabled",
            "disable" => "Disabled",
            "edit" => "Edited",
            "delete" => "Deleted",
            "grant" => "Role granted",
            "revoke" => "Role revoked",
            other => other,
        };
        let code = line.reason.as_deref().and_then(crate::domain::reason::Code::parse);
        let by = if line.actor == crate::domain::system_user::SYNC_ACTOR {
            "the sync"
        } else {
            &line.actor
        };
        match code {
            Some(code) => format!("{done} by {by}: {}", code.sentence()),
            None => format!("{done} by {by}."),
        }
    }
}

pub(super) async fn show(
    State(api): State<Api>,
    viewer: Viewer,
    Path((environment, user)): Path<(Text, Text)>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    let engine = api.engine();
    let named = match engine.records().user(&environment, &user).await {
        // A row that is bound to a person is explained by the person.
        Ok(row) => row.azureactivedirectoryobjectid.map(|id| id.to_string()),
        Err(_) => None,
    };
    let explanation = engine
        .desk()
        .explain(&environment, named.as_deref().unwrap_or(&user), Trigger::Diagnostics)
        .await?;
    let (custom, profile) = match &explanation.row {
        Some(row) => (
            engine.records().custom(row).await?,
            engine.records().profile(row).await?,
        ),
        None => (Map::new(), Profile::default()),
    };
    let mut frame = viewer.frame(&api, Page::Users, "").await?;
    frame.environment = Some(environment.to_string());
    frame.note_effect(wanted.done.as_deref());
    let mut shown = UserPage {
        frame,
        environment: environment.into(),
        user: user.into(),
        person: explanation.row.as_ref().map(Person::from),
        roles: explanation.environment.roles.clone(),
        explanation,
        custom,
        profile,
        operates: viewer.operates(),
        requests: viewer.requests(),
    };
    shown.frame.title = shown.name();
    page(&shown)
}
