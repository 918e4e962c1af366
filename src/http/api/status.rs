//! The overview of the installation.

use axum::Json;
use axum::extract::State;

use super::Api;
use crate::domain::status::Status;
use crate::http::input::Reader;
use crate::http::problem::Problem;

/// Shows who leads, the latest runs, and the state of each environment.
#[utoipa::path(get, operation_id = "show_status", path = "/status", tag = "status", responses(
    (status = 200, body = Status),
))]
pub async fn show(State(api): State<Api>, _: Reader) -> Result<Json<Status>, Problem> {
    let interval = api.configured.borrow().interval;
    Ok(Json(api.engine().records().status(interval).await?))
}
