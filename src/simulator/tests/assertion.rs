//! Certificates and federation at the token endpoint.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{self, KeyPair as _, RsaKeyPair};
use serde_json::{Value, json};

use super::super::{Certificate, Federation, Settings};
use super::{Client, Got};
use crate::clock::Clock;

/// A key made for this test, which opens nothing.
const KEY: &str = "\
    MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC3FoNWGKCwTzlpM7iXv7BO1EafGbtVqBZUqIoiKHz5MJUpjVcOoBXgXwEA/5\
    N6BPrDBJWNF7dfDgNF1WQGHYyCQW6IdMP72ucQ8JPCPLhGNZulW9vAGGRx8XN+6QNYTY9JhwIpoKyOPRUq/0E3PMBd8PacRlQeRV9G21ZjPBGz\
    PI+snnoW7i9UAKFIZOFZi80C7KIgdOnTUj6tz0xP96O8qRMtt0dYaVUgEWUTrhrXmKlBTOeSedd5Z3djdxNaFpu0Gi9/lMdY7OT3EIiUtfnxm7\
    00wUBGMAwW5Yg0zNkMaGKjb3aBrCUmoVKAQ3eu4FgPdmwW/wtvKs2Xl53l9/0DAgMBAAECggEAS8jyWVd9YC2S9pR1or6yZJbimqXEkPqwL5/J\
    +cSnomA1Rgtez0t9cq/wkvC3o2jfQY0quEnqWdrLiQMA0bU2fY5HCg3HN/+O6MikaODIaCt1f1eMGTIflbiblZsvCsSj/Iv5XbDH7GKlWfRpks\
    s/V0NQWTSVSiht/T76Pb5WF0nVcPA5arFONZZ+Iw/3QA/ZY+Y5QCxj02MGqg0jaxSfat8MnDa/QU1i4D9Z3SpzW7CpPGY2sz6WF//EHljLNRmY\
    BluLS1PjSAFgQD6r9ksNlTCmdcmwQXZEioTMLhr3j1ggHBTwyhyg52+DP+mDHHEpSYtPLoc36oj8TrBmCIFVqQKBgQDbxGXzC2caT7x8opMqTd\
    Od87pfpqOK3gy5fUy0qu+u32/5qQeGcZahoWB2GE7dLlcOXCEI72vVL1xBKq0V4Ihgu7SPE6hRdrSFZiA0VPmEwa3mgWhGQ85WkdbVkqTGW59/\
    Z0ErPfz5fsMXpjdgGJWcYpDJPPp1Mhis43S8aeK9GwKBgQDVRgNFihkly+gxQniYM3F3/rV+JX4xphoYhwGNXtksSYfnIJ00nxPaGZ1phl2NKn\
    Yu/Pn5ysRtFNDxQ+RzY98VrkddoNbn0QxaNabH0FVMnGPcLeYRSyFyxkIz3kN7IXbo2RyRZimuMi5aMA/xMrhuLqO7NbjcYEV9WopLDTvGOQKB\
    gHQIK/O474Ta2J/NjnnlgXeB+cMKzopBVuKQn3E8VzQzUIG2lvyK+Ib6F14C05DAKMKyLdbz4jE6wjC+AYjtddPtBxYLwPDSBdnw48v9mYhYYi\
    Kz7IQ8xLK8aXt1432/XmT79VKJdgmcvhC8d7xK/qME/4DgqzQ5cQHHThk0prxFAoGAHSX1eoKWT0kgEeNw0fRt9KV2Lqh3J9f4xxNkjerBqcDe\
    9yLI+ZEoSG2pyutXS9zazC89BvvEftgSenb5+R9UNQVdsZky5fn3QzkD81kw30iciVIomIJ5LtOT5rzg4io/szFBK0oYNjubhC3/b8qr1DtBm2\
    uLOWta8/f04K8NVVkCgYEAiU8LEu6DAKk1XVQ7OJA0JFbkjRvbCW0oIrmho2o1LKNRmC0o9ylcj3UV5AfzvWW7nmdDv/CS15tCJUSOj6q4TugO\
    M0s8ACOg+xr1a7PiNu794PEE4H5K6qVegC5GC1Ij8rcfXmZgSc9xXvqUwBYzt38RjiOWrhN2EsxSfYo5b9c=";

const NOW: i64 = 1_767_225_600;

