//! The states of a feed, step by step.

use std::borrow::Cow;

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
        selection: Some(Cow::Borrowed("id")),
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

fn counted(listed: u64, had: u64) -> Input {
    let count = None;
    Input::Counted { listed, had, count }
}

fn latest() -> Input {
    Input::Latest(link("l"), DateTime::UNIX_EPOCH)
}

/// A listing of one page that has ended, and the changes since.
fn listed() -> Vec<Input> {
    vec![RUN, latest(), pages(Next::End), delta("b"), Input::Swept]
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

const RUN: Input = Input::Run(Some(Cow::Borrowed("id")));

#[test]
fn users_are_listed_between_two_links_followed_from_the_first_and_then_swept() {
    let mut inputs = vec![];
    for (input, expected) in [
        (RUN, Todo::Latest),
        (latest(), Todo::List(None)),
        (page("a"), Todo::GoOn),
        (RUN, Todo::List(Some(link("a")))),
        (pages(Next::End), Todo::Changes(link("l"))),
        (RUN, Todo::Changes(link("l"))),
        (page("c"), Todo::GoOn),
        (RUN, Todo::Changes(link("c"))),
        (delta("d"), Todo::Sweep),
        // It could not be swept: the changes come first, and then it has another try.
        (RUN, Todo::Changes(link("d"))),
        (delta("e"), Todo::Sweep),
        (Input::Swept, Todo::Changes(link("e"))),
        (delta("f"), Todo::Rest),
        (Input::Run(Some(Cow::Borrowed("id,mail"))), Todo::Latest),
    ] {
        inputs.push(input);
        assert_eq!(todo(Source::Users, inputs.clone()), expected, "{:?}", inputs.last());
    }
}

#[test]
fn users_are_walked_where_the_link_or_the_listing_is_refused_and_the_next_round_tries_again() {
    for refused in [vec![RUN], vec![RUN, latest()]] {
        let mut inputs = refused;
        for (input, expected) in [
            (Input::Refused, Todo::Walk(None)),
            (page("a"), Todo::GoOn),
            (RUN, Todo::Walk(Some(link("a")))),
            (delta("b"), Todo::Sweep),
            (Input::Swept, Todo::Changes(link("b"))),
            (Input::Renew, Todo::Latest),
        ] {
            inputs.push(input);
            assert_eq!(todo(Source::Users, inputs.clone()), expected, "{:?}", inputs.last());
        }
    }
}

#[test]
fn a_group_is_listed_between_two_links_and_followed_from_the_first() {
    let mut inputs = Vec::new();
    for (input, expected) in [
        (Input::Run(None), Todo::Latest),
        (latest(), Todo::List(None)),
        (page("a"), Todo::GoOn),
        (Input::Run(None), Todo::List(Some(link("a")))),
        (pages(Next::End), Todo::Sweep),
        (Input::Swept, Todo::Changes(link("l"))),
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
    let walked = || vec![RUN, Input::Refused, page("a")];
    let listing = || vec![RUN, latest(), page("a")];
    let followed = || [listed(), vec![page("c")]].concat();
    let with = |mut inputs: Vec<Input>, input| {
        inputs.push(input);
        inputs
    };
    let dead = |inputs| with(inputs, Input::DeadLink);
    for (source, inputs, expected) in [
        (Source::Users, dead(walked()), Todo::Latest),
        (Source::Users, with(walked(), bad(true)), Todo::Latest),
        (Source::Users, with(walked(), bad(false)), Todo::Walk(Some(link("a")))),
        // The listing begins again with the same link of the changes, until that is found dead.
        (Source::Users, dead(listing()), Todo::List(None)),
        (
            Source::Users,
            dead([dead(listing()), vec![pages(Next::End)]].concat()),
            Todo::Latest,
        ),
        (Source::Users, with(listing(), bad(true)), Todo::List(None)),
        (Source::Users, with(listing(), bad(false)), Todo::List(Some(link("a")))),
        (Source::Users, dead(followed()), Todo::Changes(link("b"))),
        (Source::Users, with(followed(), bad(true)), Todo::Changes(link("b"))),
        (Source::Users, dead(dead(followed())), Todo::Latest),
        (Source::Users, with(followed(), Input::Renew), Todo::Latest),
        (
            Source::Users,
            with(listing(), Input::RenewUnlessUnderWay),
            Todo::List(Some(link("a"))),
        ),
        // The properties of an interrupted round are not those that are selected now.
        (
            Source::Users,
            with(listing(), Input::Run(Some(Cow::Borrowed("id,mail")))),
            Todo::Latest,
        ),
        (GROUP, dead(listing()[1..].to_vec()), Todo::List(None)),
        (GROUP, with(listing()[1..].to_vec(), bad(false)), Todo::List(None)),
    ] {
        assert_eq!(todo(source, inputs.clone()), expected, "{source} {inputs:?}");
    }
}

#[test]
fn a_listing_that_is_shorter_than_it_should_be_is_doubted_and_no_measure_of_the_next() {
    let round = |listed, count| {
        let counted = Input::Counted { listed, had: 0, count };
        vec![RUN, latest(), pages(Next::End), delta("b"), counted, Input::Swept]
    };
    let short = |listed, expected| Some(Doubt::ListingShort { listed, expected });
    let again = || vec![Input::DoubtTold];
    for (inputs, expected) in [
        (round(99, Some(100)), None),
        (round(98, Some(100)), short(98, 100)),
        (round(989, Some(1000)), short(989, 1000)),
        (round(200, Some(100)), None),
        // Without a count, the last listing is the measure.
        (round(5, None), None),
        ([round(100, None), again(), round(98, None)].concat(), short(98, 100)),
        ([round(100, None), again(), round(99, None)].concat(), None),
        (
            [round(100, None), again(), round(50, None), again(), round(50, None)].concat(),
            short(50, 100),
        ),
        ([round(100, None), again(), round(50, Some(50))].concat(), None),
    ] {
        let (checkpoint, _) = after(Source::Users, inputs.clone());
        assert_eq!(checkpoint.doubt, expected, "{inputs:?}");
    }
    // A walk has a mark at its end.
    let walk = [RUN, Input::Refused, delta("b")].into_iter();
    let counted = Input::Counted {
        listed: 5,
        had: 5,
        count: Some(100),
    };
    assert_eq!(after(Source::Users, walk.chain([counted])).0.doubt, None);
}

#[test]
fn a_doubt_is_told_once_and_suspected_until_the_source_is_beyond_doubt() {
    let round = |listed, had| [latest(), pages(Next::End), counted(listed, had), Input::Swept];
    let first = after(GROUP, round(0, 3)).0;
    assert_eq!(
        first.doubt, None,
        "a group that is read for the first time has lost nobody"
    );
    let read = round(3, 3).into_iter().chain([delta("m"), Input::Renew]);
    let doubted = read.chain(round(0, 3));
    let (checkpoint, _) = after(GROUP, doubted.clone());
    assert!(checkpoint.doubt.is_some());
    let (told, todo) = checkpoint.step(Input::DoubtTold);
    assert!(told.doubt.is_none() && told.suspicion.is_some());
    assert_eq!(todo, Todo::Latest, "what was doubted is read anew");
    let (settled, _) = after(GROUP, doubted.chain(round(3, 0)));
    assert_eq!((settled.doubt, settled.suspicion), (None, None));
}

#[test]
fn what_a_round_could_not_read_counts_until_it_is_swept() {
    let unreadable = PageStats {
        unreadable: 2,
        ..PageStats::default()
    };
    for round in [
        vec![RUN, Input::Refused, seen(unreadable, Next::Delta(link("a")))],
        vec![RUN, latest(), seen(unreadable, Next::End)],
    ] {
        let (checkpoint, todo) = after(Source::Users, round.into_iter().chain([RUN, delta("b")]));
        assert_eq!((checkpoint.seen.unreadable, todo), (2, Todo::Sweep));
        let (checkpoint, _) = checkpoint.step(Input::Swept).0.step(delta("c"));
        assert_eq!(checkpoint.seen.unreadable, 0);
    }
}
