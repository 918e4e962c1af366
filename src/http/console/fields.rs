//! The fields of a form, where one name may stand several times.

use axum::extract::FromRequest;
use axum::extract::Request;

use super::frame::PageProblem;
use crate::domain::text::trimmed;
use crate::http::problem::Problem;

/// The fields of a form, trimmed, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first value of a name; empty without one.
    pub fn one(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// The same, or nothing where it is empty.
    pub fn given(&self, name: &str) -> Option<&str> {
        Some(self.one(name)).filter(|value| !value.is_empty())
    }

    /// Every value of a name.
    pub fn all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        let named = self.0.iter().filter(move |(own, _)| own == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Whether there is a field of this name, empty or not.
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Every name with its value.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a box is ticked.
    pub fn is_ticked(&self, name: &str) -> bool {
        self.given(name).is_some()
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = PageProblem;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageProblem> {
        let body = axum::body::Bytes::from_request(request, state).await;
        let body = body.map_err(|_| Problem::bad_input("form", "too long; send fewer users at once"))?;
        let pairs = url::form_urlencoded::parse(&body);
        let fields = pairs.map(|(name, value)| (name.into_owned(), trimmed(&value).to_owned()));
        let fields: Vec<(String, String)> = fields.collect();
        if let Some((name, _)) = fields.iter().find(|(_, value)| value.contains('\0')) {
            return Err(Problem::bad_input(name, "a text cannot hold NUL characters").into());
        }
        Ok(Self(fields))
    }
}
