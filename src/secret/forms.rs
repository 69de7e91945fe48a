//! The forms in which a secret turns up in output: as it is, by line, and as tools encode and quote it.
//!
//! This keeps secrets out of logs that nobody meant to put them in. It is no boundary: whoever runs a step can always find a
//! form that is not here.

use std::collections::BTreeSet;

use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

/// Shorter forms are not masked: they would hide half of an honest log.
pub(super) const FORM_BYTES_MIN: usize = 6;

/// Longer secrets (key stores, kube configs) get the common forms only.
const RARE_FORMS_BYTES_MAX: usize = 4096;

/// Every form of a secret, none shorter than [`FORM_BYTES_MIN`].
pub(super) fn forms(secret: &str) -> BTreeSet<Vec<u8>> {
    let mut found = Forms::default();
    // Files end in a newline and `$(…)` takes it away: what is left is the secret.
    let core = secret.trim();
    if core.len() < FORM_BYTES_MIN {
        return found.0;
    }
    found.text(secret);
    found.text(core);
    found.text(&core.replace("\r\n", "\n"));
    found.text(&core.replace("\r\n", "\n").replace('\n', "\r\n"));
    for line in core.lines() {
        found.text(line.trim());
    }
    base64(core.as_bytes(), &mut found);
    hex(core.as_bytes(), &mut found);
    url(core, &mut found);
    json(core, &mut found);
    xml(core, &mut found);
    shell(core, &mut found);
    found.0
}

#[derive(Default)]
struct Forms(BTreeSet<Vec<u8>>);

impl Forms {
    fn text(&mut self, form: &str) {
        self.bytes(form.as_bytes());
    }

    fn bytes(&mut self, form: &[u8]) {
        if form.len() >= FORM_BYTES_MIN {
            self.0.insert(form.to_vec());
        }
    }

    /// The pieces of a form that a tool breaks into lines.
    fn lines_of(&mut self, form: &[u8], columns: usize) {
        if form.len() > columns {
            let lines: Vec<&[u8]> = form.chunks(columns).collect();
            self.bytes(&lines.join(&b'\n'));
            lines.iter().for_each(|line| self.bytes(line));
        }
    }
}

/// In both alphabets, at each of the three places in a group of three bytes where the secret may begin, without the digits
/// that its neighbours have a part in; wrapped as `base64` and `openssl` do; and once more over that.
fn base64(secret: &[u8], found: &mut Forms) {
    for offset in 0..3 {
        let inner = base64_at(offset, secret, &STANDARD);
        found.bytes(&inner);
        found.bytes(&base64_at(offset, secret, &URL_SAFE));
        if offset == 0 {
            found.lines_of(&inner, 76);
            found.lines_of(&inner, 64);
        }
        if secret.len() <= RARE_FORMS_BYTES_MAX {
            (0..3).for_each(|offset| found.bytes(&base64_at(offset, &inner, &STANDARD)));
        }
    }
}

fn base64_at(offset: usize, secret: &[u8], alphabet: &Alphabet) -> Vec<u8> {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(secret);
    let digits = GeneralPurpose::new(alphabet, NO_PAD).encode(&bytes);
    let (first, end) = ((offset * 8).div_ceil(6), bytes.len() * 8 / 6);
    digits.as_bytes()[first..end].to_vec()
}

fn hex(secret: &[u8], found: &mut Forms) {
    let lower = hex::encode(secret);
    found.text(&lower.to_uppercase());
    // As `xxd -p` breaks it.
    found.lines_of(lower.as_bytes(), 60);
    found.text(&lower);
}

/// As libraries differ on what to leave alone, and on the case of the digits.
fn url(secret: &str, found: &mut Forms) {
    let strict = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let path = |byte: u8| strict(byte) || byte == b'/';
    let component = |byte: u8| strict(byte) || b"!'()*".contains(&byte);
    let whole = |byte: u8| component(byte) || b";,/?:@&=+$#".contains(&byte);
    let percent = |keep: &dyn Fn(u8) -> bool| -> String {
        secret
            .bytes()
            .map(|byte| {
                if keep(byte) {
                    (byte as char).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect()
    };
    for form in [percent(&strict), percent(&path), percent(&component), percent(&whole)] {
        found.text(&form.replace("%20", "+"));
        found.text(&lower_after_percent(&form));
        found.text(&form);
    }
}

fn lower_after_percent(form: &str) -> String {
    let mut digits_left = 0;
    let lowered = form.chars().map(|letter| {
        if letter == '%' {
            digits_left = 2;
            return letter;
        }
        let is_digit = digits_left > 0;
        digits_left -= i32::from(is_digit);
        if is_digit { letter.to_ascii_lowercase() } else { letter }
    });
    lowered.collect()
}

/// Inside a JSON string: plain, with `\/`, with `\u003c` (Go), in ASCII only (Python), and a string inside a string.
fn json(secret: &str, found: &mut Forms) {
    let plain = json_string(secret);
    found.text(&json_string(&plain));
    found.text(&plain.replace('/', "\\/"));
    found.text(
        &plain
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026"),
    );
    let mut ascii = String::new();
    for letter in plain.chars() {
        if letter.is_ascii() {
            ascii.push(letter);
        } else {
            letter
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}")));
        }
    }
    found.text(&ascii);
    found.text(&plain);
}

fn json_string(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn xml(secret: &str, found: &mut Forms) {
    let text = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    found.text(&text.replace('"', "&quot;"));
    for (double, single) in [
        ("&quot;", "&apos;"),
        ("&quot;", "&#39;"),
        ("&#34;", "&#39;"),
        ("&quot;", "&#x27;"),
    ] {
        found.text(&text.replace('"', double).replace('\'', single));
    }
    found.text(&text);
}

/// As shells print what they would run (`set -x`, `printf %q`), and as scripts quote for them.
fn shell(secret: &str, found: &mut Forms) {
    found.text(&secret.replace('\'', r"'\''"));
    found.text(&secret.replace('\'', r#"'"'"'"#));
    let before = |marked: &dyn Fn(char) -> bool| -> String {
        secret
            .chars()
            .flat_map(|letter| marked(letter).then_some('\\').into_iter().chain([letter]))
            .collect()
    };
    found.text(&before(&|letter| "$`\"\\".contains(letter)));
    found.text(&before(&|letter| {
        letter.is_ascii() && !letter.is_ascii_alphanumeric() && !"-_./:=@%+,\n".contains(letter)
    }));
    // $'…', and what it makes of other letters where the locale knows only ASCII.
    let ansi = before(&|letter| letter == '\'' || letter == '\\');
    let ansi = ansi.replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r");
    let octal = |byte: u8| {
        if byte.is_ascii() {
            (byte as char).to_string()
        } else {
            format!("\\{byte:03o}")
        }
    };
    found.text(&ansi.bytes().map(octal).collect::<String>());
    found.text(&ansi);
}
