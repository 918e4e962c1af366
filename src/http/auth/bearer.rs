//! The only code that reads the `Authorization` header (RFC 6750, section 2.1).

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::error::Fault;

/// Longer tokens are refused unread. Entra's stay below 8 KiB, since most servers accept no more.
pub(super) const LONGEST: usize = 16 << 10;

const SCHEME: &str = "Bearer";

/// The token of a request.
pub(super) fn read(headers: &HeaderMap) -> Result<&str, Fault> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Fault::Missing)?;
    if values.next().is_some() {
        return Err(Fault::Repeated);
    }
    if value.len() > SCHEME.len() + 1 + LONGEST {
        return Err(Fault::TooLong);
    }
    let value = value.to_str().map_err(|_| Fault::Malformed)?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(Fault::OtherScheme);
    }
    let token = token.trim_matches(' ');
    if token.is_empty() || token.contains([' ', '\t']) {
        return Err(Fault::Malformed);
    }
    Ok(token)
}
