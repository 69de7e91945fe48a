// What the server and the shim say to each other. Compiled twice: into the library (`crate::shim::wire`) and into the
// shim itself (`mod wire` of `main.rs`), so it uses `std` only.
//
// Both directions are a sequence of frames; a frame is its bytes with every newline stuffed away, then one newline.
// So a reader that joins in the middle (a restarted server, a log that was rotated) is in step again after the next
// newline; the daemon's log driver stores one entry for each frame, whatever the step prints; and no frame is as long
// as the daemon's line buffer, at whose border Docker 20.10 forgets newlines.
//
// Results are frames too: whatever the shim ever answered can be read again from the container's log.

/// Raised when a shim and a server of different versions would misunderstand each other.
pub const PROTOCOL: u32 = 1;

/// Longest frame on its way out, stuffed, newline included: one less than the daemon's line buffer of 16 KiB.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 - 1;

/// Most payload bytes in one frame on its way out. Leaves room for the header and the stuffing.
pub const CHUNK_BYTES_MAX: usize = 16_000;

/// Longest command a shim takes. A longer one is answered with [`Body::Refused`].
pub const COMMAND_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most bytes of a text inside a frame (an error's words); longer ones are cut.
const TEXT_BYTES_MAX: usize = 8_000;

const NEWLINE: u8 = b'\n';

/// Longest run of bytes behind one code byte.
const RUN_BYTES_MAX: usize = 253;

// ---------------------------------------------------------------------------------------------------- stuffing

/// Appends `bytes` without newlines, then one newline.
///
/// Consistent overhead byte stuffing (Cheshire and Baker, 1999) with the newline in the part of zero: a code byte says
/// how many bytes follow and that a newline stood after them, unless the run is the longest one.
pub fn stuff(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + bytes.len() / RUN_BYTES_MAX + 2);
    let mut rest = bytes;
    loop {
        let window = &rest[..rest.len().min(RUN_BYTES_MAX)];
        let newline = find_newline(window);
        let run = newline.unwrap_or(window.len());
        out.push(code_of(run));
        out.extend_from_slice(&rest[..run]);
        match newline {
            Some(at) => rest = &rest[at + 1..],
            None if run == RUN_BYTES_MAX && rest.len() > run => rest = &rest[run..],
            // The longest run stands for no newline, so a text that ends in one needs nothing behind it; every
            // shorter run does stand for one, and the reader drops the last.
            None => break,
        }
    }
    out.push(NEWLINE);
}

/// The bytes of one stuffed frame (its newline already taken off); `None` when it is damaged.
pub fn unstuff(frame: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(frame.len());
    let mut rest = frame;
    loop {
        let (code, behind) = rest.split_first()?;
        let run = run_of(*code)?;
        if behind.len() < run {
            return None;
        }
        bytes.extend_from_slice(&behind[..run]);
        rest = &behind[run..];
        if rest.is_empty() {
            return Some(bytes);
        }
        if run < RUN_BYTES_MAX {
            bytes.push(NEWLINE);
        }
    }
}

/// Code bytes count from 1 and leave the newline's own value (10) out.
fn code_of(run: usize) -> u8 {
    let code = if run < 9 { run + 1 } else { run + 2 };
    code as u8
}

fn run_of(code: u8) -> Option<usize> {
    match code {
        0 | NEWLINE => None,
        1..=9 => Some(usize::from(code) - 1),
        11.. => Some(usize::from(code) - 2),
    }
}

/// Where the next newline is. By way of `BufRead`, whose search is the C library's.
fn find_newline(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let skipped = std::io::BufRead::skip_until(&mut rest, NEWLINE).ok()?;
    let last = skipped.checked_sub(1)?;
    (bytes[last] == NEWLINE).then_some(last)
}

/// Collects bytes as they come and hands out whole frames, unstuffed.
pub struct Unframer {
    held: Vec<u8>,
    /// Bytes of `held` that were handed out already.
    start: usize,
    /// Bytes of `held` up to which there is no newline.
    searched: usize,
    limit: usize,
    /// The frame that is coming in is longer than `limit`: drop it up to its newline.
    dropping: bool,
}

/// One frame's fate.
#[derive(Debug, PartialEq)]
pub enum Unframed {
    Frame(Vec<u8>),
    /// So many bytes up to a newline that are no frame: cut off at the start, or damaged.
    Damaged(usize),
    /// A frame longer than the limit was dropped.
    TooLong,
}

