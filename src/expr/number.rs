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

/// Significant digits of a number's text.
const DIGITS: usize = 15;

/// A number's text, with 15 significant digits and no trailing zeros: `0.3`, `1E+15`, `1E-05`, `-Infinity`, `NaN`; `-0` is
/// `0`. From 1e15 on and below 1e-4 it has an exponent, as GitHub's runner writes it.
pub(super) fn format(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_string();
    }
    if value == 0.0 {
        return "0".to_string();
    }
    let scientific = format!("{:.*e}", DIGITS - 1, value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    let digits = digits.trim_end_matches('0');
    let sign = if value < 0.0 { "-" } else { "" };
    if !(-4..DIGITS as i32).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{point}{rest}E{exponent_sign}{:02}", exponent.abs());
    }
    match usize::try_from(exponent) {
        Err(_) => {
            let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
            format!("{sign}0.{zeros}{digits}")
        }
        Ok(exponent) if digits.len() <= exponent + 1 => format!("{sign}{digits:0<width$}", width = exponent + 1),
        Ok(exponent) => {
            let (whole, fraction) = digits.split_at(exponent + 1);
            format!("{sign}{whole}.{fraction}")
        }
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
            (120.0, "120"),
            (-123_456.789, "-123456.789"),
            (0.012, "0.012"),
            (999_999_999_999_999.0, "999999999999999"),
            (1e15, "1E+15"),
            (12_345_678_901_234_567_890.0, "1.23456789012346E+19"),
            (-1.5e100, "-1.5E+100"),
            (0.0001, "0.0001"),
            (0.00001, "1E-05"),
            (2.0 / 3.0, "0.666666666666667"),
            (99.999_999_999_999_999, "100"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(format(value), expected);
        }
    }
}