struct Signer(RsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(RsaKeyPair::from_pkcs8(&STANDARD.decode(KEY).unwrap()).unwrap())
    }

    fn public_key(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let open = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let padding: &'static dyn signature::RsaEncoding = if header["alg"] == "PS256" {
            &signature::RSA_PSS_SHA256
        } else {
            &signature::RSA_PKCS1_SHA256
        };
        let mut mark = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(padding, &SystemRandom::new(), open.as_bytes(), &mut mark)
            .unwrap();
        format!("{open}.{}", URL_SAFE_NO_PAD.encode(mark))
    }
}

async fn present(client: &Client, assertion: &str) -> Got {
    client
        .ask_token(&[
            ("client_secret", ""),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion),
        ])
        .await
}

async fn client(signer: &Signer) -> Client {
    let clock = Clock::simulated(chrono::DateTime::from_timestamp(NOW, 0).unwrap());
    let certificate = Some(Certificate {
        thumbprint: "thumb".into(),
        public_key: signer.public_key(),
    });
    let federation = Some(Federation {
        issuer: "https://issuer.example".into(),
        subject: "system:serviceaccount:a:b".into(),
        public_key: Some(signer.public_key()),
    });
    Client::of(Settings {
        clock,
        certificate,
        federation,
        ..Settings::default()
    })
    .await
}

#[tokio::test]
async fn an_assertion_signed_by_the_certificate_is_taken_and_a_bent_one_is_not() {
    let signer = Signer::new();
    let client = client(&signer).await;
    let id = client.simulator.client_id();
    let audience = format!(
        "{}/{}/oauth2/v2.0/token",
        client.simulator.root(),
        client.simulator.tenant_id()
    );
    let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": "thumb"});
    let claims =
        json!({"aud": audience, "iss": id, "sub": id, "jti": "once", "nbf": NOW, "iat": NOW, "exp": NOW + 300});
    assert_eq!(present(&client, &signer.sign(&header, &claims)).await.status, 200);
    let bent = |part: &Value, name: &str, value: Value| {
        let mut bent = part.clone();
        bent[name] = value;
        bent
    };
    let cases = [
        (bent(&header, "x5t#S256", json!("other")), claims.clone(), 700_027),
        (header.clone(), bent(&claims, "iss", json!("other")), 700_027),
        (header.clone(), bent(&claims, "aud", json!("other")), 700_023),
        (header.clone(), bent(&claims, "exp", json!(NOW - 1)), 500_133),
        (header.clone(), bent(&claims, "exp", json!(NOW + 3_600)), 500_133),
        (bent(&header, "typ", json!("other")), claims.clone(), 50_027),
    ];
    for (header, claims, number) in cases {
        let answer = present(&client, &signer.sign(&header, &claims)).await;
        assert_eq!(answer.body["error_codes"], json!([number]), "{header} {claims}");
    }
    let mut forged = signer.sign(&header, &claims);
    forged.replace_range(forged.len() - 20..forged.len() - 10, "AAAAAAAAAA");
    assert_eq!(present(&client, &forged).await.body["error_codes"], json!([700_027]));
}

#[tokio::test]
async fn a_token_of_the_federated_issuer_is_taken_and_a_stranger_s_is_not() {
    let signer = Signer::new();
    let client = client(&signer).await;
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "1"});
    let claims = |subject: &str| {
        json!({
            "aud": ["api://AzureADTokenExchange"], "iss": "https://issuer.example", "sub": subject,
            "iat": NOW, "nbf": NOW, "exp": NOW + 3_600,
        })
    };
    let own = signer.sign(&header, &claims("system:serviceaccount:a:b"));
    assert_eq!(present(&client, &own).await.status, 200);
    let other = signer.sign(&header, &claims("system:serviceaccount:a:c"));
    assert_eq!(present(&client, &other).await.body["error_codes"], json!([70_021]));
}

#[tokio::test]
async fn a_managed_identity_gets_its_numbers_as_strings() {
    let mut client = Client::of(Settings::default()).await;
    let (url, root) = (
        client.simulator.managed_identity_url(),
        client.simulator.root().to_owned(),
    );
    let url = format!("{url}?api-version=2018-02-01&resource={root}/");
    assert_eq!(client.try_get(&url, &[]).await.unwrap().status, 400);
    let answer = client.try_get(&url, &[("metadata", "true")]).await.unwrap();
    assert!(answer.body["expires_in"].is_string() && answer.body["expires_on"].is_string());
    answer.body["access_token"]
        .as_str()
        .unwrap()
        .clone_into(&mut client.token);
    assert_eq!(client.get("/subscribedSkus").await.status, 200);
}
