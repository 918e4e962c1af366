//! The keys a tenant signs its access tokens with, as it publishes them.

/// What the tenant publishes so that others can check its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeys {
    /// What `iss` may say in a token of this tenant; versions 1 and 2 of tokens name different issuers.
    pub issuers: Vec<String>,
    /// The keys in use, never none. No two have the same id.
    pub keys: Vec<SigningKey>,
}

/// One RSA public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// What tokens name it by.
    pub kid: String,
    /// The modulus, big-endian, without leading zeros.
    pub modulus: Vec<u8>,
    /// The public exponent, big-endian, without leading zeros.
    pub exponent: Vec<u8>,
}
