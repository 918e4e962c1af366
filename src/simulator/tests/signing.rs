//! What the tenant publishes, and the tokens it signs for others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::{Value, json};

use super::super::Settings;
use super::Client;

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

impl Client {
    async fn published_keys(&self) -> Vec<Value> {
        let (root, tenant) = (self.simulator.root(), self.simulator.tenant_id());
        let url = format!("{root}/{tenant}/v2.0/.well-known/openid-configuration");
        let metadata = self.get(&url).await;
        assert_eq!(metadata.status, 200);
        assert_eq!(metadata.body["issuer"], format!("{root}/{tenant}/v2.0"));
        let keys = self.get(metadata.body["jwks_uri"].as_str().unwrap()).await;
        assert_eq!(keys.status, 200);
        keys.body["keys"].as_array().unwrap().clone()
    }

    fn token(&self) -> String {
        self.simulator
            .issue_access_token(&json!({"roles": ["Some.Role"], "azpacr": null}))
            .unwrap()
    }
}

/// Whether one of the keys is named by the token and fits its signature.
fn fits(token: &str, keys: &[Value]) -> bool {
    let (signed, mark) = token.rsplit_once('.').unwrap();
    let kid = part(token, 0)["kid"].clone();
    let Some(key) = keys.iter().find(|key| key["kid"] == kid) else {
        return false;
    };
    let number = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let key = RsaPublicKeyComponents {
        n: number("n"),
        e: number("e"),
    };
    let mark = URL_SAFE_NO_PAD.decode(mark).unwrap();
    key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &mark)
        .is_ok()
}

#[tokio::test]
async fn an_issued_token_is_signed_by_the_published_key() {
    let client = Client::of(Settings::default()).await;
    let (token, keys) = (client.token(), client.published_keys().await);
    assert_eq!(keys.len(), 1);
    assert!(fits(&token, &keys));
    let claims = part(&token, 1);
    assert_eq!(claims["roles"], json!(["Some.Role"]));
    assert_eq!(claims["aud"], client.simulator.client_id().to_string());
    assert!(claims.get("azpacr").is_none() && claims["exp"].is_i64());
}

#[tokio::test]
async fn a_rotation_publishes_both_keys_until_the_old_one_is_withdrawn() {
    let client = Client::of(Settings::default()).await;
    let old = client.token();
    for _ in 0..4 {
        client.simulator.rotate_signing_key();
        let (new, keys) = (client.token(), client.published_keys().await);
        assert!(fits(&new, &keys) && fits(&old, &keys));
    }
    client.simulator.withdraw_old_signing_keys();
    let keys = client.published_keys().await;
    assert_eq!(keys.len(), 1);
    assert!(fits(&client.token(), &keys) && !fits(&old, &keys));
}

#[tokio::test]
async fn another_tenant_publishes_nothing_here() {
    let client = Client::of(Settings::default()).await;
    for path in ["v2.0/.well-known/openid-configuration", "discovery/v2.0/keys"] {
        let url = format!("{}/{}/{path}", client.simulator.root(), uuid::Uuid::new_v4());
        let answer = client.get(&url).await;
        assert_eq!((answer.status, &answer.body["error"]), (400, &json!("invalid_tenant")));
    }
}
