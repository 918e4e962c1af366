//! Fetches a feed ahead of the code that stores its pages: fetching does not wait for storing while there is room, and
//! accumulated pages are stored together.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::domain::feed::{Asked, Entry, Extent, Link, Moment, Next, Page, Trail};
use crate::graph::GraphError;

/// The maximum number of pages waiting to be stored. With the largest pages that is a few megabytes.
const AHEAD: usize = 4;

type PageResult<T> = Result<Page<T>, GraphError>;

/// Pages that are stored together.
#[derive(Clone, Debug)]
pub(super) struct Pages<T> {
    /// When the first of them was requested.
    pub asked: Moment,
    /// Their entries, in the order sent, each with the moment of its page.
    pub items: Vec<Asked<T>>,
    /// Entries that could not be read.
    pub unreadable: Vec<String>,
    /// The users whose entries were dropped, each with the moment of its page.
    pub dropped: Vec<Asked<Uuid>>,
    /// Where the feed continues.
    pub next: Next,
}

impl<T> Pages<T> {
    fn of(page: Page<T>) -> Self {
        let mut pages = Self {
            asked: page.asked,
            items: Vec::with_capacity(page.items.len()),
            unreadable: Vec::new(),
            dropped: Vec::new(),
            next: Next::End,
        };
        pages.add(page);
        pages
    }

    fn add(&mut self, page: Page<T>) {
        let at = page.asked;
        self.items
            .extend(page.items.into_iter().map(|value| Asked { at, value }));
        self.unreadable.extend(page.unreadable);
        self.dropped
            .extend(page.dropped.into_iter().map(|value| Asked { at, value }));
        self.next = page.next;
    }
}

/// Where to start a feed.
pub(super) enum Start<T> {
    /// At a link, or at the beginning.
    At(Option<Link>),
    /// After its first page, which has arrived.
    After(Page<T>),
}

/// A feed in progress. Dropping it stops the fetching.
pub(super) struct Feed<T> {
    pages: mpsc::Receiver<PageResult<T>>,
    /// The pages after those returned last.
    waiting: VecDeque<PageResult<T>>,
    _task: AbortOnDropHandle<()>,
}

impl<T: Entry + Send + 'static> Feed<T> {
    /// Starts fetching.
    pub(super) fn begin<F, R>(endpoint: &'static str, start: Start<T>, fetch: F) -> Self
    where
        F: Fn(Option<Link>) -> R + Send + 'static,
        R: Future<Output = PageResult<T>> + Send,
    {
        let (sender, pages) = mpsc::channel(AHEAD);
        let task = tokio::spawn(async move {
            let (mut arrived, mut at) = match start {
                Start::At(at) => (None, at),
                Start::After(page) => (Some(page), None),
            };
            let mut trail = Trail::new(Extent::STREAMED);
            loop {
                let answer = match arrived.take() {
                    Some(page) => Ok(page),
                    None => fetch(at.take()).await,
                };
                let answer = answer.and_then(|page| match trail.step(&page) {
                    Ok(()) => Ok(page),
                    Err(what) => Err(GraphError::Protocol { endpoint, what }),
                });
                if let Ok(Page {
                    next: Next::Page(link), ..
                }) = &answer
                {
                    at = Some(link.clone());
                }
                if sender.send(answer).await.is_err() || at.is_none() {
                    return;
                }
            }
        });
        Self {
            pages,
            waiting: VecDeque::new(),
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// The next page, with those that have arrived meanwhile.
    pub(super) async fn next(&mut self) -> Result<Pages<T>, GraphError> {
        let first = match self.waiting.pop_front() {
            Some(answer) => answer,
            None => self.pages.recv().await.unwrap_or(Err(GraphError::Cancelled)),
        };
        let mut pages = Pages::of(first?);
        while self.waiting.is_empty() {
            match self.pages.try_recv() {
                Ok(Ok(more)) => pages.add(more),
                Ok(failure) => self.waiting.push_back(failure),
                Err(_) => break,
            }
        }
        Ok(pages)
    }
}
