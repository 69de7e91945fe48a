use proptest::prelude::*;

use super::*;
use crate::secret::{SECRET_BYTES_MAX, Secret, SecretError};

fn needles(secrets: &[&str]) -> Needles {
    let named = secrets
        .iter()
        .enumerate()
        .map(|(index, secret)| (format!("S{index}"), Secret::new(*secret)));
    Needles::of(&named.collect())
}

/// The stream in chunks of the given sizes (the last again and again), masked.
fn masked(needles: &Needles, stream: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut masker = needles.masker();
    let mut out = vec![];
    let (mut rest, mut sizes) = (
        stream,
        sizes.iter().copied().chain(std::iter::repeat(*sizes.last().unwrap())),
    );
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        out.extend(masker.push(chunk));
        rest = after;
    }
    out.extend(masker.finish());
    out
}

const SECRET: &str = r#"p<ß>/w "d$1'\&+x"#;

/// What tools make of the secret: what they really print, in Python, bash, dash, Node, Go and PHP.
const ENCODED: [(&str, &str); 27] = [
    ("raw", r#"p<ß>/w "d$1'\&+x"#),
    ("base64", r#"cDzDnz4vdyAiZCQxJ1wmK3g="#),
    ("base64 after one byte", r#"eHA8w58+L3cgImQkMSdcJit4"#),
    ("base64 after two", r#"eHhwPMOfPi93ICJkJDEnXCYreHk="#),
    ("base64, URL-safe", r#"cDzDnz4vdyAiZCQxJ1wmK3g="#),
    ("base64 twice", r#"WVdKd1BNT2ZQaTkzSUNKa0pERW5YQ1lyZUE9PQ=="#),
    ("hex", r#"703cc39f3e2f772022642431275c262b78"#),
    ("HEX", r#"703CC39F3E2F772022642431275C262B78"#),
    ("quote", r#"p%3C%C3%9F%3E/w%20%22d%241%27%5C%26%2Bx"#),
    ("quote, all", r#"p%3C%C3%9F%3E%2Fw%20%22d%241%27%5C%26%2Bx"#),
    ("quote_plus", r#"p%3C%C3%9F%3E%2Fw+%22d%241%27%5C%26%2Bx"#),
    ("lower per cent", r#"p%3c%c3%9f%3e%2fw%20%22d%241%27%5c%26%2bx"#),
    ("encodeURIComponent", r#"p%3C%C3%9F%3E%2Fw%20%22d%241'%5C%26%2Bx"#),
    ("encodeURI", r#"p%3C%C3%9F%3E/w%20%22d$1'%5C&+x"#),
    ("json.dumps", r#"p<\u00df>/w \"d$1'\\&+x"#),
    ("JSON.stringify", r#"p<ß>/w \"d$1'\\&+x"#),
    ("json in json", r#"\"p<ß>/w \\\"d$1'\\\\&+x\""#),
    ("Go's json", r#"p\u003cß\u003e/w \"d$1'\\\u0026+x"#),
    ("PHP's json", r#"p<ß>\/w \"d$1'\\&+x"#),
    ("xml text", r#"p&lt;ß&gt;/w "d$1'\&amp;+x"#),
    ("html.escape", r#"p&lt;ß&gt;/w &quot;d$1&#x27;\&amp;+x"#),
    ("shlex.quote", r#"'p<ß>/w "d$1'"'"'\&+x'"#),
    ("printf %q", r#"p\<ß\>/w\ \"d\$1\'\\\&+x"#),
    ("set -x", r#"'p<ß>/w "d$1'\''\&+x'"#),
    ("dash set -x", r#"p<ß>/w "d$1'\&+x"#),
    ("bash ${x@Q}", r#"'p<ß>/w "d$1'\''\&+x'"#),
    ("printf %q, C locale", r#"$'p<\303\237>/w "d$1\'\\&+x'"#),
];

#[test]
fn a_secret_is_masked_in_every_form_and_at_every_split() {
    let needles = needles(&[SECRET]);
    for (tool, form) in ENCODED {
        let stream = format!("before {form} after\n");
        let whole = String::from_utf8(masked(&needles, stream.as_bytes(), &[usize::MAX])).unwrap();
        // The digits that share a byte with a neighbour of the secret may stay: they tell at most a few bits.
        let hidden = whole.len() <= "before *** after\n".len() + if tool == "base64 twice" { 12 } else { 6 };
        assert!(
            hidden && whole.starts_with("before ") && whole.ends_with(" after\n"),
            "{tool}: {whole}"
        );
        for split in 1..stream.len() {
            let split_up = masked(&needles, stream.as_bytes(), &[split, usize::MAX]);
            assert_eq!(String::from_utf8(split_up).unwrap(), whole, "{tool}, split at {split}");
        }
        assert_eq!(
            String::from_utf8(masked(&needles, stream.as_bytes(), &[1])).unwrap(),
            whole,
            "{tool}, bytewise"
        );
    }
}

#[test]
fn a_secret_of_many_lines_is_masked_line_by_line_and_wrapped() {
    let key = format!(
        "-----BEGIN KEY-----\n{}\n{}\nshort\n-----END KEY-----\n",
        "Ab3/".repeat(16),
        "x+Y9".repeat(16)
    );
    let needles = needles(&[&key]);
    let told = |text: &str| needles.mask(text);
    assert_eq!(told(&format!("[{key}]")), "[***\n***\n***\n***\n***\n]");
    assert_eq!(told(&format!("line: {}.", "x+Y9".repeat(16))), "line: ***.");
    assert_eq!(
        told(&format!("crlf\r\n{}!", key.replace('\n', "\r\n"))),
        "crlf\r\n***\n***\n***\n***\n***\r\n!"
    );
    let digits = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key.trim());
    for columns in [64, 76] {
        let wrapped: Vec<&str> = (0..digits.len())
            .step_by(columns)
            .map(|at| &digits[at..digits.len().min(at + columns)])
            .collect();
        let seen = told(&wrapped.join("\n"));
        assert!(
            seen.lines().all(|line| line.len() <= 3 + 4 && line.starts_with("***")),
            "{columns}: {seen}"
        );
    }
}

#[test]
fn overlapping_secrets_leave_nothing_of_either() {
    let needles = needles(&["abcdefgh", "efghijkl", "cdefgh"]);
    let rows: Vec<String> = [
        "abcdefghijkl",
        "xabcdefgx",
        "abcdefghabcdefgh",
        "abcdefgh abcdefgh",
        "abcdefg",
        "cdefghijkl!",
        "",
    ]
    .iter()
    .map(|text| needles.mask(text))
    .collect();
    assert_eq!(rows, ["***", "xabcdefgx", "***", "*** ***", "abcdefg", "***!", ""]);
}

#[test]
fn only_a_possible_beginning_is_held_back() {
    let needles = needles(&["hunter2hunter2"]);
    let mut masker = needles.masker();
    assert_eq!(masker.push(b"password: "), b"password: ");
    assert_eq!(masker.push(b"hunter"), b"");
    assert_eq!(masker.push(b"2hunter"), b"");
    assert_eq!(masker.push(b"3, hu"), b"hunter2hunter3, ");
    // All of it is a secret, but its second half may begin another.
    assert_eq!(masker.push(b"nter2hunter2"), b"***");
    assert_eq!(masker.push(b"\n"), b"\n");
    assert_eq!(masker.push(b"hunt"), b"");
    assert_eq!(masker.finish(), b"hunt");
}

#[test]
fn without_secrets_and_with_bytes_that_are_no_text_everything_passes() {
    let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
    assert_eq!(masked(&Needles::default(), &bytes, &[7]), bytes);
    assert_eq!(masked(&needles(&["correct horse"]), &bytes, &[7]), bytes);
}

#[test]
fn a_secret_too_short_to_be_masked_is_refused_where_it_is_defined() {
    let refused = |value: &str| Secret::define("PIN", value).unwrap_err().to_string();
    insta::assert_snapshot!([refused(""), refused(" \n"), refused("12345\n"), refused(&"x".repeat(SECRET_BYTES_MAX + 1))].join("\n"), @"
    the secret `PIN` is empty
    the secret `PIN` is empty
    the secret `PIN` has 5 bytes; less than 6 cannot be masked in logs
    the secret `PIN` has 49153 bytes; at most 49152 are kept
    ");
    assert!(Secret::define("PIN", "123456").is_ok());
    assert!(matches!(
        Secret::define("PIN", "1"),
        Err(SecretError::TooShort { bytes: 1, .. })
    ));
    assert!(!refused("12345").contains("12345"));
    assert_eq!(needles(&["a", ""]).mask("banana"), "banana");
}

#[test]
fn a_large_secret_is_masked_with_bounded_memory() {
    let secret: String = (0..8_000usize)
        .map(|index| char::from(b'!' + (index * index % 90) as u8))
        .collect();
    let needles = needles(&[&secret]);
    let mut masker = needles.masker();
    let mut out = vec![];
    for chunk in format!("<{secret}>").as_bytes().chunks(1000) {
        out.extend(masker.push(chunk));
        assert!(masker.held.len() <= needles.0.as_ref().unwrap().longest);
    }
    out.extend(masker.finish());
    assert_eq!(String::from_utf8(out).unwrap(), "<***>");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Few letters, so that secrets overlap, repeat and almost begin everywhere.
    #[test]
    fn splits_make_no_difference_and_no_secret_is_seen(
        secrets in prop::collection::vec("[ab\n]{6,9}", 1..4),
        stream in "[ab\n]{0,60}",
        planted in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..4),
        sizes in prop::collection::vec(1usize..9, 1..20),
    ) {
        let needles = needles(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
        let mut stream = stream;
        for (which, at) in planted {
            stream.insert_str(at.index(stream.len() + 1), which.get(&secrets).as_str());
        }
        let whole = masked(&needles, stream.as_bytes(), &[usize::MAX]);
        prop_assert_eq!(&masked(&needles, stream.as_bytes(), &sizes), &whole);
        let whole = String::from_utf8(whole).unwrap();
        for secret in secrets.iter().map(|secret| secret.trim()).filter(|secret| secret.len() >= 6) {
            prop_assert!(!whole.contains(secret), "{:?} in {:?}", secret, whole);
        }
        prop_assert_eq!(whole.matches('\n').count(), stream.matches('\n').count());
    }
}
