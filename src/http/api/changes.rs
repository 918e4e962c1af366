//! The change feed.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Api, page_size};
use crate::domain::change_feed::{FeedFilter, FeedPage};
use crate::domain::text::Text;
use crate::http::input::{Params, Reader};
use crate::http::problem::Problem;

/// The longest wait for a change, in seconds: shorter than the timeouts of most proxies.
const LONGEST_WAIT: u64 = 30;

/// Which changes to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// `next` of the answer before; without it, from the oldest change that is kept.
    #[param(pattern = "^[0-9a-f]{1,16}-[0-9a-f]{1,16}$")]
    after: Option<Text>,
    /// One environment only.
    #[param(pattern = r"^[^\u0000]*$", example = "production")]
    environment: Option<Text>,
    /// One operation only, such as `disable`.
    #[param(pattern = r"^[^\u0000]*$")]
    operation: Option<Text>,
    /// Seconds to wait for a change if there is none yet.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<u64>,
    /// The maximum number of changes.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Reads the change feed: every line of the change log, once, those of a row in order. Keep `next` and pass it as
/// `after`. A cursor that is older than the changes that are kept is answered with 410.
#[utoipa::path(get, operation_id = "read_changes", path = "/changes", tag = "changes", params(Wanted), responses(
    (status = 200, body = FeedPage),
    (status = 410, body = Problem, content_type = "application/problem+json",
     description = "Changes after the cursor are no longer kept, or the database was restored."),
))]
pub async fn read(
    State(api): State<Api>,
    _: Reader,
    Params(wanted): Params<Wanted>,
) -> Result<Json<FeedPage>, Problem> {
    let limit = page_size(wanted.limit)?;
    let wait = wanted.wait.unwrap_or(0);
    if wait > LONGEST_WAIT {
        let detail = format!("expected 0 to {LONGEST_WAIT} seconds");
        return Err(Problem::bad_input("wait", detail));
    }
    let after = wanted.after.as_deref().map(str::parse).transpose();
    let after = after.map_err(|problem| Problem::bad_input("after", problem))?;
    let filter = FeedFilter {
        environment: wanted.environment.map(String::from),
        operation: wanted.operation.map(String::from),
    };
    let records = api.engine().records();
    let page = records.feed(after, &filter, limit, Duration::from_secs(wait)).await?;
    Ok(Json(page))
}
