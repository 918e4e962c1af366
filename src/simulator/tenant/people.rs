//! The people of a big tenant, computed from a seed and an index, so that a million of them take no memory.

use std::sync::LazyLock;

use chrono::DateTime;
use uuid::Uuid;

use super::profile::{self, Profile};
use super::user::User;

/// The domain of every address; reserved for examples, so that no mail can ever arrive.
pub const DOMAIN: &str = "contoso.example";

const GIVEN: &[(&str, &str)] = &[
    ("Ada", "ada"),
    ("Zoë", "zoe"),
    ("Łukasz", "lukasz"),
    ("Søren", "soren"),
    ("Nguyễn An", "an"),
    ("José", "jose"),
    ("Björk", "bjork"),
    ("Siobhán", "siobhan"),
    ("太郎", "taro"),
    ("美咲", "misaki"),
    ("伟", "wei"),
    ("Ольга", "olga"),
    ("Дмитрий", "dmitri"),
    ("Μαρία", "maria"),
    ("فاطمة", "fatima"),
    ("Yusuf", "yusuf"),
    ("नेहा", "neha"),
    ("Arjun", "arjun"),
    ("Anne-Sophie", "anne-sophie"),
    ("François", "francois"),
    ("Jürgen", "jurgen"),
    ("Grace", "grace"),
    ("Linus", "linus"),
    ("Aoife", "aoife"),
    ("Mateusz", "mateusz"),
    ("İpek", "ipek"),
    ("Çağla", "cagla"),
    ("지우", "jiwoo"),
    ("민준", "minjun"),
    ("Chinonso", "chinonso"),
    ("Thandiwe", "thandiwe"),
    ("Kaimana", "kaimana"),
    ("Ingrid", "ingrid"),
    ("Ilse", "ilse"),
    ("Þóra", "thora"),
    ("Matěj", "matej"),
    ("Željka", "zeljka"),
    ("Mary Ann", "maryann"),
    ("Luca", "luca"),
    ("Inês", "ines"),
];

const SURNAMES: &[(&str, &str)] = &[
    ("Lovelace", "lovelace"),
    ("O'Brien", "obrien"),
    ("Müller", "muller"),
    ("Ångström", "angstrom"),
    ("García Márquez", "garciamarquez"),
    ("van der Berg", "vanderberg"),
    ("Kowalczyk-Nowak", "kowalczyk-nowak"),
    ("Nguyễn", "nguyen"),
    ("山田", "yamada"),
    ("王", "wang"),
    ("Иванова", "ivanova"),
    ("Παπαδόπουλος", "papadopoulos"),
    ("الهاشمي", "alhashimi"),
    ("शर्मा", "sharma"),
    ("Dvořák", "dvorak"),
    ("Yıldız", "yildiz"),
    ("김", "kim"),
    ("Okonkwo", "okonkwo"),
    ("Dlamini", "dlamini"),
    ("Kealoha", "kealoha"),
    ("Hansen", "hansen"),
    ("Šimić", "simic"),
    ("D'Angelo", "dangelo"),
    ("Nic Giolla Phádraig", "nicgiollaphadraig"),
    ("Le Goff", "legoff"),
    ("Straße", "strasse"),
    ("Sigurðardóttir", "sigurdardottir"),
    ("Fernandes", "fernandes"),
    ("Smith", "smith"),
    ("Jones", "jones"),
    ("Patel", "patel"),
    ("Rossi", "rossi"),
    ("Virtanen", "virtanen"),
    ("Popescu", "popescu"),
    ("Horváth", "horvath"),
    ("Silva", "silva"),
    ("Tan", "tan"),
];

const JOBS: &[&str] = &[
    "Account Manager",
    "Ingénieure logiciel",
    "Sachbearbeiter",
    "Field Technician",
    "Chief of Staff",
    "Controller",
    "Diseñador",
    "Store Lead",
    "営業部長",
    "Nurse",
    "Data Steward",
    "Warehouse Associate",
];

const DEPARTMENTS: &[&str] = &[
    "Sales",
    "Service",
    "Finance",
    "IT",
    "Operations",
    "Forschung & Entwicklung",
    "People",
    "法務",
];

/// City, state, postal code, country, usage location, language, telephone prefix.
const PLACES: &[(&str, &str, &str, &str, &str, &str, &str)] = &[
    ("Seattle", "WA", "98101", "United States", "US", "en-US", "+1 206 555"),
    (
        "München",
        "Bayern",
        "80331",
        "Deutschland",
        "DE",
        "de-DE",
        "+49 89 5550",
    ),
    ("Kraków", "małopolskie", "30-001", "Polska", "PL", "pl-PL", "+48 12 555"),
    ("東京", "東京都", "100-0001", "日本", "JP", "ja-JP", "+81 3 5550"),
    ("São Paulo", "SP", "01000-000", "Brasil", "BR", "pt-BR", "+55 11 5550"),
    ("Dublin", "Leinster", "D02 XY45", "Ireland", "IE", "en-IE", "+353 1 555"),
    ("पुणे", "Maharashtra", "411001", "India", "IN", "hi-IN", "+91 20 5550"),
    ("Québec", "QC", "G1A 0A2", "Canada", "CA", "fr-CA", "+1 418 555"),
    ("Zürich", "ZH", "8001", "Schweiz", "CH", "de-CH", "+41 44 555"),
    ("Lagos", "Lagos", "100001", "Nigeria", "NG", "en-NG", "+234 1 555"),
];

