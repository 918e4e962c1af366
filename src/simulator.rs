//! A simulated Entra tenant that speaks Microsoft Graph, for the demo, the tests and the benchmarks.
//!
//! It is written from the published contract of Graph and never from our own client: it shares no type with
//! `graph`, so that one misreading cannot hide in both, and it refuses what Graph refuses. It must never be
//! reachable from another machine: it binds to the loopback unless told otherwise and guards nothing.
//!
//! [`Simulator::start`] serves a [`Tenant`]; a test changes the tenant through its methods, breaks the service
//! with [`Faults`], and asks afterwards what came in ([`Simulator::requests`]).

mod assertion;
pub mod cluster;
mod deleted;
mod directory;
mod faults;
mod gate;
mod groups;
mod identity;
mod journal;
mod listing;
mod marker;
mod members;
mod round;
mod router;
mod serve;
mod sign_in;
mod signing;
mod subscriptions;
pub mod tenant;
#[cfg(test)]
mod tests;
mod users;
mod wire;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use ring::hmac;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::assertion::{Certificate, Federation};
pub use self::faults::{Canned, Carrying, Effect, Fault, Faults, RetryAfter, Spoilt, When};
pub use self::gate::Gate;
pub use self::identity::TokenFault;
use self::identity::Tokens;
use self::journal::Journal;
pub use self::journal::Seen;
use self::sign_in::Codes;
use self::signing::Signing;
use self::subscriptions::Subscriptions;
pub use self::tenant::Tenant;
use self::tenant::TokenDeath;
use self::wire::{Answer, Ask};
use crate::clock::Clock;

/// What the simulator is to be like. All of it but `listen`, `public_root`, `users`, `seed`, `clock` and `token_death` may be
/// changed while it runs; see [`Simulator::configure`].
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Settings {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The root by which clients know it, without a slash at the end; by default made of the address.
    pub public_root: Option<String>,
    /// The size the tenant is founded with.
    pub users: u64,
    /// Decides who the founding users are.
    pub seed: u64,
    /// The tenant's clock.
    pub clock: Clock,
    /// How long every request takes at least.
    pub latency: Duration,
    /// The tenant's id.
    pub tenant_id: Uuid,
    /// The application's id.
    pub client_id: Uuid,
    /// The application's secret.
    pub client_secret: String,
    /// The application's certificate, if it has one.
    pub certificate: Option<Certificate>,
    /// The application's federated credential, if it has one.
    pub federation: Option<Federation>,
    /// What a process must send to the identity service of App Service, if it runs there.
    pub identity_header: Option<String>,
    /// Where the application lets people be sent back to after they sign in.
    pub redirect_uris: Vec<String>,
    /// The app roles that the application assigns to people.
    pub app_roles: BTreeMap<Uuid, Vec<String>>,
    /// What identity tokens say differently; a null leaves a claim out.
    pub identity_claims: Value,
    /// The application permissions that were consented to.
    pub permissions: BTreeSet<String>,
    /// Users come back with 200 and nothing but their ids.
    pub limited_information: bool,
    /// How many objects a delta page holds at most.
    pub page_size: usize,
    /// The largest `$top` that a listing accepts; the service's own limit of 999 holds too.
    pub largest_top: usize,
    /// How many objects a page of a listing holds at most, whatever `$top` says.
    pub listing_page_size: usize,
    /// `$deltatoken=latest` is taken for no token: a round begins, with data.
    pub ignores_latest: bool,
    /// A cast of members needs `ConsistencyLevel: eventual` and `$count=true`.
    pub cast_needs_index: bool,
    /// How far listings lag behind the feeds, deletedItems included, by the tenant's clock.
    pub listing_lag: Duration,
    /// How far casts and counts lag, which are answered from an index.
    pub index_lag: Duration,
    /// How far look-ups of single objects and of their groups lag.
    pub look_up_lag: Duration,
    /// How many relations a groups/delta page holds at most.
    pub relations_per_page: usize,
    /// Access tokens live randomly long within this.
    pub access_token_lifetime: Range<Duration>,
    /// Delta tokens live so long.
    pub delta_token_lifetime: Duration,
    /// How a delta token that outlived its time answers; later, see [`Tenant::set_token_death`].
    pub token_death: TokenDeath,
    /// Later rounds tell only what changed, as if `Prefer: return=minimal` were always there.
    pub minimal_rounds: bool,
    /// Compress for clients that accept it.
    pub gzip: bool,
    /// Keep the pages of first rounds ready, so that a benchmark measures its client. Takes about a kilobyte a
    /// user.
    pub cache_pages: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let granted = [
            "User.Read.All",
            "GroupMember.Read.All",
            "RoleManagement.Read.Directory",
            "LicenseAssignment.Read.All",
        ];
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            public_root: None,
            users: 0,
            seed: 1,
            clock: Clock::system(),
            latency: Duration::ZERO,
            tenant_id: Uuid::from_u128(0x5133_1a7e_d7e4_4a97_9c0b_0000_0000_0001),
            client_id: Uuid::from_u128(0x5133_1a7e_dc11_4e47_9c0b_0000_0000_0002),
            client_secret: "simulated~secret".into(),
            certificate: None,
            federation: None,
            identity_header: None,
            redirect_uris: Vec::new(),
            app_roles: BTreeMap::new(),
            identity_claims: Value::Null,
            permissions: granted.map(ToOwned::to_owned).into(),
            limited_information: false,
            page_size: 200,
            largest_top: 999,
            listing_page_size: 999,
            ignores_latest: false,
            cast_needs_index: true,
            listing_lag: Duration::ZERO,
            index_lag: Duration::ZERO,
            look_up_lag: Duration::ZERO,
            relations_per_page: 500,
            access_token_lifetime: Duration::from_hours(1)..Duration::from_mins(90),
            delta_token_lifetime: Duration::from_hours(7 * 24),
            token_death: TokenDeath::GoneWithLocation,
            minimal_rounds: false,
            gzip: true,
            cache_pages: false,
        }
    }
}

