//! Plain listings: where a page begins, the link to the next, and counts.

use std::fmt::Write as _;

use ring::hmac;
use serde_json::Value;

use super::Shared;
use super::marker::Marker;
use super::round::separate;
use super::tenant::state::State;
use super::wire::{Answer, Ask, Outcome};

/// The place the request's `$skiptoken` names in this listing, and its salt; the beginning without one.
pub(super) fn place(shared: &Shared, ask: &Ask, state: &State) -> Result<(u64, u32), Answer> {
    let Some(token) = ask.option("$skiptoken") else {
        return Ok((0, 0));
    };
    let marker = open(ask, &shared.key, token)?;
    marker.alive(
        ask,
        state,
        shared.token_lifetime(),
        &format!("{}{}", shared.root, ask.path),
    )?;
    Ok((marker.log, marker.salt))
}

fn open(ask: &Ask, key: &hmac::Key, token: &str) -> Result<Marker, Answer> {
    Marker::open(ask, key, &ask.path, token)
}

/// A page of a listing. The next link repeats the request's own options, as Graph does.
pub(super) fn answer(
    shared: &Shared,
    ask: &Ask,
    state: &State,
    context: &str,
    value: &[u8],
    next: Option<u64>,
) -> Answer {
    let root = &shared.root;
    let mut body = format!("{{\"@odata.context\":\"{root}/v1.0/$metadata#{context}\",").into_bytes();
    if let Some(next) = next {
        let salt = place(shared, ask, state).map_or(0, |(_, salt)| salt) + u32::from(ask.empty_page);
        let marker = Marker {
            of: ask.path.clone(),
            generation: state.generation,
            page_generation: state.page_generation,
            log: next,
            salt,
            ..Marker::default()
        };
        let token = marker.seal(&shared.key);
        let path = ask.target.split('?').next().unwrap_or_default();
        let others = ask
            .query
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("$skiptoken"));
        let mut link = format!("{root}{path}?");
        for (name, option) in others {
            let option: String = url::form_urlencoded::byte_serialize(option.as_bytes()).collect();
            let _ = write!(link, "{name}={option}&");
        }
        let _ = write!(link, "$skiptoken={token}");
        body.extend_from_slice(format!("\"@odata.nextLink\":\"{link}\",").as_bytes());
    }
    body.extend_from_slice(b"\"value\":[");
    body.extend_from_slice(value);
    body.extend_from_slice(b"]}");
    Answer::bytes(body)
}

/// A page of a listing that is short enough to be made whole.
pub(super) fn values(
    shared: &Shared,
    ask: &Ask,
    state: &State,
    context: &str,
    all: &[Value],
    default_top: usize,
) -> Outcome {
    let top = if ask.empty_page {
        0
    } else {
        shared.top(ask, default_top)?
    };
    let (position, _) = place(shared, ask, state)?;
    let from = usize::try_from(position).unwrap_or(usize::MAX).min(all.len());
    let mut value = Vec::new();
    for item in all.iter().skip(from).take(top) {
        separate(&mut value);
        value.extend_from_slice(item.to_string().as_bytes());
    }
    let next = (from + top < all.len()).then_some((from + top) as u64);
    Ok(answer(shared, ask, state, context, &value, next))
}

/// Whether the request accepts an answer from the index.
pub(super) fn eventual(ask: &Ask) -> bool {
    ask.header("consistencylevel")
        .is_some_and(|level| level.eq_ignore_ascii_case("eventual"))
}

/// The answer to `$count` as a path segment: a bare number.
pub(super) fn count(ask: &Ask, count: usize) -> Outcome {
    ask.only_options(&[])?;
    if !eventual(ask) {
        return Err(ask.unsupported_query("The request needs the header 'ConsistencyLevel: eventual'."));
    }
    Ok(Answer {
        content_type: "text/plain",
        ..Answer::bytes(count.to_string())
    })
}
