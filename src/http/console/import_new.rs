//! A new import: whom and how, first as a preview of what it would do, then as a job.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::fields::Fields;
use super::frame::{Frame, Page, PageProblem, Viewer, number, page};
use crate::domain::import::{Candidate, ImportRequest};
use crate::domain::text::{Text, object_id};
use crate::http::api::Api;
use crate::http::input::{Params, Path};
use crate::http::problem::Problem;
use crate::sync::desk::{Answer, Effect, MOST_AT_ONCE, Refusal};

/// How many people to select from stand on a page.
const CANDIDATES: i64 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    text: String,
    after: Option<Uuid>,
}

#[derive(Template)]
#[template(path = "console/import_new.html")]
struct ImportNew {
    frame: Frame,
    environment: String,
    environments: Vec<String>,
    /// What was filled in.
    fields: Fields,
    /// Whom to select from, and what they were searched by.
    candidates: Vec<Candidate>,
    next: Option<Uuid>,
    text: String,
    roles: Vec<String>,
    preview: Option<Preview>,
}

/// What the import would do.
struct Preview {
    people: Vec<Previewed>,
    sentence: String,
}

/// What the import would do for one user.
struct Previewed {
    given: String,
    name: String,
    row: Option<Uuid>,
    class: &'static str,
    word: &'static str,
    why: String,
    remedy: &'static str,
}

impl Previewed {
    fn new(given: String, result: Result<Answer, Refusal>) -> Self {
        let person = Self {
            given,
            name: String::new(),
            row: None,
            class: "failed",
            word: "refused",
            why: String::new(),
            remedy: "",
        };
        let answer = match result {
            Err(refusal) => {
                return Self {
                    why: refusal.detail,
                    remedy: refusal.code.remedy(),
                    ..person
                };
            }
            Ok(answer) => answer,
        };
        let name = answer
            .user
            .as_ref()
            .and_then(|user| user.fullname.clone())
            .unwrap_or_default();
        if answer.outcome == Effect::Created {
            return Self {
                name,
                class: "enabled",
                word: "gets a row",
                ..person
            };
        }
        Self {
            name,
            row: answer.user.map(|user| user.systemuserid),
            class: "disabled",
            word: "has a row",
            why: "An import changes no row.".to_owned(),
            ..person
        }
    }
}

impl Preview {
    fn new(users: Vec<String>, results: Vec<Result<Answer, Refusal>>, more: usize) -> Self {
        let people: Vec<Previewed> = users
            .into_iter()
            .zip(results)
            .map(|(user, result)| Previewed::new(user, result))
            .collect();
        let count = |word: &str| {
            let count = people.iter().filter(|person| person.word == word).count();
            number(&i64::try_from(count).unwrap_or(i64::MAX))
        };
        let more = match more {
            0 => String::new(),
            more => format!(
                " {} more are not shown.",
                number(&i64::try_from(more).unwrap_or(i64::MAX))
            ),
        };
        let sentence = format!(
            "Nothing is written yet. {} users: {} to be created, {} present, {} refused.{more}",
            number(&i64::try_from(people.len()).unwrap_or(i64::MAX)),
            count("gets a row"),
            count("has a row"),
            count("refused")
        );
        Self { people, sentence }
    }
}

impl ImportNew {
    fn is_ticked(&self, name: &str) -> bool {
        self.fields.is_ticked(name)
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.fields.all(name).any(|given| given == value)
    }

    /// Whether a person is among those to select from: the boxes say whether they are selected.
    fn lists(&self, user: &str) -> bool {
        self.candidates.iter().any(|one| one.id.to_string() == user)
    }

    fn everybody(&self) -> bool {
        self.fields.is_ticked("all")
    }
}

/// The users of a pasted list or of a file: of each line what looks like one, or else its first cell.
fn listed(text: &str) -> Vec<String> {
    let is_user = |cell: &&str| cell.contains('@') || object_id(cell).is_ok();
    let of_line = |line: &str| -> Vec<String> {
        let cells = line.split([',', ';', '\t']).map(|cell| cell.trim().trim_matches('"'));
        let cells: Vec<&str> = cells.filter(|cell| !cell.is_empty()).collect();
        let users: Vec<String> = cells.iter().copied().filter(is_user).map(str::to_owned).collect();
        match (users.is_empty(), cells.first()) {
            (true, Some(first)) => vec![(*first).to_owned()],
            _ => users,
        }
    };
    text.lines().flat_map(of_line).collect()
}

