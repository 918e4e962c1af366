//! Layout: what stands where, what is cut, and what never is.

use super::*;

const ID: &str = "51331a7e-0000-4000-8000-000000000001";

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn piped(heading: &[&str]) -> Table {
    Table::looking(heading, &[], false, Look::default())
}

fn wide(heading: &[&str], width: usize) -> Table {
    Table::looking(heading, &[], false, plain(width))
}

fn plain(width: usize) -> Look {
    Look {
        width: Some(width),
        colours: false,
    }
}

#[test]
fn one_row_is_one_line_whatever_is_in_it() {
    let text = piped(&["USER", "NAME"]).lay_out(&[row(&["a\r\nb", "Eve\u{1b}[2J\u{2028}x\u{202e}"]), row(&["c", "d"])]);
    assert_eq!(
        text,
        "USER    NAME\na\\r\\nb  Eve\\u{1b}[2J\\u{2028}x\\u{202e}\nc       d\n"
    );
}

#[test]
fn columns_are_as_wide_as_a_terminal_shows_them() {
    let text = piped(&["NAME", "N"]).lay_out(&[row(&["山田", "1"]), row(&["e\u{301}va", "22"]), row(&["Ada", "333"])]);
    assert_eq!(text, "NAME    N\n山田    1\ne\u{301}va    22\nAda   333\n");
}

#[test]
fn a_table_goes_on_under_one_heading() {
    let mut table = piped(&["NAME", "N"]);
    assert_eq!(table.lay_out(&[row(&["a", "1"])]), "NAME  N\na     1\n");
    assert_eq!(table.lay_out(&[row(&["longer", "2"])]), "longer  2\n");
    assert_eq!(table.lay_out(&[row(&["b", "3"])]), "b       3\n");
    assert_eq!(piped(&["NAME"]).lay_out(&[]), "NAME\n");
}

#[test]
fn a_terminal_of_80_columns_cuts_the_widest_texts_and_never_ids_numbers_and_times() {
    let mut table = wide(&["USER", "NAME", "SINCE", "COUNT", "SYSTEMUSERID"], 80);
    let upn = "a.very.long.user.name@contoso.example";
    let rows = [
        row(&[upn, "山田山田山田山田太郎", "2026-02-01", "1234567", ID]),
        row(&["ada@contoso.example", "e\u{301}va", "2026-02-01", "7", ID]),
        row(&[ID, "👩‍👩‍👧 family name of hers", "-", "12", "-"]),
    ];
    let text = table.lay_out(&rows);
    assert!(
        text.lines()
            .all(|line| line.ends_with('-') || line.contains("SYSTEMUSERID") || line.contains(ID))
    );
    // An id among the users leaves no room for less.
    let widest = text.lines().map(UnicodeWidthStr::width).max().unwrap();
    assert_eq!(widest, 36 + 4 + 10 + 7 + 36 + 4 * GAP, "{text}");
    assert!(text.contains(upn.get(..35).unwrap()), "{text}");

    let mut table = wide(&["USER", "NAME", "SINCE", "COUNT", "SYSTEMUSERID"], 80);
    let text = table.lay_out(&rows[..2]);
    assert_eq!(
        text,
        "USER        NAME       SINCE         COUNT  SYSTEMUSERID\n\
         a.very.lo…  山田山田…  2026-02-01  1234567  51331a7e-0000-4000-8000-000000000001\n\
         ada@conto…  éva        2026-02-01        7  51331a7e-0000-4000-8000-000000000001\n"
            .replace('é', "e\u{301}")
    );
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    assert_eq!(
        piped(&["USER", "NAME", "SINCE", "COUNT", "SYSTEMUSERID"])
            .lay_out(&rows[..1])
            .matches('…')
            .count(),
        0
    );
}

