//! Users in deletedItems.

use axum::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use uuid::Uuid;

use super::round::separate;
use super::tenant::property::{self, Writing, property};
use super::tenant::{Standing, User};
use super::users::{context, selection, writing};
use super::wire::{Answer, Ask, Outcome};
use super::{Shared, listing};

/// `GET /directory/deletedItems/microsoft.graph.user`
pub(super) fn list(shared: &Shared, ask: &Ask) -> Outcome {
    let how = writing(shared, ask)?;
    ask.only_options(&["$select", "$top", "$skiptoken"])?;
    let select = ask.select()?;
    let since = property("deletedDateTime").unwrap_or(0);
    let selected = selection(ask, select.as_deref(), true)?;
    let how = Writing {
        selection: selected & !since,
        ..how
    };
    let top = shared.top(ask, 100)?;
    let state = shared.tenant.read_late(shared.settings().listing_lag);
    let (position, _) = listing::place(shared, ask, &state)?;
    let mut deleted: Vec<_> = state
        .overrides
        .values()
        .filter_map(|record| match record.standing {
            Standing::SoftDeleted(at) => Some((record, at)),
            _ => None,
        })
        .collect();
    deleted.sort_by_key(|(record, at)| (*at, record.user.id));
    let top = if ask.empty_page { 0 } else { top };
    let from = usize::try_from(position).unwrap_or(usize::MAX).min(deleted.len());
    let mut value = Vec::new();
    let dated = select.is_none() || selected & since != 0;
    for (record, at) in deleted.iter().skip(from).take(top) {
        separate(&mut value);
        write_deleted(&mut value, &record.user, how, dated.then_some(*at));
    }
    let next = (from + top < deleted.len()).then_some((from + top) as u64);
    Ok(listing::answer(
        shared,
        ask,
        &state,
        &context("users", select.as_deref()),
        &value,
        next,
    ))
}

/// `GET /directory/deletedItems/{id}`: any kind of object; here only users are ever soft-deleted.
pub(super) fn one(shared: &Shared, ask: &Ask, key: &str) -> Outcome {
    let how = writing(shared, ask)?;
    ask.only_options(&["$select"])?;
    let select = ask.select()?;
    let since = property("deletedDateTime").unwrap_or(0);
    let selected = selection(ask, select.as_deref(), false)?;
    let id = Uuid::parse_str(key).map_err(|_| {
        let message = format!("Invalid object identifier '{key}'.");
        ask.refuse(StatusCode::BAD_REQUEST, "Request_BadRequest", &message)
    })?;
    let state = shared.tenant.read_late(shared.settings().look_up_lag);
    let Some((user, Standing::SoftDeleted(at))) = state.find(id) else {
        return Err(ask.not_found(key));
    };
    let how = Writing {
        selection: selected & !since,
        typed: true,
        ..how
    };
    let set = context("directoryObjects", select.as_deref());
    let mut body = format!("{{\"@odata.context\":\"{}/v1.0/$metadata#{set}/$entity\",", shared.root).into_bytes();
    let mut object = Vec::new();
    let dated = select.is_none() || selected & since != 0;
    write_deleted(&mut object, &user, how, dated.then_some(at));
    body.extend_from_slice(&object[1..]);
    Ok(Answer::bytes(body))
}

/// Writes a soft-deleted user, with the time of it where it is wanted.
fn write_deleted(value: &mut Vec<u8>, user: &User, how: Writing, since: Option<DateTime<Utc>>) {
    property::write_open(value, user, how);
    if let Some(since) = since {
        let since = json!(since.to_rfc3339_opts(SecondsFormat::Secs, true));
        value.extend_from_slice(format!(",\"deletedDateTime\":{since}").as_bytes());
    }
    value.push(b'}');
}
