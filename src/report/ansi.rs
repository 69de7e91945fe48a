//! Terminal text that strangers wrote: colours pass, everything else that a terminal would obey does not (S33).

/// Keeps SGR sequences (`ESC [ … m`) when `colour`, and drops every other control sequence and control character but tab.
pub fn tame(text: &str, colour: bool) -> String {
    if !text.bytes().any(|byte| byte < 0x20 || byte == 0x7f || byte == 0xc2) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut coloured = false;
    while let Some(c) = rest.next() {
        match c {
            '\t' => out.push(c),
            '\u{1b}' => match rest.peek() {
                Some('[') => {
                    rest.next();
                    let mut sequence = String::new();
                    let last = loop {
                        match rest.next() {
                            Some(c @ '\u{40}'..='\u{7e}') => break Some(c),
                            Some(c) if sequence.len() < 64 => sequence.push(c),
                            Some(_) | None => break None,
                        }
                    };
                    let is_sgr =
                        last == Some('m') && sequence.chars().all(|c| c.is_ascii_digit() || c == ';' || c == ':');
                    if is_sgr && colour {
                        coloured = true;
                        out.push_str("\u{1b}[");
                        out.push_str(&sequence);
                        out.push('m');
                    }
                }
                // OSC, DCS, SOS, PM, APC: skip to the terminator.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while let Some(c) = rest.next() {
                        if c == '\u{7}' || c == '\u{9c}' {
                            break;
                        }
                        if c == '\u{1b}' {
                            rest.next_if_eq(&'\\');
                            break;
                        }
                    }
                }
                Some(_) => drop(rest.next()),
                None => {}
            },
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    if coloured {
        out.push_str("\u{1b}[0m");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::tame;

    #[test]
    fn only_colours_reach_the_terminal() {
        for (text, with, without) in [
            ("plain ü", "plain ü", "plain ü"),
            ("\u{1b}[31mred\u{1b}[0m", "\u{1b}[31mred\u{1b}[0m\u{1b}[0m", "red"),
            ("a\u{1b}[2Jb\u{1b}[10;10Hc", "abc", "abc"),
            ("a\u{1b}]52;c;ZXZpbA==\u{7}b", "ab", "ab"),
            ("a\u{1b}]0;title\u{1b}\\b", "ab", "ab"),
            ("a\u{1b}Pdcs\u{1b}\\b\u{9b}31m", "ab31m", "ab31m"),
            ("tab\there\rback\u{8}\u{7}", "tab\thereback", "tab\thereback"),
            ("end\u{1b}", "end", "end"),
            ("\u{1b}[?25lhidden", "hidden", "hidden"),
        ] {
            assert_eq!(tame(text, true), with, "{text:?}");
            assert_eq!(tame(text, false), without, "{text:?}");
        }
    }
}