/// The first of January 2015, where the creation dates begin.
const FIRST_DAY: i64 = 1_420_070_400;

/// Scrambles a number; splitmix64.
pub(super) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

const NODE: u64 = (1 << 48) - 1;
/// An odd number and its inverse modulo 2^48, so that the last field of an id looks random and still tells the index.
const STRIDE: u64 = 0x5deb_ece6_6d17;
static UNSTRIDE: LazyLock<u64> = LazyLock::new(|| {
    // Newton's iteration doubles the number of right bits, starting from three.
    (0..5).fold(STRIDE, |inverse, _| {
        inverse.wrapping_mul(2_u64.wrapping_sub(STRIDE.wrapping_mul(inverse)))
    }) & NODE
});

/// The id of the object with this index.
pub(super) fn id_of(seed: u64, index: u64) -> Uuid {
    let node = (index.wrapping_mul(STRIDE) ^ mix(seed)) & NODE;
    let rest = mix(seed ^ mix(index));
    let high = (rest & !0xf000) | 0x4000;
    let low = (0b10 << 62) | ((mix(rest) << 48) & !(0b11 << 62)) | node;
    Uuid::from_u64_pair(high, low)
}

/// The index an id would have; to be checked with [`id_of`].
pub(super) fn index_of(seed: u64, id: Uuid) -> u64 {
    let node = id.as_u64_pair().1 & NODE;
    ((node ^ mix(seed)) & NODE).wrapping_mul(*UNSTRIDE) & NODE
}

/// The user with this index, as the tenant was founded.
pub(super) fn person(seed: u64, index: u64) -> User {
    let mut dice = Dice(mix(seed ^ mix(index ^ 0x5eed)));
    let (given, given_ascii) = dice.pick(GIVEN);
    let (surname, surname_ascii) = dice.pick(SURNAMES);
    let (city, state, postal_code, country, usage, language, prefix) = dice.pick(PLACES);
    let guest = dice.one_in(100);
    let upn = if guest {
        format!("{given_ascii}.{surname_ascii}.{index}_fabrikam.example#EXT#@{DOMAIN}")
    } else {
        format!("{given_ascii}.{surname_ascii}.{index}@{DOMAIN}")
    };
    let mail = match (guest, dice.one_in(25)) {
        (_, true) => None,
        (true, _) => Some(format!("{given_ascii}.{surname_ascii}.{index}@fabrikam.example")),
        (false, _) => Some(upn.clone()),
    };
    let given_name = match dice.below(100) {
        0 => Some(String::new()),
        1 => None,
        _ => Some((*given).to_owned()),
    };
    let profile = if guest {
        Profile::Unlicensed
    } else {
        Profile::drawn(dice.below(100))
    };
    let (plans, licenses) = profile::lists(profile, dice.next());
    let street = match dice.below(200) {
        0 => "Lange Straße 1, Hinterhaus, Aufgang C, ".repeat(25),
        number => format!("{number} Example Street"),
    };
    let seconds = FIRST_DAY + i64::try_from(dice.below(10 * 365 * 86_400)).unwrap_or(0);
    User {
        id: id_of(seed, index),
        is_agent: false,
        account_enabled: Some(!dice.one_in(50)),
        plans,
        licenses,
        business_phones: if dice.one_in(4) {
            vec![]
        } else {
            vec![format!("{prefix} {:04}", dice.below(10_000))]
        },
        on_premises_sync_enabled: dice.one_in(2).then_some(true),
        created: DateTime::from_timestamp(seconds, 0),
        city: Some((*city).to_owned()),
        company_name: (!dice.one_in(3)).then(|| "Contoso".to_owned()),
        country: Some((*country).to_owned()),
        department: (!dice.one_in(10)).then(|| (*dice.pick(DEPARTMENTS)).to_owned()),
        display_name: Some(format!("{given} {surname}")),
        employee_id: Some(format!("{:07}", index + 1)),
        external_user_state: guest.then(|| "Accepted".to_owned()),
        fax_number: dice.one_in(40).then(|| format!("{prefix} {:04}", dice.below(10_000))),
        given_name,
        job_title: (!dice.one_in(10)).then(|| (*dice.pick(JOBS)).to_owned()),
        mail,
        mail_nickname: Some(format!("{given_ascii}.{surname_ascii}.{index}")),
        mobile_phone: (!dice.one_in(3)).then(|| format!("{prefix} {:04}", dice.below(10_000))),
        office_location: dice
            .one_in(2)
            .then(|| format!("{}/{:04}", dice.below(40), dice.below(2_500))),
        postal_code: Some((*postal_code).to_owned()),
        preferred_language: (!dice.one_in(5)).then(|| (*language).to_owned()),
        state: Some((*state).to_owned()),
        street_address: Some(street),
        surname: Some((*surname).to_owned()),
        usage_location: Some((*usage).to_owned()),
        user_principal_name: Some(upn),
        user_type: Some(if guest { "Guest" } else { "Member" }.to_owned()),
    }
}

/// The indices an address of the shape made above may stand for.
pub(super) fn indices_in(upn: &str) -> impl Iterator<Item = u64> + '_ {
    upn.split(['.', '_', '@']).filter_map(|part| part.parse().ok())
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.next() % from.len() as u64).unwrap_or(0)]
    }
}
