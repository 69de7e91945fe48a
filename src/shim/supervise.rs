//! The shim's one loop: commands in, steps watched, answers out. One thread, no lock, every wait in one `poll`.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::answer::Answers;
use crate::oom;
use crate::start::{self, Started};
use crate::sys::{self, Death, PollFd, Reaped, Usage};
use crate::unpack::Unpacker;
use crate::wire::{Body, COMMAND_BYTES_MAX, Command, Ended, How, PROTOCOL, Run, Stream, Unframed, Unframer};

/// A step whose program has ended is over when its pipes were silent for so long (a process that it left running may
/// hold them open for ever)...
const SILENCE: Duration = Duration::from_millis(100);
/// ...or when so long has passed, whatever they still say.
const DRAIN_MAX: Duration = Duration::from_secs(1);
/// After KILL the kernel may take its time (a process in an uninterruptible wait); then the step is over without it.
const KILL_MAX: Duration = Duration::from_secs(10);
/// Between TERM and KILL when the container is stopped from outside; the engine itself waits 10 s.
const STOP_GRACE: Duration = Duration::from_secs(8);

const READ_BYTES: usize = 64 * 1024;

pub fn run() -> ExitCode {
    match Supervisor::new() {
        Ok(mut supervisor) => supervisor.run(),
        Err(error) => {
            eprintln!("Drydock's shim cannot start: {error}");
            ExitCode::from(125)
        }
    }
}

struct Supervisor {
    answers: Answers,
    commands: Unframer,
    /// None once it has ended.
    stdin: Option<io::Stdin>,
    signals: OwnedFd,
    null: OwnedFd,
    step: Option<Step>,
    /// Pipes that processes of ended steps still hold.
    late: Vec<Pipe>,
    last_step: u32,
    /// A tar on its way, or what was wrong with it: the rest of it is passed over then.
    unpacking: Option<Result<Unpacker, String>>,
    /// Exit with this once nothing runs.
    leaving: Option<u8>,
    buffer: Vec<u8>,
}

struct Pipe {
    step: u32,
    stream: Stream,
    from: OwnedFd,
}

/// The step that runs.
struct Step {
    run: Run,
    pid: i32,
    begun: Instant,
    deadline: Option<Instant>,
    pipes: Vec<Pipe>,
    usage: Usage,
    oom_before: u32,
    death: Option<Death>,
    phase: Phase,
}

enum Phase {
    Running,
    /// Its program has ended by itself.
    /// * `owed`: bytes that stood in its pipes then and must still be read.
    Draining {
        since: Instant,
        heard: Instant,
        owed: usize,
    },
    /// TERM was sent to everything.
    Ending {
        how: How,
        kill_at: Instant,
        killed_at: Option<Instant>,
    },
}

