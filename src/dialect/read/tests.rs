use std::fmt::Write;
use std::sync::Arc;

use super::*;
use crate::dialect::yaml::{Meaning, meaning};

fn said<T: Parse>(texts: &[&str], show: fn(T) -> String) -> String {
    let mut out = String::new();
    for text in texts {
        let read = match T::parse(text, &meaning(text)) {
            Ok(value) => show(value),
            Err(why) => format!("no: {}", why.unwrap_or_else(|| "not understood".into())),
        };
        let _ = writeln!(out, "{text:<12} {read}");
    }
    out
}

#[test]
fn durations_have_a_unit() {
    let texts = [
        "90s",
        "20m",
        "2h",
        "1h30m",
        "7d",
        "1 h 30 min",
        "500ms",
        "20",
        "1.5h",
        "0s",
        "soon",
        "5w",
        "400d",
        "-5m",
        "",
        "m",
        "99999999999999999999s",
        "20M",
    ];
    insta::assert_snapshot!(said::<Lasting>(&texts, |lasting| format!("{:?}", lasting.0)), @"
    90s          90s
    20m          1200s
    2h           7200s
    1h30m        5400s
    7d           604800s
    1 h 30 min   5400s
    500ms        500ms
    20           no: a unit is missing: s, m, h or d
    1.5h         no: `.` is no unit; use s, m, h or d
    0s           no: must be more than nothing
    soon         no: not understood
    5w           no: `w` is no unit; use s, m, h or d
    400d         no: longer than a year
    -5m          no: not understood
                 no: not understood
    m            no: not understood
    99999999999999999999s no: not understood
    20M          no: `M` is no unit; use s, m, h or d
    ");
}

#[test]
fn sizes_have_a_unit() {
    let texts = [
        "512MiB",
        "2GiB",
        "1.5GiB",
        "300MB",
        "2g",
        "512m",
        "1024",
        "2 GiB",
        "10b",
        "1KiB",
        "9999999TiB",
        "GiB",
        "two GiB",
        "-1GiB",
        "1.2.3MiB",
    ];
    insta::assert_snapshot!(said::<ByteSize>(&texts, |size| size.0.to_string()), @"
    512MiB       536870912
    2GiB         2147483648
    1.5GiB       1610612736
    300MB        300000000
    2g           2147483648
    512m         536870912
    1024         no: a unit is missing: MiB, GiB, MB or GB
    2 GiB        2147483648
    10b          no: less than 1 MiB
    1KiB         no: less than 1 MiB
    9999999TiB   no: more than any machine has
    GiB          no: not understood
    two GiB      no: not understood
    -1GiB        no: not understood
    1.2.3MiB     no: not understood
    ");
}

#[test]
fn scalars_are_what_they_say() {
    let booleans = ["true", "False", "yes", "1", ""];
    insta::assert_snapshot!(said::<bool>(&booleans, |value| value.to_string()), @"
    true         true
    False        false
    yes          no: not understood
    1            no: not understood
                 no: not understood
    ");
    let numbers = ["3", "0", "-1", "3.5", "1e3", "99999999999"];
    insta::assert_snapshot!(said::<u32>(&numbers, |value| value.to_string()), @"
    3            3
    0            0
    -1           no: not understood
    3.5          no: not understood
    1e3          no: not understood
    99999999999  no: not understood
    ");
    assert_eq!(<Arc<str>>::parse("3.10", &Meaning::Number(3.1)), Ok("3.10".into()));
}
