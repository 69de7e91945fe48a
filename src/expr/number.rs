//! Numbers as text and text as numbers, by GitHub's rules.

/// The number that a text stands for: blanks around it are ignored, an empty text is 0, what is no number is NaN.
/// Decimal with a sign, point and exponent; `0x` hexadecimal and `0o` octal without a sign; `Infinity` with a sign.
pub(super) fn parse(text: &str) -> f64 {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if text.is_empty() {
        return 0.0;
    }
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o").or_else(|| text.strip_prefix("0O")) {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "Infinity" {
        return if text.starts_with('-') {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    // Rust also reads `inf` and `nan`, which are no numbers here.
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return f64::NAN;
    }
    text.parse().unwrap_or(f64::NAN)
}

fn radix(digits: &str, base: u32) -> f64 {
    if digits.is_empty() {
        return f64::NAN;
    }
    let mut value = 0.0;
    for digit in digits.chars() {
        match digit.to_digit(base) {
            Some(digit) => value = value * f64::from(base) + f64::from(digit),
            None => return f64::NAN,
        }
    }
    value
}

/// A number's text: at most 15 places behind the point, no trailing zeros, `-0` as `0`, an exponent from 1e21 on and
/// below 1e-6, `NaN`, `Infinity`, `-Infinity`.
pub(super) fn format(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_string();
    }
    let rounded: f64 = if value.abs() < 1e15 {
        format!("{value:.15}").parse().unwrap_or(value)
    } else {
        value
    };
    if rounded == 0.0 {
        return "0".to_string();
    }
    if rounded.abs() < 1e21 && rounded.abs() >= 1e-6 {
        return format!("{rounded}");
    }
    let text = format!("{rounded:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_the_number_it_stands_for() {
        for (text, expected) in [
            ("", 0.0),
            (" \t\n", 0.0),
            ("12", 12.0),
            ("+7", 7.0),
            ("-7", -7.0),
            (".25", 0.25),
            ("3.", 3.0),
            ("3e2", 300.0),
            ("3E-2", 0.03),
            ("0xfF", 255.0),
            ("0o17", 15.0),
            (" -Infinity ", f64::NEG_INFINITY),
            ("+Infinity", f64::INFINITY),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
        for text in [
            "-0x1", "+0x1", "0x", "0o8", "0xg", "infinity", "inf", "nan", "NaN", "1 2", "1_000", "12px", "--1", "e5",
            ".",
        ] {
            assert!(parse(text).is_nan(), "{text:?} is {}", parse(text));
        }
    }

    #[test]
    fn numbers_are_written_as_short_as_they_can_be() {
        for (value, expected) in [
            (-0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.1 + 0.2, "0.3"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-7"),
            (1e-16, "0"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(format(value), expected);
        }
    }
}