impl Unframer {
    /// `limit`: bytes of the longest frame, stuffed.
    pub fn new(limit: usize) -> Self {
        Unframer {
            held: Vec::new(),
            start: 0,
            searched: 0,
            limit,
            dropping: false,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.held.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.held.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` when more bytes are needed.
    pub fn next_frame(&mut self) -> Option<Unframed> {
        loop {
            let Some(at) = find_newline(&self.held[self.searched..]) else {
                self.searched = self.held.len();
                if self.held.len() - self.start > self.limit {
                    (self.start, self.searched, self.dropping) = (0, 0, true);
                    self.held = Vec::new();
                }
                return None;
            };
            let frame = self.start..self.searched + at;
            self.start = frame.end + 1;
            self.searched = self.start;
            if std::mem::take(&mut self.dropping) {
                return Some(Unframed::TooLong);
            }
            // A lone newline is how a writer gets in step; it is no frame.
            if frame.is_empty() {
                continue;
            }
            let length = frame.len();
            return Some(match unstuff(&self.held[frame]) {
                Some(bytes) => Unframed::Frame(bytes),
                None => Unframed::Damaged(length),
            });
        }
    }
}

// ---------------------------------------------------------------------------------------------------- commands

/// What the server asks of the shim.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Run(Run),
    /// TERM to everything in the container, KILL after `grace_ms`. Of a step that is not running: nothing happens.
    /// A second one can only shorten the grace.
    Cancel {
        step: u32,
        grace_ms: u64,
    },
    /// As `Cancel` for whatever runs; then the shim exits, and the container with it.
    Shutdown {
        grace_ms: u64,
    },
    /// The next piece of a plain tar for the folder `into`. Several make one tar; `Unpacked` answers its end.
    Unpack {
        into: String,
        piece: Vec<u8>,
    },
    UnpackEnd,
}

/// One step. Numbers must rise; a number that the shim has seen is not run again, so that a server that does not know
/// whether its command arrived may send it again.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    pub step: u32,
    /// What to execute, in order of preference: the first whose program exists in the container is taken.
    pub argv: Vec<Vec<String>>,
    /// On top of the image's own environment.
    pub env: Vec<(String, String)>,
    /// Absolute. Must exist.
    pub dir: String,
    /// `name|uid[:group|gid]` as the container's own files know it; empty for root.
    pub user: String,
    /// Directories that the step's user must own: handed over, with all they hold, when they belong to somebody else.
    /// Ignored for root, whose capabilities let him write everywhere.
    pub owned: Vec<String>,
    pub files: Vec<FileIn>,
    pub read_back: Vec<FileBack>,
    /// 0 for no limit.
    pub timeout_ms: u64,
    /// Between TERM and KILL once the time is up.
    pub grace_ms: u64,
}

/// A file to write before the step starts; it belongs to the step's user and goes when the step has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct FileIn {
    pub path: String,
    pub mode: u32,
    pub bytes: Vec<u8>,
}

/// A file to read when the step has ended. Symbolic links are not followed.
#[derive(Debug, Clone, PartialEq)]
pub struct FileBack {
    pub path: String,
    pub bytes_max: u64,
}

// ---------------------------------------------------------------------------------------------------- answers

/// What the shim says, with its place in time.
/// * `step`: what it is about; 0 for the shim itself.
/// * `seq`: counts every frame of this container from 0, without gaps.
/// * `at_ms`: since the shim started, monotonic.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub step: u32,
    pub seq: u64,
    pub at_ms: u64,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// First of all.
    Ready {
        protocol: u32,
    },
    Started {
        pid: u32,
    },
    /// Bytes as the step wrote them. May also come after `Ended`, from what a step left running.
    Output {
        stream: Stream,
        bytes: Vec<u8>,
    },
    /// A part of the `index`th file of `read_back`, in order.
    FilePart {
        index: u32,
        bytes: Vec<u8>,
    },
    /// Nothing more of that file.
    FileEnd {
        index: u32,
        state: FileState,
    },
    /// The last of a step, but for late output.
    Ended(Ended),
    /// A tar is unpacked whole; else why not.
    Unpacked {
        trouble: Option<String>,
    },
    /// A command was not understood or not obeyed.
    Refused {
        why: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FileState {
    Whole,
    Missing,
    /// Its size; no part of it was sent.
    TooLong(u64),
    /// A directory, a link, a device...
    NotAFile,
    Unreadable(i32),
}

/// * `cpu_us`: user and system time of the step's processes that ended during the step.
/// * `max_rss_bytes`: the largest resident set of any one of them.
/// * `oom_kills`: processes that the kernel killed in this container for lack of memory while the step ran.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub how: How,
    pub cpu_us: u64,
    pub max_rss_bytes: u64,
    pub oom_kills: u32,
    pub took_ms: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum How {
    Exited(u8),
    Signalled(u8),
    TimedOut,
    Cancelled,
    CannotStart { stage: Stage, errno: i32, what: String },
}

/// Where starting a step failed. `what` of [`How::CannotStart`] names the file, user or program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A file could not be written.
    File,
    /// The user or group does not exist in the container.
    User,
    /// A directory could not be handed over to the user.
    Owner,
    /// No program of `argv` exists; `what` lists what was looked for.
    Program,
    /// The directory cannot be entered.
    Dir,
    /// No process could be made (`pids` limit, memory).
    Process,
    /// The program exists but the kernel does not execute it.
    Execute,
}

// ---------------------------------------------------------------------------------------------------- to bytes

impl Command {
    /// One whole frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        match self {
            Command::Run(run) => {
                to.u8(1);
                to.u32(run.step);
                to.list(&run.argv, |to, words| to.list(words, |to, word| to.text(word)));
                to.list(&run.env, |to, (name, value)| {
                    to.text(name);
                    to.text(value);
                });
                to.text(&run.dir);
                to.text(&run.user);
                to.list(&run.owned, |to, dir| to.text(dir));
                to.list(&run.files, |to, file| {
                    to.text(&file.path);
                    to.u32(file.mode);
                    to.bytes(&file.bytes);
                });
                to.list(&run.read_back, |to, file| {
                    to.text(&file.path);
                    to.u64(file.bytes_max);
                });
                to.u64(run.timeout_ms);
                to.u64(run.grace_ms);
            }
            Command::Cancel { step, grace_ms } => {
                to.u8(2);
                to.u32(*step);
                to.u64(*grace_ms);
            }
            Command::Shutdown { grace_ms } => {
                to.u8(3);
                to.u64(*grace_ms);
            }
            Command::Unpack { into, piece } => {
                to.u8(4);
                to.text(into);
                to.bytes(piece);
            }
            Command::UnpackEnd => to.u8(5),
        }
        to.framed()
    }

    /// From the bytes of one unstuffed frame; `None` when they are no command of this protocol.
    pub fn decode(bytes: &[u8]) -> Option<Command> {
        let mut from = Reader::of_frame(bytes)?;
        let command = match from.u8()? {
            1 => Command::Run(Run {
                step: from.u32()?,
                argv: from.list(|from| from.list(Reader::text))?,
                env: from.list(|from| Some((from.text()?, from.text()?)))?,
                dir: from.text()?,
                user: from.text()?,
                owned: from.list(Reader::text)?,
                files: from.list(|from| {
                    Some(FileIn {
                        path: from.text()?,
                        mode: from.u32()?,
                        bytes: from.bytes()?.to_vec(),
                    })
                })?,
                read_back: from.list(|from| {
                    Some(FileBack {
                        path: from.text()?,
                        bytes_max: from.u64()?,
                    })
                })?,
                timeout_ms: from.u64()?,
                grace_ms: from.u64()?,
            }),
            2 => Command::Cancel {
                step: from.u32()?,
                grace_ms: from.u64()?,
            },
            3 => Command::Shutdown { grace_ms: from.u64()? },
            4 => Command::Unpack {
                into: from.text()?,
                piece: from.bytes()?.to_vec(),
            },
            5 => Command::UnpackEnd,
            _ => return None,
        };
        from.is_at_end().then_some(command)
    }
}

impl Frame {
    /// Appends one whole frame. Bytes and texts must fit: see [`CHUNK_BYTES_MAX`]; texts are cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut to = Writer::default();
        to.u32(self.step);
        to.u64(self.seq);
        to.u64(self.at_ms);
        match &self.body {
            Body::Ready { protocol } => {
                to.u8(1);
                to.u32(*protocol);
            }
            Body::Started { pid } => {
                to.u8(2);
                to.u32(*pid);
            }
            Body::Output { stream, bytes } => {
                to.u8(match stream {
                    Stream::Stdout => 3,
                    Stream::Stderr => 4,
                });
                to.bytes(bytes);
            }
            Body::FilePart { index, bytes } => {
                to.u8(5);
                to.u32(*index);
                to.bytes(bytes);
            }
            Body::FileEnd { index, state } => {
                to.u8(6);
                to.u32(*index);
                match state {
                    FileState::Whole => to.u8(0),
                    FileState::Missing => to.u8(1),
                    FileState::TooLong(size) => {
                        to.u8(2);
                        to.u64(*size);
                    }
                    FileState::NotAFile => to.u8(3),
                    FileState::Unreadable(errno) => {
                        to.u8(4);
                        to.u32(*errno as u32);
                    }
                }
            }
            Body::Ended(ended) => {
                to.u8(7);
                match &ended.how {
                    How::Exited(code) => {
                        to.u8(0);
                        to.u8(*code);
                    }
                    How::Signalled(signal) => {
                        to.u8(1);
                        to.u8(*signal);
                    }
                    How::TimedOut => to.u8(2),
                    How::Cancelled => to.u8(3),
                    How::CannotStart { stage, errno, what } => {
                        to.u8(4);
                        to.u8(*stage as u8);
                        to.u32(*errno as u32);
                        to.text(cut(what));
                    }
                }
                to.u64(ended.cpu_us);
                to.u64(ended.max_rss_bytes);
                to.u32(ended.oom_kills);
                to.u64(ended.took_ms);
            }
            Body::Refused { why } => {
                to.u8(8);
                to.text(cut(why));
            }
            Body::Unpacked { trouble } => {
                to.u8(9);
                to.list(trouble.as_slice(), |to, why| to.text(cut(why)));
            }
        }
        to.framed_into(out);
    }

    /// From the bytes of one unstuffed frame; `None` when they are no frame of this protocol.
    pub fn decode(bytes: &[u8]) -> Option<Frame> {
        let mut from = Reader::of_frame(bytes)?;
        let (step, seq, at_ms) = (from.u32()?, from.u64()?, from.u64()?);
        let body = match from.u8()? {
            1 => Body::Ready { protocol: from.u32()? },
            2 => Body::Started { pid: from.u32()? },
            3 => Body::Output {
                stream: Stream::Stdout,
                bytes: from.bytes()?.to_vec(),
            },
            4 => Body::Output {
                stream: Stream::Stderr,
                bytes: from.bytes()?.to_vec(),
            },
            5 => Body::FilePart {
                index: from.u32()?,
                bytes: from.bytes()?.to_vec(),
            },
            6 => Body::FileEnd {
                index: from.u32()?,
                state: match from.u8()? {
                    0 => FileState::Whole,
                    1 => FileState::Missing,
                    2 => FileState::TooLong(from.u64()?),
                    3 => FileState::NotAFile,
                    4 => FileState::Unreadable(from.u32()? as i32),
                    _ => return None,
                },
            },
            7 => Body::Ended(Ended {
                how: match from.u8()? {
                    0 => How::Exited(from.u8()?),
                    1 => How::Signalled(from.u8()?),
                    2 => How::TimedOut,
                    3 => How::Cancelled,
                    4 => How::CannotStart {
                        stage: Stage::from_number(from.u8()?)?,
                        errno: from.u32()? as i32,
                        what: from.text()?,
                    },
                    _ => return None,
                },
                cpu_us: from.u64()?,
                max_rss_bytes: from.u64()?,
                oom_kills: from.u32()?,
                took_ms: from.u64()?,
            }),
            8 => Body::Refused { why: from.text()? },
            9 => Body::Unpacked {
                trouble: from.list(Reader::text)?.pop(),
            },
            _ => return None,
        };
        from.is_at_end().then_some(Frame { step, seq, at_ms, body })
    }
}

impl Stage {
    pub const ALL: [Stage; 7] = [
        Stage::File,
        Stage::User,
        Stage::Owner,
        Stage::Program,
        Stage::Dir,
        Stage::Process,
        Stage::Execute,
    ];

    pub fn from_number(number: u8) -> Option<Stage> {
        Stage::ALL.get(usize::from(number)).copied()
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Little-endian numbers, lengths before what they count, the whole frame's length first (a frame that was cut off at
/// its end is told by it).
struct Writer(Vec<u8>);

impl Default for Writer {
    fn default() -> Self {
        Writer(vec![0; 4])
    }
}

impl Writer {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.u32(items.len() as u32);
        for item in items {
            each(self, item);
        }
    }

    fn framed_into(mut self, out: &mut Vec<u8>) {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_le_bytes());
        stuff(&self.0, out);
    }

    fn framed(self) -> Vec<u8> {
        let mut out = Vec::new();
        self.framed_into(&mut out);
        out
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn of_frame(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        (reader.u32()? as usize == bytes.len()).then_some(reader)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        if self.0.len() < count {
            return None;
        }
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.u32()? as usize;
        // Every item takes four bytes at least, so a length that lies costs no memory.
        let mut items = Vec::with_capacity(length.min(self.0.len() / 4));
        for _ in 0..length {
            items.push(each(self)?);
        }
        Some(items)
    }

    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}
