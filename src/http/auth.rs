//! STUB
use axum::http::HeaderMap;
/// s
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// s
    Read,
    /// s
    Access,
    /// s
    Operate,
}
/// s
#[derive(Clone, Debug)]
pub struct Caller {
    /// s
    pub name: String,
    /// s
    pub roles: Vec<Role>,
}
/// s
#[derive(Debug)]
pub struct AuthError;
impl Caller {
    /// s
    pub fn require(&self, _role: Role) -> Result<(), AuthError> {
        Ok(())
    }
}
/// s
#[derive(Debug, Default)]
pub struct Auth;
impl Auth {
    /// s
    pub async fn authenticate(&self, _headers: &HeaderMap) -> Result<Caller, AuthError> {
        Ok(Caller {
            name: "stub".to_owned(),
            roles: vec![],
        })
    }
}
impl From<AuthError> for super::problem::Problem {
    fn from(_: AuthError) -> Self {
        Self::not_found("x")
    }
}