fn request(environment: &str, fields: &Fields) -> ImportRequest {
    let text = |name: &str| fields.given(name).map(str::to_owned);
    let all = fields.is_ticked("all");
    let chosen = fields.all("user").map(str::to_owned);
    ImportRequest {
        environment: environment.to_owned(),
        company: fields.one("company").to_owned(),
        default_business_unit: text("default_business_unit"),
        businessunitid: None,
        users: if all {
            Vec::new()
        } else {
            listed(fields.one("users")).into_iter().chain(chosen).collect()
        },
        all,
        background: true,
        batch_group: text("batch_group"),
        private: fields.is_ticked("private"),
        critical: fields.is_ticked("critical"),
        monitoring_category: text("monitoring_category"),
        description: text("description"),
        schedule: text("schedule"),
        max_retries: None,
        roles: fields.all("role").map(str::to_owned).collect(),
    }
}

/// Asks whom to import, and how.
pub(super) async fn show(
    State(api): State<Api>,
    viewer: Viewer,
    Path(environment): Path<Text>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    page(&filled(&api, &viewer, &environment, Fields::default(), wanted).await?)
}

/// Says what the import would do, in transactions that are taken back.
pub(super) async fn preview(
    State(api): State<Api>,
    viewer: Viewer,
    Path(environment): Path<Text>,
    fields: Fields,
) -> Result<Response, PageProblem> {
    let engine = api.engine();
    let mut users = request(&environment, &fields).users;
    if fields.is_ticked("all") {
        let most = i64::try_from(MOST_AT_ONCE).unwrap_or(i64::MAX);
        let candidates = engine.imports().candidates(&environment, None, None, most).await?;
        users = candidates.iter().map(|candidate| candidate.id.to_string()).collect();
    }
    let more = users.len().saturating_sub(MOST_AT_ONCE);
    users.truncate(MOST_AT_ONCE);
    let mut shown = filled(&api, &viewer, &environment, fields, Wanted::default()).await?;
    if users.is_empty() {
        shown.frame.refuse("Name or select at least one user.");
        return page(&shown);
    }
    let results = engine
        .desk()
        .preview_import(&environment, &users, &viewer.caller.name)
        .await?;
    shown.preview = Some(Preview::new(users, results, more));
    page(&shown)
}

/// Submits the job. What is wrong with it is said above the form, filled as it was.
pub(super) async fn submit(
    State(api): State<Api>,
    viewer: Viewer,
    Path(environment): Path<Text>,
    fields: Fields,
) -> Result<Response, PageProblem> {
    let request = request(&environment, &fields);
    match api
        .engine()
        .imports()
        .submit_import(&request, &viewer.caller.name)
        .await
    {
        Ok(job) => Ok(Redirect::to(&format!("/console/imports/{}", job.id)).into_response()),
        Err(error) => {
            let problem = Problem::from(error);
            if problem.status != StatusCode::UNPROCESSABLE_ENTITY {
                return Err(PageProblem(problem));
            }
            let mut shown = filled(&api, &viewer, &environment, fields, Wanted::default()).await?;
            shown.frame.refuse(&problem.detail);
            let mut response = page(&shown)?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
    }
}

async fn filled(
    api: &Api,
    viewer: &Viewer,
    environment: &str,
    fields: Fields,
    wanted: Wanted,
) -> Result<ImportNew, PageProblem> {
    let engine = api.engine();
    let text = Some(wanted.text.as_str()).filter(|text| !text.is_empty());
    let imports = engine.imports();
    let mut candidates = imports
        .candidates(environment, text, wanted.after, CANDIDATES + 1)
        .await?;
    let has_more = candidates.len() > usize::try_from(CANDIDATES).unwrap_or_default();
    if has_more {
        candidates.pop();
    }
    let title = format!("Import users into {environment}");
    Ok(ImportNew {
        frame: viewer.frame(api, Page::Imports, title).await?,
        roles: engine.desk().environment(environment)?.roles.clone(),
        environment: environment.to_owned(),
        environments: engine.settings.names(),
        fields,
        next: candidates.last().filter(|_| has_more).map(|last| last.id),
        candidates,
        text: wanted.text,
        preview: None,
    })
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn a_list_is_read_as_people_paste_it() {
        let id = "3f2b6f0a-5a0e-4f3e-9d0c-0a5c1f8f6a01";
        for (text, expected) in [
            (
                "ada@x.example\r\nbob@x.example\n\n",
                &["ada@x.example", "bob@x.example"][..],
            ),
            ("ada@x.example; bob@x.example", &["ada@x.example", "bob@x.example"]),
            ("Ada,\"ada@x.example\",London", &["ada@x.example"]),
            ("Ada\t3f2b6f0a-5a0e-4f3e-9d0c-0a5c1f8f6a01", &[id]),
            ("ada", &["ada"]),
            (" , ;", &[]),
        ] {
            assert_eq!(listed(text), expected, "{text}");
        }
    }
}
