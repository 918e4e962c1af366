//! What goes wrong on purpose.
//!
//! A fault waits in a queue until a request matches it. The first matching fault that has shots left is used, one
//! fault a request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::gate::Gate;
use super::identity::TokenFault;
use super::tenant::Tenant;

/// Which requests a fault hits.
#[derive(Clone, Debug, Default)]
pub struct When {
    path: Option<String>,
    endpoints: Vec<&'static str>,
    method: Option<String>,
    token: Option<Carrying>,
    after: u64,
}

/// What token the URL of a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrying {
    /// None: the first request of a round or listing.
    Nothing,
    /// `$deltatoken=latest`: the request for a link and no data.
    Latest,
    /// `$skiptoken`: a later page.
    SkipToken,
    /// `$deltatoken` with a value: the first page of a later round.
    DeltaToken,
}

impl When {
    /// Any request at all.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests whose endpoint template is `path`, or whose path and query contain it. The token endpoint's
    /// template is `/oauth2/v2.0/token`; Graph's leave `/v1.0` out.
    #[must_use]
    pub fn path(path: impl Into<String>) -> Self {
        Self {
            path: Some(path.into()),
            ..Self::default()
        }
    }

    /// Requests of exactly this endpoint template, such as `/users/$count`.
    #[must_use]
    pub fn endpoint(template: &'static str) -> Self {
        Self {
            endpoints: vec![template],
            ..Self::default()
        }
    }

    /// Requests for pages of users, of the feed and of the listing.
    #[must_use]
    pub fn users() -> Self {
        Self {
            endpoints: vec!["/users/delta", "/users"],
            ..Self::default()
        }
    }

    /// Requests for an access token.
    #[must_use]
    pub fn token() -> Self {
        Self::path("/oauth2/v2.0/token")
    }

    /// Only those with this method.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Only those whose URL carries such a token.
    #[must_use]
    pub fn carrying(mut self, token: Carrying) -> Self {
        self.token = Some(token);
        self
    }

    /// Lets so many matching requests pass first.
    #[must_use]
    pub fn after(mut self, requests: u64) -> Self {
        self.after = requests;
        self
    }

    fn hits(&self, method: &str, endpoint: &str, target: &str) -> bool {
        let path = self
            .path
            .as_deref()
            .is_none_or(|path| endpoint == path || target.contains(path));
        let method = self
            .method
            .as_deref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method));
        let here = self.endpoints.is_empty() || self.endpoints.contains(&endpoint);
        path && here && method && self.token.is_none_or(|wanted| carrying(target) == wanted)
    }
}

fn carrying(target: &str) -> Carrying {
    let target = target.to_ascii_lowercase();
    let with_value = |name: &str| {
        let after = target.split_once(name).map(|(_, after)| after);
        after.is_some_and(|value| !value.is_empty() && !value.starts_with('&') && !value.starts_with("latest"))
    };
    if with_value("skiptoken=") {
        Carrying::SkipToken
    } else if with_value("deltatoken=") {
        Carrying::DeltaToken
    } else if target.contains("deltatoken=latest") {
        Carrying::Latest
    } else {
        Carrying::Nothing
    }
}

/// A `Retry-After` header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RetryAfter {
    /// Whole seconds.
    Seconds(u64),
    /// A fraction of seconds, as `2.128`.
    Fraction(f64),
    /// An HTTP date so far from now.
    Date(Duration),
}

/// An answer that takes the place of the real one.
#[derive(Clone, Debug, Default)]
pub struct Canned {
    /// The status.
    pub status: u16,
    /// `error.code` of an OData error; may be empty. None: `body` is sent as it is.
    pub code: Option<String>,
    /// The body, when there is no code.
    pub body: String,
    /// `Content-Type`, when there is no code.
    pub content_type: Option<&'static str>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// `Retry-After`.
    pub retry_after: Option<RetryAfter>,
    /// Sends `Location`: the same path with an empty `$deltatoken`.
    pub resync_location: bool,
}

/// What a fault does.
#[derive(Clone)]
pub enum Effect {
    /// Answers this instead.
    Answer(Canned),
    /// Announces the whole body, sends so many bytes of it, and closes the connection.
    Cut(usize),
    /// Closes the connection without a byte of an answer.
    Hangup,
    /// Sends half of the JSON with a fitting length.
    Truncate,
    /// Leaves both links out of a page.
    NoLink,
    /// Leaves `value` out of a page.
    NoValue,
    /// An empty page with a next link that leads to what this page would have held.
    EmptyPage,
    /// A next link that is the request's own URL.
    NextLinkToItself,
    /// A next link to another host; give its root, such as `http://127.0.0.1:9`.
    ForeignNextLink(String),
    /// Sends the body in ten pieces with this pause between them.
    SlowBody(Duration),
    /// Waits before answering.
    Delay(Duration),
    /// Holds the request before it is answered, and the answer before it is sent.
    Hold(Gate),
    /// Changes the tenant, then answers as usual.
    Meanwhile(Arc<dyn Fn(&Tenant) + Send + Sync>),
    /// Rewrites the JSON of the real answer.
    Rewrite(Arc<dyn Fn(&mut serde_json::Value) + Send + Sync>),
    /// Spoils properties of objects of the real answer.
    Spoil(Arc<[Spoilt]>),
    /// Misbehaves at the token endpoint.
    Token(TokenFault),
}

impl Effect {
    /// Changes the tenant, then answers as usual.
    #[must_use]
    pub fn meanwhile(change: impl Fn(&Tenant) + Send + Sync + 'static) -> Self {
        Self::Meanwhile(Arc::new(change))
    }

