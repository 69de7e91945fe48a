use super::wire::*;

fn frames_of(bytes: &[u8], limit: usize) -> Vec<Unframed> {
    let mut unframer = Unframer::new(limit);
    unframer.push(bytes);
    std::iter::from_fn(|| unframer.next_frame()).collect()
}

/// Texts that lie on the borders of the stuffing: run lengths around 8, 9 and 253, newlines everywhere.
fn awkward() -> Vec<Vec<u8>> {
    let mut texts = vec![
        vec![],
        b"\n".to_vec(),
        b"\n\n\n".to_vec(),
        (0..=255).collect(),
        vec![0; 1000],
        vec![10; 1000],
    ];
    for length in [1, 7, 8, 9, 10, 11, 252, 253, 254, 255, 505, 506, 507, 759, 16_000] {
        let plain = vec![b'x'; length];
        texts.push([&plain[..], b"\n"].concat());
        texts.push([b"\n", &plain[..]].concat());
        texts.push([&plain[..], b"\n", &plain[..]].concat());
        texts.push(plain);
    }
    texts
}

#[test]
fn stuffing_takes_every_newline_away_and_gives_the_same_bytes_back() {
    for text in awkward() {
        let mut stuffed = Vec::new();
        stuff(&text, &mut stuffed);
        assert_eq!(
            stuffed.iter().position(|byte| *byte == b'\n'),
            Some(stuffed.len() - 1),
            "{text:?}"
        );
        assert_eq!(unstuff(&stuffed[..stuffed.len() - 1]), Some(text));
    }
}

#[test]
fn a_full_frame_is_shorter_than_the_daemons_line_buffer() {
    for filling in [0, b'\n', b'x'] {
        let bytes = vec![filling; CHUNK_BYTES_MAX];
        let body = Body::Output {
            stream: Stream::Stdout,
            bytes,
        };
        let mut out = Vec::new();
        Frame {
            step: u32::MAX,
            seq: u64::MAX,
            at_ms: u64::MAX,
            body,
        }
        .encode(&mut out);
        assert!(out.len() <= FRAME_BYTES_MAX, "{} bytes of {filling}", out.len());
    }
}

#[test]
fn frames_come_out_whole_however_their_bytes_come_in() {
    let mut bytes = Vec::new();
    for text in awkward() {
        stuff(&text, &mut bytes);
    }
    let whole: Vec<Unframed> = awkward().into_iter().map(Unframed::Frame).collect();
    for piece in [1, 2, 3, 100, 4096, bytes.len()] {
        let mut unframer = Unframer::new(COMMAND_BYTES_MAX);
        let mut found = Vec::new();
        for part in bytes.chunks(piece) {
            unframer.push(part);
            found.extend(std::iter::from_fn(|| unframer.next_frame()));
        }
        assert!(found == whole, "in pieces of {piece}");
    }
}

#[test]
fn a_reader_that_joins_in_the_middle_is_in_step_after_one_newline() {
    let mut bytes = Command::Cancel { step: 7, grace_ms: 1 }.encode();
    bytes.drain(..3);
    bytes.extend(Command::Shutdown { grace_ms: 2 }.encode());
    let commands: Vec<Option<Command>> = frames_of(&bytes, COMMAND_BYTES_MAX)
        .into_iter()
        .map(|frame| match frame {
            Unframed::Frame(bytes) => Command::decode(&bytes),
            Unframed::Damaged(_) | Unframed::TooLong => None,
        })
        .collect();
    assert_eq!(commands, [None, Some(Command::Shutdown { grace_ms: 2 })]);
}

#[test]
fn a_frame_over_the_limit_is_dropped_and_told() {
    let mut bytes = vec![b'x'; 500];
    let mut unframer = Unframer::new(100);
    unframer.push(&bytes);
    assert_eq!(unframer.next_frame(), None);
    bytes = b"still the same frame\n\n\n".to_vec();
    stuff(b"next", &mut bytes);
    unframer.push(&bytes);
    assert_eq!(unframer.next_frame(), Some(Unframed::TooLong));
    assert_eq!(unframer.next_frame(), Some(Unframed::Frame(b"next".to_vec())));
    assert_eq!(unframer.next_frame(), None);
}