/// When something happens next; `None` is never.
fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl Supervisor {
    fn new() -> io::Result<Self> {
        sys::hide();
        let signals = sys::signals()?;
        let stdin = io::stdin();
        sys::set_nonblocking(&stdin)?;
        Ok(Supervisor {
            answers: Answers::new()?,
            commands: Unframer::new(COMMAND_BYTES_MAX),
            stdin: Some(stdin),
            signals,
            null: File::open("/dev/null")?.into(),
            step: None,
            late: Vec::new(),
            last_step: 0,
            unpacking: None,
            leaving: None,
            buffer: vec![0; READ_BYTES],
        })
    }

    fn run(&mut self) -> ExitCode {
        self.answers.say(0, Body::Ready { protocol: PROTOCOL });
        loop {
            self.answers.flush();
            if let Some(code) = self.leaving
                && self.step.is_none()
                && self.answers.is_empty()
            {
                return ExitCode::from(code);
            }
            self.wait();
            self.take_signals();
            self.take_commands();
            self.read_pipes();
            self.advance();
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self) {
        let mut fds = vec![PollFd::new(&self.signals, sys::POLLIN)];
        if let Some(stdin) = &self.stdin {
            fds.push(PollFd::new(stdin, sys::POLLIN));
        }
        if !self.answers.is_empty() {
            fds.push(PollFd::new(self.answers.stdout(), sys::POLLOUT));
        }
        if self.answers.has_room() {
            let of_step = self.step.iter().flat_map(|step| &step.pipes);
            fds.extend(
                of_step
                    .chain(&self.late)
                    .map(|pipe| PollFd::new(&pipe.from, sys::POLLIN)),
            );
        }
        let timeout_ms = match self
            .step
            .as_ref()
            .and_then(|step| step.wakes_at(self.answers.has_room()))
        {
            // One more, so that the moment has come when the sleep is over.
            Some(at) => at.saturating_duration_since(Instant::now()).as_millis().min(60_000) as i32 + 1,
            None => -1,
        };
        sys::poll(&mut fds, timeout_ms);
    }

    fn take_signals(&mut self) {
        while let Some((signal, sender)) = sys::next_signal(&self.signals) {
            match signal {
                // Only from outside: a step cannot end its own PID 1.
                sys::SIGTERM | sys::SIGINT if sender == 0 => self.leave(128 + signal as u8, STOP_GRACE),
                // SIGCHLD; ended children are counted below.
                _ => {}
            }
        }
        loop {
            match sys::reap() {
                Reaped::Dead { pid, death, usage } => {
                    if let Some(step) = &mut self.step {
                        step.one_died(pid, death, usage);
                    }
                }
                Reaped::NoneYet => return,
                Reaped::NoChildren => {
                    if let Some(step) = &mut self.step {
                        step.all_died();
                    }
                    return;
                }
            }
        }
    }

    fn take_commands(&mut self) {
        while let Some(stdin) = &self.stdin {
            match sys::read_some(stdin, &mut self.buffer) {
                Ok(0) => {
                    // Nobody can ask for anything any more: what runs may end, then so does the container.
                    self.stdin = None;
                    self.leaving.get_or_insert(0);
                }
                Ok(count) => self.commands.push(&self.buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        while let Some(frame) = self.commands.next_frame() {
            let command = match &frame {
                Unframed::Frame(bytes) => Command::decode(bytes),
                Unframed::Damaged(_) | Unframed::TooLong => None,
            };
            match command {
                Some(Command::Run(run)) => self.start(run),
                Some(Command::Cancel { step, grace_ms }) => {
                    if let Some(running) = self.step.as_mut().filter(|running| running.run.step == step) {
                        running.end(How::Cancelled, Duration::from_millis(grace_ms));
                    }
                }
                Some(Command::Shutdown { grace_ms }) => self.leave(0, Duration::from_millis(grace_ms)),
                Some(Command::Unpack { into, piece }) => self.unpack(&into, &piece),
                Some(Command::UnpackEnd) => {
                    let ended = self
                        .unpacking
                        .take()
                        .map(|unpacking| unpacking.and_then(Unpacker::finish));
                    let trouble = ended.unwrap_or_else(|| Err("there was nothing to unpack".into())).err();
                    self.answers.say(0, Body::Unpacked { trouble });
                }
                None => self.refuse(0, "a command that is damaged, too long or of another protocol"),
            }
        }
    }

    fn unpack(&mut self, into: &str, piece: &[u8]) {
        let unpacking = self.unpacking.get_or_insert_with(|| Ok(Unpacker::new(into)));
        if let Ok(unpacker) = unpacking
            && let Err(trouble) = unpacker.push(piece)
        {
            *unpacking = Err(trouble);
        }
    }

    fn refuse(&mut self, step: u32, why: &str) {
        self.answers.say(step, Body::Refused { why: why.to_owned() });
    }

    fn start(&mut self, run: Run) {
        if run.step <= self.last_step {
            return self.refuse(run.step, "a step of this or a higher number was started before");
        }
        if self.step.is_some() || self.leaving.is_some() {
            return self.refuse(run.step, "another step is running or the container is being stopped");
        }
        self.last_step = run.step;
        let number = run.step;
        let (begun, oom_before) = (Instant::now(), oom::kills());
        match start::start(&run, &self.null) {
            Ok(Started { pid, pipes: [out, err] }) => {
                self.answers.say(number, Body::Started { pid: pid as u32 });
                let pipe = |stream, from| Pipe {
                    step: number,
                    stream,
                    from,
                };
                self.step = Some(Step {
                    pid,
                    begun,
                    deadline: (run.timeout_ms > 0).then(|| begun + Duration::from_millis(run.timeout_ms)),
                    pipes: vec![pipe(Stream::Stdout, out), pipe(Stream::Stderr, err)],
                    usage: Usage::default(),
                    oom_before,
                    death: None,
                    phase: Phase::Running,
                    run,
                });
            }
            Err(refusal) => {
                start::clear(&run);
                let how = How::CannotStart {
                    stage: refusal.stage,
                    errno: refusal.errno,
                    what: refusal.what,
                };
                let took_ms = begun.elapsed().as_millis() as u64;
                let ended = Ended {
                    how,
                    cpu_us: 0,
                    max_rss_bytes: 0,
                    oom_kills: 0,
                    took_ms,
                };
                self.answers.say(number, Body::Ended(ended));
            }
        }
    }

    /// Ends whatever runs, then this process.
    fn leave(&mut self, code: u8, grace: Duration) {
        self.leaving.get_or_insert(code);
        if let Some(step) = &mut self.step {
            step.end(How::Cancelled, grace);
        }
        // Without a step there are at most leftovers, and they go with PID 1.
    }

    fn read_pipes(&mut self) {
        if let Some(step) = &mut self.step {
            let (answers, buffer, phase) = (&mut self.answers, &mut self.buffer, &mut step.phase);
            step.pipes.retain(|pipe| pipe.read(answers, buffer, phase));
        }
        let (answers, buffer) = (&mut self.answers, &mut self.buffer);
        self.late.retain(|pipe| pipe.read(answers, buffer, &mut Phase::Running));
    }

    /// What time itself brings: limits, kills, a step's end.
    fn advance(&mut self) {
        let Some(step) = &mut self.step else { return };
        let now = Instant::now();
        if matches!(step.phase, Phase::Running) && step.deadline.is_some_and(|deadline| now >= deadline) {
            step.end(How::TimedOut, Duration::from_millis(step.run.grace_ms));
        }
        if let Phase::Ending { kill_at, killed_at, .. } = &mut step.phase
            && killed_at.is_none()
            && now >= *kill_at
        {
            *killed_at = Some(now);
            let _ = sys::send_signal(-1, sys::SIGKILL);
        }
        if step.is_over(now, self.answers.has_room())
            && let Some(step) = self.step.take()
        {
            self.finish(step);
        }
    }

    fn finish(&mut self, step: Step) {
        let number = step.run.step;
        for (index, wanted) in step.run.read_back.iter().enumerate() {
            self.answers.file(number, index as u32, wanted);
        }
        start::clear(&step.run);
        let how = match (step.phase, step.death) {
            (Phase::Ending { how, .. }, _) => how,
            (Phase::Running | Phase::Draining { .. }, Some(Death::Exited(code))) => How::Exited(code),
            (Phase::Running | Phase::Draining { .. }, Some(Death::Signalled(signal))) => How::Signalled(signal),
            // Not reached: a step that nobody ends is over only by its program's death.
            (Phase::Running | Phase::Draining { .. }, None) => How::Cancelled,
        };
        self.answers.say(
            number,
            Body::Ended(Ended {
                how,
                cpu_us: step.usage.cpu_us,
                max_rss_bytes: step.usage.max_rss_bytes,
                oom_kills: oom::kills().saturating_sub(step.oom_before),
                took_ms: step.begun.elapsed().as_millis() as u64,
            }),
        );
        self.late.extend(step.pipes);
    }
}

impl Pipe {
    /// Passes on what there is; false at its end.
    fn read(&self, answers: &mut Answers, buffer: &mut [u8], phase: &mut Phase) -> bool {
        if !answers.has_room() {
            return true;
        }
        match sys::read_some(&self.from, buffer) {
            Ok(0) => false,
            Ok(count) => {
                answers.output(self.step, self.stream, &buffer[..count]);
                if let Phase::Draining { heard, owed, .. } = phase {
                    *heard = Instant::now();
                    *owed = owed.saturating_sub(count);
                }
                true
            }
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }
}

impl Step {
    /// One process of the container was reaped: the step's own or one that lost its parent.
    fn one_died(&mut self, pid: i32, death: Death, usage: Usage) {
        self.usage.cpu_us += usage.cpu_us;
        self.usage.max_rss_bytes = self.usage.max_rss_bytes.max(usage.max_rss_bytes);
        if pid != self.pid {
            return;
        }
        self.death = Some(death);
        if let Phase::Running = self.phase {
            let now = Instant::now();
            let owed = self.pipes.iter().map(|pipe| sys::waiting(&pipe.from)).sum();
            self.phase = Phase::Draining {
                since: now,
                heard: now,
                owed,
            };
        }
    }

    /// No process is left in the container.
    fn all_died(&mut self) {
        if let Phase::Ending { kill_at, killed_at, .. } = &mut self.phase {
            // Nobody is left to wait for: as if killed, and the pipes are at their end.
            let now = Instant::now();
            *kill_at = now;
            killed_at.get_or_insert(now);
        }
    }

    /// TERM to everything now, KILL after the grace. A second call can only shorten the grace.
    fn end(&mut self, how: How, grace: Duration) {
        let kill_at = Instant::now() + grace;
        match &mut self.phase {
            Phase::Running => {
                let _ = sys::send_signal(-1, sys::SIGTERM);
                self.phase = Phase::Ending {
                    how,
                    kill_at,
                    killed_at: None,
                };
            }
            Phase::Ending { kill_at: before, .. } => *before = kill_at.min(*before),
            // Its program has ended already: that is its end.
            Phase::Draining { .. } => {}
        }
    }

    fn wakes_at(&self, can_read: bool) -> Option<Instant> {
        match &self.phase {
            Phase::Running => self.deadline,
            Phase::Draining { since, heard, .. } if can_read => {
                sooner(Some(*since + DRAIN_MAX), Some(*heard + SILENCE))
            }
            // The reader comes first, and its coming wakes us.
            Phase::Draining { .. } => None,
            Phase::Ending {
                kill_at,
                killed_at: None,
                ..
            } => Some(*kill_at),
            Phase::Ending {
                killed_at: Some(killed_at),
                ..
            } => Some(*killed_at + KILL_MAX),
        }
    }

    fn is_over(&self, now: Instant, can_read: bool) -> bool {
        match &self.phase {
            Phase::Running => false,
            Phase::Draining { since, heard, owed } => {
                let is_waited_for = can_read && *owed == 0;
                self.pipes.is_empty() || is_waited_for && (now >= *heard + SILENCE || now >= *since + DRAIN_MAX)
            }
            // Its processes are gone when its pipes are at their end.
            Phase::Ending { killed_at: None, .. } => false,
            Phase::Ending {
                killed_at: Some(killed_at),
                ..
            } => self.pipes.is_empty() || now >= *killed_at + KILL_MAX,
        }
    }
}
