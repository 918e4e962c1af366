//! Each way to prove to Entra who rollcall is, from the configuration to a finished sync of the real binary. The
//! simulated tenant verifies what Entra verifies, and refuses the rest. A virtual machine's metadata service has an
//! address that cannot be simulated here; `src/graph/tests/tokens.rs` speaks with it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rollcall::clock::Clock;
use rollcall::simulator::{Certificate, Federation, Settings, Simulator};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use crate::binary::{Installation, Said, said};
use crate::world::migrated_database;

// Made for tests; they open nothing.
pub const CERTIFICATE: &str = include_str!("../../src/graph/tests/keys/certificate.pem");
pub const KEY: &str = include_str!("../../src/graph/tests/keys/pkcs8.pem");

fn key() -> RsaKeyPair {
    let key = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap()
}

/// What Kubernetes would write into the token file.
pub fn federated_token(subject: &str) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let now = Clock::system().now().timestamp();
    let header = json!({"alg": "RS256", "typ": "JWT"});
    let claims = json!({
        "iss": "https://cluster.example", "sub": subject, "aud": ["api://AzureADTokenExchange"],
        "iat": now, "nbf": now, "exp": now + 3600,
    });
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let key = key();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A tenant whose application has every credential at once, but not the secret of the configuration.
pub fn tenant() -> Simulator {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let public_key = key().public_key().as_ref().to_vec();
    let simulator = Simulator::start(Settings {
        users: 20,
        ..Settings::default()
    })
    .unwrap();
    simulator.configure(|settings| {
        settings.certificate = Some(Certificate {
            thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate)),
            public_key: public_key.clone(),
        });
        settings.federation = Some(Federation {
            issuer: "https://cluster.example".to_owned(),
            subject: "system:serviceaccount:rollcall:rollcall".to_owned(),
            public_key: Some(public_key),
        });
        settings.identity_header = Some("the-header-of-app-service".to_owned());
    });
    simulator
}

/// A credential of the configuration, the variables that it wants, and how Entra refuses it.
type LeadAttempt<'a> = (&'a str, Vec<(&'a str, &'a str)>, Option<&'a str>);

/// A sync with a credential, and with these variables of the platform.
async fn sync(installation: &Installation, variables: &[(&str, &str)]) -> Said {
    let mut command = installation.command("sync --output json");
    command.envs(variables.iter().copied());
    said(command.spawn().unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_credential_reads_the_directory_and_a_wrong_one_does_not() {
    let simulator = tenant();
    let database = migrated_database().await;
    let environments = "[[environment]]\nname = \"production\"\nkind = \"production\"\n";
    let installation = Installation::new(&simulator, &database.url, environments);
    let write = |name: &str, text: &str| std::fs::write(installation.folder.join(name), text).unwrap();
    write("cert.pem", CERTIFICATE);
    write("key.pem", KEY);
    // Some other key, which the application does not know.
    write("other.pem", include_str!("../../src/simulator/keys/signing-key-1.pem"));
    write("token", &federated_token("system:serviceaccount:rollcall:rollcall"));
    write("other-token", &federated_token("system:serviceaccount:default:default"));
    write("secret-of-another", "not~the~secret");
    let folder = installation.folder.display().to_string();
    let token = |name: &str| format!("{folder}/{name}");
    let (good, other) = (token("token"), token("other-token"));
    let endpoint = simulator.identity_endpoint();
    let app_service =
        |header: &'static str| vec![("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", header)];
    let managed = format!("kind = \"managed_identity\", client_id = \"{}\"", simulator.client_id());
    let kinds: [LeadAttempt; 9] = [
        ("kind = \"secret\", file = \"secret\"", vec![], None),
        (
            "kind = \"secret\", env = \"GRAPH\"",
            vec![("GRAPH", "simulated~secret")],
            None,
        ),
        (
            "kind = \"secret\", file = \"secret-of-another\"",
            vec![],
            Some("AADSTS7000215"),
        ),
        (
            "kind = \"certificate\", certificate = \"cert.pem\", key = \"key.pem\"",
            vec![],
            None,
        ),
        (
            "kind = \"certificate\", certificate = \"cert.pem\", key = \"other.pem\"",
            vec![],
            Some("AADSTS700027"),
        ),
        (
            "kind = \"workload_identity\"",
            vec![("AZURE_FEDERATED_TOKEN_FILE", &good)],
            None,
        ),
        (
            "kind = \"workload_identity\"",
            vec![("AZURE_FEDERATED_TOKEN_FILE", &other)],
            Some("AADSTS70021"),
        ),
        (&managed, app_service("the-header-of-app-service"), None),
        (
            "kind = \"managed_identity\"",
            app_service("another-header"),
            Some("token"),
        ),
    ];
    let mut present = format!("kind = \"secret\", file = \"{folder}/secret\"");
    for (credential, variables, refusal) in kinds {
        installation.amend(&present, credential);
        credential.clone_into(&mut present);
        drop(simulator.take_requests());
        let said = sync(&installation, &variables).await;
        let asked = simulator.take_requests();
        match refusal {
            None => {
                assert_eq!(said.code, Some(0), "{credential}: {said:?}");
                assert_eq!(said.json()["outcome"], "complete");
                let way = if credential == managed {
                    "/msi/token"
                } else {
                    "/oauth2/v2.0/token"
                };
                assert!(
                    asked.iter().any(|one| one.endpoint == way && one.status == 200),
                    "{credential}: {asked:?}"
                );
            }
            Some(why) => {
                assert_eq!(said.code, Some(4), "{credential}: {said:?}");
                let whole = format!("{}{}", said.stdout, said.stderr);
                assert!(whole.contains(why), "{credential}: {said:?}");
                assert!(asked.iter().all(|one| !one.bearer), "nothing is read: {asked:?}");
            }
        }
    }
    database.drop_database().await.unwrap();
}
