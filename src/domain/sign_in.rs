//! A person's sign-in with Entra: what the console hands over to get an identity token.

use url::Url;

use super::secret::Secret;

/// A code that Entra has sent with a browser, and the proof that this is the sign-in that began.
#[derive(Clone, Debug)]
pub struct Redemption {
    /// The code; it is good once.
    pub code: Secret,
    /// The verifier whose challenge began the sign-in (PKCE).
    pub verifier: Secret,
    /// Where Entra sent the browser.
    pub redirect: Url,
}
