//! A database for each test, on a server that the tests share.
//!
//! The server is the one of `ROLLCALL_TEST_DATABASE_URL` (a superuser's URL, which `./dev test` sets for the whole
//! run), else a private cluster that starts with the first test that needs it and ends with the process. A database
//! whose test failed is left to be looked at while its server lives.

use tokio::sync::OnceCell;
use url::Url;
use uuid::Uuid;

use super::{Cluster, ClusterError, Options, create_database, execute, quoted};

/// A test's own database.
#[derive(Debug)]
pub struct TestDatabase {
    /// The superuser's URL.
    pub url: String,
    name: String,
    server_url: Url,
}

impl TestDatabase {
    /// Drops the database, cutting connections that are still open.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn drop_database(self) -> Result<(), ClusterError> {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(&self.name));
        execute(self.server_url.as_str(), statement).await
    }
}

/// An empty database; `name_hint` makes its name recognisable.
///
/// # Errors
/// When no server can be had or it refuses.
pub async fn test_database(name_hint: &str) -> Result<TestDatabase, ClusterError> {
    copy_of(None, name_hint).await
}

/// A database that is a copy of what `prepare` made of an empty one, usually by applying the migrations.
///
/// `prepare` gets the URL of the template. It runs once in a process, for the first caller, so every caller passes
/// the same. It must have closed its connections when it returns, since PostgreSQL copies only an idle database.
///
/// # Errors
/// When no server can be had, it refuses, or `prepare` fails.
pub async fn test_database_from<E>(
    prepare: impl AsyncFnOnce(String) -> Result<(), E>,
    name_hint: &str,
) -> Result<TestDatabase, ClusterError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE.get_or_try_init(async || {
        let template = copy_of(None, "template").await?;
        prepare(template.url)
            .await
            .map_err(|error| ClusterError::Template(error.into()))?;
        Ok(template.name)
    });
    copy_of(Some(template.await?), name_hint).await
}

async fn copy_of(template: Option<&str>, name_hint: &str) -> Result<TestDatabase, ClusterError> {
    let server_url = server().await?;
    let hint: String = name_hint
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
        .collect();
    // PostgreSQL cuts names at 63 bytes, and the unique part must not be cut.
    let name = format!("t_{:.24}_{}", hint.to_ascii_lowercase(), Uuid::new_v4().simple());
    create_database(server_url.as_str(), &name, template).await?;
    let mut url = server_url.clone();
    url.set_path(&name);
    Ok(TestDatabase {
        url: url.into(),
        name,
        server_url,
    })
}

/// The shared server's superuser URL.
async fn server() -> Result<Url, ClusterError> {
    /// Never dropped: the server ends when the process does.
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    let url = match std::env::var("ROLLCALL_TEST_DATABASE_URL") {
        Ok(url) if !url.is_empty() => url,
        _ => {
            let cluster = SHARED.get_or_try_init(async || Cluster::start_temporary(&Options::throwaway()).await);
            cluster.await?.url(super::SUPERUSER)
        }
    };
    Url::parse(&url).map_err(ClusterError::TestUrl)
}