/// The largest `$top` of any listing.
const LARGEST_TOP: usize = 999;

/// What every request may look at.
struct Shared {
    root: String,
    clock: Clock,
    settings: RwLock<Settings>,
    /// Counts the changes of the settings.
    revision: AtomicU64,
    tenant: Arc<Tenant>,
    faults: Faults,
    journal: Journal,
    tokens: Tokens,
    signing: Signing,
    codes: Codes,
    subscriptions: Subscriptions,
    key: hmac::Key,
    cache: Mutex<Cache>,
}

/// Pages by URL and whether they are compressed.
#[derive(Default)]
struct Cache {
    version: (u64, u64),
    pages: HashMap<(String, bool), Answer>,
}

impl Shared {
    fn settings(&self) -> RwLockReadGuard<'_, Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn token_lifetime(&self) -> chrono::Duration {
        chrono::Duration::from_std(self.settings().delta_token_lifetime).unwrap_or(chrono::Duration::MAX)
    }

    /// Whether any of these permissions was granted.
    fn may(&self, any: &[&str]) -> bool {
        let settings = self.settings();
        any.iter().any(|permission| settings.permissions.contains(*permission))
    }

    /// How many objects the page asked for holds: `$top`, within its bounds.
    fn top(&self, ask: &Ask, default: usize) -> Result<usize, Answer> {
        let (most, room) = {
            let settings = self.settings();
            (settings.largest_top.min(LARGEST_TOP), settings.listing_page_size)
        };
        let top = match ask.option("$top").map(str::parse) {
            None => default,
            Some(Ok(top)) if (1..=most).contains(&top) => top,
            Some(_) => {
                let message = format!("Invalid page size specified. Must be between 1 and {most} inclusive.");
                return Err(ask.refuse(StatusCode::BAD_REQUEST, "Request_BadRequest", &message));
            }
        };
        Ok(top.min(room))
    }

    fn require(&self, ask: &Ask, any: &[&str]) -> Result<(), Answer> {
        if self.may(any) { Ok(()) } else { Err(ask.forbidden()) }
    }
}

