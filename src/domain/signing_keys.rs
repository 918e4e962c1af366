//! The keys with which a tenant signs its access tokens, as published.

/// The tenant's published data for token validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeys {
    /// The allowed values of `iss` in a token of this tenant; versions 1 and 2 of tokens have different issuers.
    pub issuers: Vec<String>,
    /// The keys in use, at least one. No two have the same id.
    pub keys: Vec<SigningKey>,
}

/// One RSA public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// The key id that tokens refer to.
    pub kid: String,
    /// The modulus, big-endian, without leading zeros.
    pub modulus: Vec<u8>,
    /// The public exponent, big-endian, without leading zeros.
    pub exponent: Vec<u8>,
}
