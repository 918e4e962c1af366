//! The remedies for known AADSTS numbers (graph.md, section 1.3). For diagnosis only: these numbers decide nothing
//! except whether a failure is retried.

/// One sentence for an operator.
pub(super) fn for_aadsts(number: u32) -> Option<&'static str> {
    Some(match number {
        7_000_215 => {
            "The client secret is wrong: most often the secret's ID was pasted instead of its value, which is shown \
             only once; create a new secret and copy its value."
        }
        7_000_222 => "The client secret has expired: create a new one under Certificates & secrets and install it.",
        700_016 => "The application is not in this tenant: check tenant.id and tenant.client_id, and admin consent.",
        700_011 => "The directory does not know the application: check tenant.client_id.",
        7_000_112 => "The application is disabled: enable its enterprise application in Entra.",
        90_002 => "The tenant was not found: check tenant.id, and that `cloud` is the tenant's cloud.",
        90_038 | 900_382 | 900_432 => "The tenant lives in another national cloud: change `cloud`.",
        500_011 => "Graph's service principal is missing in the tenant: check `cloud` and the Graph root.",
        70_011 | 700_022 | 28_002 => "The scope is not valid for this cloud: check the Graph root.",
        700_025 => "The application is registered as a public client: allow no public client flows.",
        700_027 => {
            "The signature of the certificate assertion was refused: check that the key belongs to the certificate \
             and that exactly this certificate is registered with the application."
        }
        50_012 => "The certificate was not accepted: register it with the application, or renew it.",
        500_133 | 50_013 | 700_024 => "The assertion is outside its time range: set this machine's clock.",
        7_000_218 | 900_144 => "A parameter is missing in the token request: check that the credential is not empty.",
        530_032 => "A security policy of the tenant blocks the sign-in: ask the tenant's administrators.",
        65_001 | 650_056 => "Nobody has consented to the application's permissions: give admin consent.",
        9_001_023 => "The tenant id must name one tenant.",
        70_021 => {
            "No federated identity record matches the token: check its issuer and subject; a new record takes some \
             minutes to work."
        }
        50_011 | 500_112 => {
            "The redirect URI is not the one that the application registers: register {console.public_url}/console/callback \
             under Authentication, of the kind Web."
        }
        54_005 | 70_008 | 501_481 => "The code of the sign-in is used, too old or another one's: sign in again.",
        90_055 => "The token service is throttling: wait.",
        _ => return None,
    })
}

/// Temporary faults; 70021 occurs while a federation is being set up.
pub(super) fn is_transient(number: u32) -> bool {
    matches!(number, 90_006 | 90_012 | 90_024 | 90_033 | 90_090 | 90_055 | 70_021)
}
