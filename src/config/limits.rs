//! Every default and limit that is a number, once, with its unit in its name.

pub const DEFAULT_PORT: u16 = 8470;

/// Webhooks: forges cut their own payloads at 25 MiB.
pub const HOOK_BYTES_MAX: u64 = 25 * 1024 * 1024;
/// Bodies of API requests.
pub const API_BYTES_MAX: usize = 1024 * 1024;
/// A request's line and headers must have arrived within this time, and an idle connection is closed after it.
pub const HEADERS_SECONDS_MAX: u64 = 10;
/// A request's body must have arrived within this time.
pub const BODY_SECONDS_MAX: u64 = 30;
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
pub const HEADERS_MAX: usize = 100;
pub const CONNECTIONS_MAX: u32 = 4096;
/// Over all secrets that are tried for one webhook whose URL does not say its repository.
pub const HOOK_VERIFY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A webhook waits so long for the database, then is answered 503.
pub const STORE_SECONDS_MAX: u64 = 5;
/// A silent follower of events is sent a comment.
pub const LIVE_PING_SECONDS: u64 = 15;
/// Between SIGTERM and the end of the process.
pub const SHUTDOWN_SECONDS_MAX: u64 = 9;

/// Rows of one page of a list.
pub const PAGE_ROWS: u32 = 50;
pub const PAGE_ROWS_MAX: u32 = 500;
/// Events of one answer.
pub const EVENTS_PAGE_MAX: u32 = 5000;

pub const PIPELINES_AT_ONCE: u32 = 4;
/// A claim that is not renewed for this long is another's.
pub const LEASE_SECONDS: u64 = 120;
pub const LEASE_RENEW_SECONDS: u64 = 30;
/// The queue is looked at this often, besides whenever something arrives.
pub const QUEUE_LOOK_SECONDS: u64 = 5;
/// How often a pipeline is started when the machine, not the pipeline, fails.
pub const PIPELINE_ATTEMPTS_MAX: u32 = 2;
pub const GRACE_SECONDS: u64 = 10;

/// Log lines are stored when so many bytes wait or this much time has passed.
pub const LOG_FLUSH_BYTES: usize = 256 * 1024;
pub const LOG_FLUSH_MILLISECONDS: u64 = 100;
/// Waiting log bytes at which a step's output is held back.
pub const LOG_WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

pub const JOB_MEMORY_BYTES: u64 = 4 * 1024 * 1024 * 1024;
pub const JOB_PIDS: u32 = 1024;
pub const JOB_TIMEOUT_SECONDS: u64 = 3600;

/// To look up a branch's newest commit while somebody waits for the answer.
pub const BRANCH_SECONDS_MAX: u64 = 20;
pub const CLONE_SECONDS_MAX: u64 = 600;
pub const CLONE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
pub const CLONE_OBJECTS_MAX: u64 = 5_000_000;

/// A status that could not be delivered for this long is given up, and said so.
pub const STATUS_KEPT_HOURS: u64 = 72;
/// Statuses on their way to a forge at once.
pub const STATUSES_AT_ONCE: usize = 8;
/// One try of a commit status.
pub const STATUS_SECONDS_MAX: u64 = 20;

pub const PIPELINES_KEPT_DAYS: u64 = 90;
pub const DELIVERIES_KEPT_DAYS: u64 = 7;
/// How often what is too old is removed.
pub const RETENTION_LOOK_SECONDS: u64 = 3600;