/// A running simulator. Dropping it stops it.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Simulator {
    /// Binds and serves on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(settings.listen)?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let tenant = Tenant::new(
            settings.seed,
            settings.users,
            settings.token_death,
            settings.clock.clone(),
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, settings.tenant_id.as_bytes());
        let shared = Arc::new(Shared {
            root: settings
                .public_root
                .clone()
                .unwrap_or_else(|| format!("http://{address}")),
            clock: settings.clock.clone(),
            tenant: Arc::new(tenant),
            settings: RwLock::new(settings),
            revision: AtomicU64::new(0),
            faults: Faults::default(),
            journal: Journal::default(),
            tokens: Tokens::default(),
            signing: Signing::default(),
            codes: Codes::default(),
            subscriptions: Subscriptions::default(),
            key,
            cache: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let router = Router::new().fallback(serve::request).with_state(Arc::clone(&shared));
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            // It ends by the stop alone: axum retries what fails while accepting.
            let _ = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
        });
        Ok(Self { shared, address, stop })
    }

    /// Serves until the token is cancelled, for a command.
    pub async fn run_until(self, cancelled: CancellationToken) {
        cancelled.cancelled().await;
    }

    /// Stops serving. Requests under way are answered.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// `http://127.0.0.1:port`: both the authority and the root of Graph.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.shared.root
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The tenant's id.
    #[must_use]
    pub fn tenant_id(&self) -> Uuid {
        self.shared.settings().tenant_id
    }

    /// The application's id.
    #[must_use]
    pub fn client_id(&self) -> Uuid {
        self.shared.settings().client_id
    }

    /// The application's secret.
    #[must_use]
    pub fn client_secret(&self) -> String {
        self.shared.settings().client_secret.clone()
    }

    /// The directory, to be changed while it is served.
    #[must_use]
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.shared.tenant
    }

    /// What is to go wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Where a virtual machine would find its managed identity.
    #[must_use]
    pub fn managed_identity_url(&self) -> String {
        format!("{}/metadata/identity/oauth2/token", self.shared.root)
    }

    /// What App Service would put into `IDENTITY_ENDPOINT`.
    #[must_use]
    pub fn identity_endpoint(&self) -> String {
        format!("http://{}{}", self.address, router::APP_SERVICE_IDENTITY)
    }

    /// Changes the settings of the running simulator.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.shared.settings.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut settings);
        self.shared.revision.fetch_add(1, Ordering::Relaxed);
    }

    /// Makes every access token given out so far answer 401.
    pub fn revoke_access_tokens(&self) {
        self.shared.tokens.revoke_all();
    }

    /// Every access token that was ever given out, good or not, for a test that looks for them where none may be.
    #[must_use]
    pub fn given_access_tokens(&self) -> Vec<String> {
        self.shared.tokens.issued()
    }

    /// An access token for an application of the tenant, as its token service would sign it at this moment: for the
    /// application itself, without any role, in version 2. `claims` is an object of what is to be different; a null
    /// leaves a claim out.
    ///
    /// # Errors
    ///
    /// When the built-in key cannot be used.
    pub fn issue_access_token(&self, claims: &Value) -> io::Result<String> {
        self.shared.signing.sign(&signing::claims(&self.shared, claims))
    }

    /// Signs access tokens with another key from now on. The old one stays published until
    /// [`Simulator::withdraw_old_signing_keys`].
    pub fn rotate_signing_key(&self) {
        self.shared.signing.rotate();
    }

    /// Publishes no key but the one that signs.
    pub fn withdraw_old_signing_keys(&self) {
        self.shared.signing.withdraw_old();
    }

    /// The addresses of the subscriptions to changes, and when they end.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<(String, chrono::DateTime<chrono::Utc>)> {
        self.shared.subscriptions.list(self.shared.clock.now())
    }

    /// Forgets every subscription, as if it had never been.
    pub fn lose_subscriptions(&self) {
        self.shared.subscriptions.lose();
    }

    /// Tells everybody who subscribed to users that one has changed. The service does so by itself, at a time that nobody
    /// knows; here a test says when. Returns the statuses of the answers.
    pub async fn notify(&self, user: Uuid) -> Vec<u16> {
        self.shared.subscriptions.notify(&self.shared, user, None).await
    }

    /// Asks everybody who subscribed to renew.
    pub async fn ask_to_reauthorize(&self) -> Vec<u16> {
        let event = Some("reauthorizationRequired");
        self.shared.subscriptions.notify(&self.shared, Uuid::nil(), event).await
    }

    /// The last requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.journal.requests()
    }

    /// The last requests, which are then forgotten.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Seen> {
        self.shared.journal.take()
    }

    /// How many requests each endpoint ever received.
    #[must_use]
    pub fn request_counts(&self) -> BTreeMap<&'static str, u64> {
        self.shared.journal.counts()
    }
}