    /// Rewrites the JSON of the real answer.
    #[must_use]
    pub fn rewrite(rewrite: impl Fn(&mut serde_json::Value) + Send + Sync + 'static) -> Self {
        Self::Rewrite(Arc::new(rewrite))
    }

    /// Spoils properties of objects of the real answer.
    #[must_use]
    pub fn spoil(spoilt: impl Into<Arc<[Spoilt]>>) -> Self {
        Self::Spoil(spoilt.into())
    }

    /// An OData error of this status and code.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        Self::Answer(Canned {
            status,
            code: Some(code.into()),
            ..Canned::default()
        })
    }

    /// 429 `TooManyRequests` with this `Retry-After` or none.
    #[must_use]
    pub fn throttled(retry_after: Option<RetryAfter>) -> Self {
        Self::Answer(Canned {
            status: 429,
            code: Some("TooManyRequests".into()),
            retry_after,
            ..Canned::default()
        })
    }

    /// 503 `serviceNotAvailable` with this `Retry-After` or none.
    #[must_use]
    pub fn unavailable(retry_after: Option<RetryAfter>) -> Self {
        Self::Answer(Canned {
            status: 503,
            code: Some("serviceNotAvailable".into()),
            retry_after,
            ..Canned::default()
        })
    }

    /// 401 `InvalidAuthenticationToken`.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::error(401, "InvalidAuthenticationToken")
    }

    /// 410 `resyncRequired`, with or without a `Location`.
    #[must_use]
    pub fn gone(with_location: bool) -> Self {
        Self::Answer(Canned {
            status: 410,
            code: Some("resyncRequired".into()),
            resync_location: with_location,
            ..Canned::default()
        })
    }

    /// The error page of a proxy.
    #[must_use]
    pub fn html(status: u16) -> Self {
        Self::Answer(Canned {
            status,
            body: "<!DOCTYPE html><html><body><h1>Bad gateway</h1></body></html>".into(),
            content_type: Some("text/html"),
            ..Canned::default()
        })
    }

    /// A body without a byte.
    #[must_use]
    pub fn empty_body(status: u16) -> Self {
        Self::Answer(Canned {
            status,
            ..Canned::default()
        })
    }

    /// 200 with `{}`.
    #[must_use]
    pub fn empty_object() -> Self {
        Self::Answer(Canned {
            status: 200,
            body: "{}".into(),
            ..Canned::default()
        })
    }
}

/// A property of an object that is sent as another text, which need not be a value at all: `"\ud83d"` is half of one.
#[derive(Clone, Debug)]
pub struct Spoilt {
    /// The `id` of the object, an entry of the answer or the answer itself.
    pub id: Uuid,
    /// The property, `id` included.
    pub property: &'static str,
    /// What is sent for it.
    pub text: String,
}

/// Something to go wrong.
#[derive(Clone)]
pub struct Fault {
    when: When,
    effect: Effect,
    times: Option<u64>,
    name: &'static str,
    met: bool,
}

impl Fault {
    /// Goes wrong once.
    #[must_use]
    pub fn once(when: When, effect: Effect) -> Self {
        Self {
            when,
            effect,
            times: Some(1),
            name: "",
            met: false,
        }
    }

    /// Goes wrong so many times.
    #[must_use]
    pub fn times(when: When, times: u64, effect: Effect) -> Self {
        Self {
            when,
            effect,
            times: Some(times),
            name: "",
            met: false,
        }
    }

    /// Goes wrong until the faults are cleared.
    #[must_use]
    pub fn forever(when: When, effect: Effect) -> Self {
        Self {
            when,
            effect,
            times: None,
            name: "",
            met: false,
        }
    }
}

impl Fault {
    /// Gives it a name, to count those of this name that were met, and to withdraw them by.
    #[must_use]
    pub fn called(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
}

/// The faults that wait for a request.
#[derive(Default)]
pub struct Faults {
    queue: Mutex<Vec<Fault>>,
    met: Mutex<BTreeMap<&'static str, u64>>,
}

impl Faults {
    fn queue(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a fault to the end of the queue.
    pub fn push(&self, fault: Fault) {
        self.queue().push(fault);
    }

    /// Removes every fault.
    pub fn clear(&self) {
        self.queue().clear();
    }

    /// Removes the faults of this name.
    pub fn withdraw(&self, name: &str) {
        self.queue().retain(|fault| fault.name != name);
    }

    /// How many faults of each name a request has ever met; those without a name count under the empty one.
    #[must_use]
    pub fn met(&self) -> BTreeMap<&'static str, u64> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many faults have not run out; those that last for ever count too.
    pub fn pending(&self) -> usize {
        self.queue().len()
    }

    /// The effect this request meets, if any.
    pub(super) fn meet(&self, method: &str, endpoint: &str, target: &str) -> Option<Effect> {
        let mut queue = self.queue();
        let mut met = None;
        for (position, fault) in queue.iter_mut().enumerate() {
            if !fault.when.hits(method, endpoint, target) {
                continue;
            }
            if fault.when.after > 0 {
                fault.when.after -= 1;
            } else {
                met = Some(position);
                break;
            }
        }
        let position = met?;
        let fault = &mut queue[position];
        let effect = fault.effect.clone();
        if !std::mem::replace(&mut fault.met, true) {
            let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
            *met.entry(fault.name).or_default() += 1;
        }
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                queue.remove(position);
            }
        }
        Some(effect)
    }
}
