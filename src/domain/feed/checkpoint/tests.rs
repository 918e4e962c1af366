//! The states of a feed, step by step.

use uuid::Uuid;

use super::*;

const GROUP: Source = Source::Group(Uuid::from_u128(7));

fn link(name: &str) -> Link {
    Link::new(name.to_owned())
}

fn pages(next: Next) -> Input {
    seen(PageStats::default(), next)
}

fn seen(seen: PageStats, next: Next) -> Input {
    let ending = PageEnd {
        asked: Moment(5),
        next,
        selection: Some("id"),
        now: DateTime::UNIX_EPOCH,
    };
    Input::Pages(seen, ending)
}

fn page(name: &str) -> Input {
    pages(Next::Page(link(name)))
}

fn delta(name: &str) -> Input {
    pages(Next::Delta(link(name)))
}

fn swept(listed: u64, had: u64) -> Input {
    Input::Swept {
        listed,
        had,
        is_whole: true,
    }
}

/// Steps a source that was never read; answers it and what to do in the end.
fn after(source: Source, inputs: impl IntoIterator<Item = Input>) -> (Checkpoint, Todo) {
    let mut checkpoint = (Checkpoint::new(source), Todo::Rest);
    for input in inputs {
        checkpoint = checkpoint.0.step(input);
    }
    checkpoint
}

fn todo(source: Source, inputs: impl IntoIterator<Item = Input>) -> Todo {
    after(source, inputs).1
}

const RUN: Input = Input::Run(Some("id"));

#[test]
fn users_are_walked_swept_and_followed() {
    let mut inputs = vec![RUN];
    for (input, expected) in [
        (RUN, Todo::Round(None)),
        (page("a"), Todo::GoOn),
        (RUN, Todo::Round(Some(link("a")))),
        (delta("b"), Todo::Sweep),
        // It could not be swept: the changes come first, and then it has another try.
        (RUN, Todo::Changes(link("b"))),
        (page("c"), Todo::GoOn),
        (RUN, Todo::Changes(link("c"))),
        (delta("d"), Todo::Sweep),
        (swept(3, 3), Todo::Changes(link("d"))),
        (delta("e"), Todo::Rest),
        (Input::Run(Some("id,mail")), Todo::Round(None)),
    ] {
        inputs.push(input);
        assert_eq!(todo(Source::Users, inputs.clone()), expected, "{:?}", inputs.last());
    }
}

#[test]
fn a_group_is_listed_between_two_links_and_followed_from_the_first() {
    let latest = || Input::Latest(link("l"), DateTime::UNIX_EPOCH);
    let mut inputs = Vec::new();
    for (input, expected) in [
        (Input::Run(None), Todo::Latest),
        (latest(), Todo::Round(None)),
        (page("a"), Todo::GoOn),
        (Input::Run(None), Todo::Round(Some(link("a")))),
        (pages(Next::End), Todo::Sweep),
        (swept(3, 3), Todo::Changes(link("l"))),
        (delta("m"), Todo::Rest),
        (Input::Run(None), Todo::Changes(link("m"))),
    ] {
        inputs.push(input);
        assert_eq!(todo(GROUP, inputs.clone()), expected, "{:?}", inputs.last());
    }
    let unreadable = PageStats {
        unreadable: 1,
        ..PageStats::default()
    };
    inputs.push(seen(unreadable, Next::Delta(link("n"))));
    assert_eq!(todo(GROUP, inputs.clone()), Todo::Rest);
    inputs.push(Input::Run(None));
    assert_eq!(todo(GROUP, inputs), Todo::Latest, "changes were missed");
}

#[test]
fn a_dead_link_or_a_bad_answer_costs_no_more_than_it_must() {
    let bad = |is_first| Input::BadAnswer { is_first };
    let walked = || vec![RUN, page("a")];
    let followed = || vec![RUN, delta("b"), swept(1, 1), page("c")];
    let listed = || vec![Input::Latest(link("l"), DateTime::UNIX_EPOCH), page("a")];
    let with = |mut inputs: Vec<Input>, input| {
        inputs.push(input);
        inputs
    };
    for (source, inputs, expected) in [
        (Source::Users, with(walked(), Input::DeadLink), Todo::Round(None)),
        (Source::Users, with(walked(), bad(true)), Todo::Round(None)),
        (Source::Users, with(walked(), bad(false)), Todo::Round(Some(link("a")))),
        (
            Source::Users,
            with(followed(), Input::DeadLink),
            Todo::Changes(link("b")),
        ),
        (Source::Users, with(followed(), bad(true)), Todo::Changes(link("b"))),
        (
            Source::Users,
            with(with(followed(), Input::DeadLink), Input::DeadLink),
            Todo::Round(None),
        ),
        (Source::Users, with(followed(), Input::Renew), Todo::Round(None)),
        (
            Source::Users,
            with(walked(), Input::RenewUnlessUnderWay),
            Todo::Round(Some(link("a"))),
        ),
        (GROUP, with(listed(), Input::DeadLink), Todo::Latest),
        (GROUP, with(listed(), bad(false)), Todo::Round(None)),
    ] {
        assert_eq!(todo(source, inputs.clone()), expected, "{source} {inputs:?}");
    }
}

#[test]
fn a_doubt_is_told_once_and_suspected_until_the_source_is_beyond_doubt() {
    let latest = || Input::Latest(link("l"), DateTime::UNIX_EPOCH);
    let again = [latest(), pages(Next::End), swept(0, 3)];
    let first = after(GROUP, again.clone()).0;
    assert_eq!(
        first.doubt, None,
        "a group that is read for the first time has lost nobody"
    );
    let read = [latest(), pages(Next::End), swept(3, 3), delta("m"), Input::Renew];
    let doubted = read.into_iter().chain(again);
    let (checkpoint, _) = after(GROUP, doubted.clone());
    assert!(checkpoint.doubt.is_some());
    let (told, todo) = checkpoint.step(Input::DoubtTold);
    assert!(told.doubt.is_none() && told.suspicion.is_some());
    assert_eq!(todo, Todo::Latest, "what was doubted is read anew");
    let (settled, _) = after(GROUP, doubted.chain([latest(), pages(Next::End), swept(3, 0)]));
    assert_eq!((settled.doubt, settled.suspicion), (None, None));
}

#[test]
fn what_a_round_could_not_read_counts_until_it_is_swept() {
    let unreadable = PageStats {
        unreadable: 2,
        ..PageStats::default()
    };
    let round = [RUN, seen(unreadable, Next::Delta(link("a")))];
    let (checkpoint, todo) = after(Source::Users, round.into_iter().chain([RUN, delta("b")]));
    assert_eq!((checkpoint.seen.unreadable, todo), (2, Todo::Sweep));
    let (checkpoint, _) = checkpoint.step(swept(1, 1)).0.step(delta("c"));
    assert_eq!(checkpoint.seen.unreadable, 0);
}