#[test]
fn spare_columns_are_left_out_one_by_one_until_the_others_can_be_read() {
    let heading = ["USER", "NAME", "REASON", "SYSTEMUSERID"];
    let rows = [row(&[
        "a.very.long.user.name@contoso.example",
        "山田山田山田山田太郎",
        "unlicensed",
        ID,
    ])];
    for (width, left_out, expected) in [
        (
            120,
            "",
            "a.very.long.user.name@contoso.example  山田山田山田山田太郎  unlicensed  51331a7e-0000-4000-8000-000000000001",
        ),
        (
            84,
            "",
            "a.very.long.user.name@c…  山田山…   unlicensed  51331a7e-0000-4000-8000-000000000001",
        ),
        (
            83,
            "SYSTEMUSERID",
            "a.very.long.user.name@contoso.example  山田山田山田山田太郎  unlicensed",
        ),
        (45, "SYSTEMUSERID NAME", "a.very.long.user.name@contoso.ex…  unlicensed"),
        (24, "SYSTEMUSERID NAME", "a.very.long…  unlicensed"),
    ] {
        let mut table = Table::looking(&heading, &["SYSTEMUSERID", "NAME"], false, plain(width));
        let text = table.lay_out(&rows);
        assert_eq!(text.lines().nth(1), Some(expected), "{width}");
        assert_eq!(table.left_out.join(" "), left_out, "{width}");
        assert!(text.lines().all(|line| line.width() <= width), "{text}");
    }
    let mut piped = Table::looking(&heading, &["NAME"], false, Look::default());
    piped.lay_out(&rows);
    assert!(piped.left_out.is_empty());
}

#[test]
fn later_rows_of_a_table_fit_as_well() {
    let mut table = wide(&["NAME", "N"], 20);
    assert_eq!(table.lay_out(&[row(&["short", "1"])]), "NAME   N\nshort  1\n");
    let text = table.lay_out(&[row(&["a name that is far too long", "1234"])]);
    assert_eq!(text, "a name that i…  1234\n");
    assert_eq!(table.lay_out(&[row(&["b", "2"])]), "b                  2\n");
}

#[test]
fn sentences_are_wrapped_beside_their_row_or_under_it_and_nothing_of_them_is_lost() {
    let sentence = "The directory has no such user. Look at the name, and try it again.";
    let rows = [row(&["ok", "a", ""]), row(&["failed", "token", sentence])];
    let heading = ["", "CHECK", "FOUND"];
    assert_eq!(
        Table::looking(&heading, &[], true, plain(50)).lay_out(&rows),
        "        CHECK  FOUND\n\
         ok      a\n\
         failed  token  The directory has no such user.\n               \
         Look at the name, and try it again.\n"
    );
    assert_eq!(
        Table::looking(&heading, &[], true, plain(40)).lay_out(&rows),
        "        CHECK\n\
         ok      a\n\
         failed  token\n    \
         found: The directory has no such\n    \
         user. Look at the name, and try it\n    \
         again.\n"
    );
    let piped = Table::looking(&heading, &[], true, Look::default()).lay_out(&rows);
    assert_eq!(
        piped.lines().nth(2),
        Some(format!("failed  token  {sentence}").as_str())
    );
}

#[test]
fn colours_mark_headings_and_states_only_and_take_no_room() {
    let states = [
        ("disabled, gone", 31),
        ("refused (unlicensed)", 31),
        ("failed", 31),
        ("held", 33),
        ("warning", 33),
        ("incomplete", 33),
        ("complete", 32),
        ("ok", 32),
        ("enabled", 32),
        ("unchanged", 0),
        ("left over", 0),
    ];
    for (state, code) in states {
        let look = Look {
            width: Some(16),
            colours: true,
        };
        let text = Table::looking(&["STATE", "NAME"], &[], false, look).lay_out(&[row(&[state, "failed"])]);
        let (heading, line) = text.split_once('\n').unwrap();
        assert!(
            heading.starts_with("\u{1b}[1mSTATE") && heading.ends_with("NAME\u{1b}[0m"),
            "{text:?}"
        );
        let plain = Table::looking(&["STATE", "NAME"], &[], false, plain(16)).lay_out(&[row(&[state, "failed"])]);
        let (state, name) = plain.lines().nth(1).unwrap().split_once("  ").unwrap();
        let painted = format!("\u{1b}[{code}m{state}\u{1b}[0m");
        let expected = if code == 0 { state } else { &painted };
        assert_eq!(line.trim_end(), format!("{expected}  {name}"));
    }
}

#[test]
fn a_state_is_not_cut() {
    let rows = [row(&["incomplete (dry)", "x".repeat(20).as_str(), "12"])];
    let text = wide(&["STATE", "NAME", "COUNT"], 24).lay_out(&rows);
    assert_eq!(text, "STATE        NAME   COU…\nincomplete…  xxxx…    12\n");
}