fn a_run() -> Run {
    Run {
        step: 3,
        argv: vec![vec!["bash".into(), "-eo".into(), "pipefail".into()], vec!["sh".into()]],
        env: vec![("A".into(), "b\nc".into()), ("EMPTY".into(), String::new())],
        dir: "/workspace".into(),
        user: "1000:1000".into(),
        owned: vec!["/workspace".into()],
        files: vec![FileIn {
            path: "/.drydock/run/3/OUT".into(),
            mode: 0o644,
            bytes: vec![0, 10, 255],
        }],
        read_back: vec![FileBack {
            path: "/.drydock/run/3/OUT".into(),
            bytes_max: 1024,
        }],
        timeout_ms: 1,
        grace_ms: u64::MAX,
    }
}

#[test]
fn every_command_survives_the_wire() {
    let commands = [
        Command::Run(a_run()),
        Command::Cancel {
            step: 1,
            grace_ms: 10_000,
        },
        Command::Shutdown { grace_ms: 0 },
        Command::Unpack {
            into: "/workspace".into(),
            piece: vec![0, 10, 255],
        },
        Command::UnpackEnd,
    ];
    for command in commands {
        let frames = frames_of(&command.encode(), COMMAND_BYTES_MAX);
        let [Unframed::Frame(bytes)] = &frames[..] else {
            panic!("{frames:?}")
        };
        assert_eq!(Command::decode(bytes), Some(command));
    }
}

#[test]
fn every_frame_survives_the_wire() {
    let ended = |how| {
        Body::Ended(Ended {
            how,
            cpu_us: 1,
            max_rss_bytes: 2,
            oom_kills: 3,
            took_ms: 4,
        })
    };
    let mut bodies = vec![
        Body::Ready { protocol: PROTOCOL },
        Body::Started { pid: 12 },
        Body::Output {
            stream: Stream::Stdout,
            bytes: vec![0, 10, 13, 255],
        },
        Body::Output {
            stream: Stream::Stderr,
            bytes: vec![],
        },
        Body::FilePart {
            index: 1,
            bytes: b"a=b\n".to_vec(),
        },
        Body::Refused { why: "no".into() },
        Body::Unpacked { trouble: None },
        Body::Unpacked {
            trouble: Some("no".into()),
        },
    ];
    let states = [
        FileState::Whole,
        FileState::Missing,
        FileState::TooLong(9),
        FileState::NotAFile,
    ];
    bodies.extend(
        states
            .into_iter()
            .chain([FileState::Unreadable(13)])
            .map(|state| Body::FileEnd { index: 0, state }),
    );
    bodies.extend([How::Exited(255), How::Signalled(9), How::TimedOut, How::Cancelled].map(ended));
    bodies.extend(Stage::ALL.map(|stage| {
        ended(How::CannotStart {
            stage,
            errno: 2,
            what: "bash".into(),
        })
    }));
    for body in bodies {
        let frame = Frame {
            step: 1,
            seq: 2,
            at_ms: 3,
            body,
        };
        let mut out = Vec::new();
        frame.encode(&mut out);
        let frames = frames_of(&out, FRAME_BYTES_MAX);
        let [Unframed::Frame(bytes)] = &frames[..] else {
            panic!("{frames:?}")
        };
        assert_eq!(Frame::decode(bytes), Some(frame));
    }
}

#[test]
fn a_long_text_is_cut_at_a_character() {
    let mut out = Vec::new();
    Frame {
        step: 0,
        seq: 0,
        at_ms: 0,
        body: Body::Refused {
            why: "ä".repeat(20_000),
        },
    }
    .encode(&mut out);
    assert!(out.len() <= FRAME_BYTES_MAX);
    let frames = frames_of(&out, FRAME_BYTES_MAX);
    let [Unframed::Frame(bytes)] = &frames[..] else {
        panic!("{frames:?}")
    };
    let Some(Frame {
        body: Body::Refused { why },
        ..
    }) = Frame::decode(bytes)
    else {
        panic!("no frame")
    };
    assert_eq!(why, "ä".repeat(4000));
}

#[test]
fn bytes_that_are_no_message_are_none_and_cost_no_memory() {
    let run = frames_of(&Command::Run(a_run()).encode(), COMMAND_BYTES_MAX);
    let [Unframed::Frame(good)] = &run[..] else {
        panic!("{run:?}")
    };
    for end in 0..good.len() {
        assert_eq!(Command::decode(&good[..end]), None);
    }
    // A list that says it is 4 GiB long.
    let mut lying = vec![0, 0, 0, 0, 1, 1, 0, 0, 0, 255, 255, 255, 255];
    lying[0] = lying.len() as u8;
    assert_eq!(Command::decode(&lying), None);
    assert_eq!(Frame::decode(b""), None);
    assert_eq!(unstuff(&[]), None);
    assert_eq!(unstuff(&[0]), None);
    assert_eq!(unstuff(&[5, 1, 2]), None);
}
