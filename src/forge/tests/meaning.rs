use std::fmt::Write;

use super::*;
use crate::event::{Changed, Event, Trigger};
use crate::forge::compose::Hook;
use crate::forge::{Start, Understood};
use serde_json::{Value, json};

/// A payload, and what is changed in it before it is read: JSON pointers and values; `null` takes away.
struct Case {
    name: &'static str,
    event: &'static str,
    payload: Value,
}

fn case(name: &'static str, event: &'static str, mut payload: Value, changes: &[(&str, Value)]) -> Case {
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        payload.pointer_mut(parent).unwrap()[key] = value.clone();
    }
    Case { name, event, payload }
}

fn event_header(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::GitHub => "X-GitHub-Event",
        ForgeKind::GitLab => "X-Gitlab-Event",
        ForgeKind::Gitea => "X-Gitea-Event",
    }
}

fn understand(kind: ForgeKind, case: &Case) -> Result<Understood, crate::forge::WebhookError> {
    let headers = header_map(&[(event_header(kind), case.event)]);
    forge_of(kind).parse(&headers, case.payload.to_string().as_bytes())
}

/// Each case with its answer and, indented, what would start.
fn table(kind: ForgeKind, cases: Vec<Case>) -> String {
    let mut text = String::new();
    for case in cases {
        let understood = understand(kind, &case).unwrap();
        let answer = serde_json::to_string(&understood.answer(None)).unwrap();
        let answer = answer.replace(&"a".repeat(40), "aaaa").replace(&"c".repeat(40), "cccc");
        writeln!(text, "{}: {answer}", case.name).unwrap();
        let (word, trigger) = match &understood.start {
            Start::Pipeline(trigger) => ("runs", trigger),
            Start::SkippedByAuthor(trigger) => ("skipped", trigger),
            Start::OnlyIfNamed(trigger) => ("if named", trigger),
            Start::Nothing => continue,
        };
        writeln!(text, "  {word}: {}", in_short(trigger)).unwrap();
    }
    text
}

fn in_short(trigger: &Trigger) -> String {
    let event = match &trigger.event {
        Event::Push { branch, before, forced } => {
            format!(
                "push {branch} before={} forced={forced}",
                before.as_ref().map_or("-", |sha| sha.short())
            )
        }
        Event::Tag { tag } => format!("tag {tag}"),
        Event::PullRequest(request) => format!(
            "#{} {} {}:{} -> {} draft={} labels={:?}",
            request.number,
            request.action,
            request.source_repo,
            request.source_branch,
            request.target_branch,
            request.draft,
            request.labels
        ),
        Event::Schedule { .. } | Event::Manual { .. } => "never from a forge".to_owned(),
    };
    let changed = match &trigger.changed {
        Changed::Paths(paths) => paths.join(","),
        Changed::Unknown => "?".to_owned(),
    };
    format!(
        "{event} at {} {} by {} {:?} changed={changed}",
        trigger.commit.short(),
        trigger.git_ref,
        trigger.actor,
        trigger.trust
    )
}

fn commit(files: &[&str]) -> Value {
    json!({ "id": "c".repeat(40), "message": "m", "added": files, "removed": [], "modified": [] })
}

const ZERO: &str = "0000000000000000000000000000000000000000";

#[test]
fn github_says_what_its_events_mean() {
    let kind = ForgeKind::GitHub;
    let (push, tag, request) = (push().payload(kind), tag().payload(kind), pull_request().payload(kind));
    let stranger = json!({ "full_name": "stranger/web", "id": 2 });
    let skip = json!({ "id": "a".repeat(40), "message": "typo [skip ci]" });
    let many: Vec<Value> = (0..2048).map(|_| commit(&["x"])).collect();
    insta::assert_snapshot!(table(kind, vec![
        case("push", "push", push.clone(), &[]),
        case("push elsewhere", "push", push.clone(), &[("/ref", json!("refs/heads/topic/x"))]),
        case("new branch", "push", push.clone(), &[("/before", json!(ZERO)), ("/created", json!(true))]),
        case("forced", "push", push.clone(), &[("/forced", json!(true))]),
        case("no commits", "push", push.clone(), &[("/commits", json!([])), ("/head_commit", json!(null))]),
        case("many commits", "push", push.clone(), &[("/commits", json!(many))]),
        case("skipped", "push", push.clone(), &[("/head_commit", skip)]),
        case("null message", "push", push.clone(), &[("/head_commit/message", json!(null))]),
        case("branch deleted", "push", push.clone(), &[("/deleted", json!(true)), ("/after", json!(ZERO))]),
        case("neither branch nor tag", "push", push.clone(), &[("/ref", json!("refs/notes/commits"))]),
        case("tag", "push", tag.clone(), &[]),
        case("annotated tag", "push", tag.clone(), &[("/after", json!("d".repeat(40)))]),
        case("tag deleted", "push", tag.clone(), &[("/after", json!(ZERO)), ("/head_commit", json!(null))]),
        case("opened", "pull_request", request.clone(), &[]),
        case("new commits", "pull_request", request.clone(), &[("/action", json!("synchronize"))]),
        case("draft", "pull_request", request.clone(), &[("/pull_request/draft", json!(true))]),
        case("labeled", "pull_request", request.clone(), &[
            ("/action", json!("labeled")),
            ("/pull_request/labels", json!([{ "name": "ship it" }, { "name": null }])),
        ]),
        case("closed", "pull_request", request.clone(), &[("/action", json!("closed"))]),
        case("no action", "pull_request", request.clone(), &[("/action", json!(null))]),
        case("from a fork", "pull_request", request.clone(), &[("/pull_request/head/repo", stranger)]),
        case("from a deleted fork", "pull_request", request.clone(), &[("/pull_request/head/repo", json!(null))]),
        case("same name, another id", "pull_request", request.clone(), &[
            ("/pull_request/head/repo/id", json!(2)),
            ("/pull_request/base/repo/id", json!(1)),
        ]),
        case("no head", "pull_request", request.clone(), &[("/pull_request/head", json!(null))]),
        case("delete event", "delete", json!({ "ref": "topic", "ref_type": "branch", "repository": { "full_name": "team/web" } }), &[]),
        case("create event", "create", json!({ "ref": "topic", "ref_type": "branch", "repository": { "full_name": "team/web" } }), &[]),
        case("ping", "ping", json!({ "zen": "Keep it logically awesome.", "hook_id": 1 }), &[]),
        case("release", "release", json!({ "action": "published", "repository": { "name": "web", "owner": { "login": "team" } } }), &[]),
        case("odd repository, of no matter", "watch", json!({ "repository": "?" }), &[]),
    ]), @r#"
    push: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`"}
      runs: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=src/page.rs
    push elsewhere: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/topic/x","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `topic/x`"}
      runs: push topic/x before=bbbbbbbb forced=false at aaaaaaaa refs/heads/topic/x by maria Member changed=src/page.rs
    new branch: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"the new branch `main` was pushed"}
      runs: push main before=- forced=false at aaaaaaaa refs/heads/main by maria Protected changed=?
    forced: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`"}
      runs: push main before=bbbbbbbb forced=true at aaaaaaaa refs/heads/main by maria Protected changed=?
    no commits: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`"}
      runs: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=?
    many commits: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`"}
      runs: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=?
    skipped: {"kind":"push","run":false,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`, but the message of aaaaaaaa says `[skip ci]`"}
      skipped: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=src/page.rs
    null message: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`"}
      runs: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=src/page.rs
    branch deleted: {"kind":"delete","run":false,"repo":"team/web","sha":null,"ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"the branch `main` was deleted: there is nothing to run on"}
    neither branch nor tag: {"kind":"other","run":false,"repo":"team/web","sha":null,"ref":"refs/notes/commits","base":null,"fork":false,"pipeline":null,"reason":"`refs/notes/commits` is neither a branch nor a tag"}
    tag: {"kind":"tag","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/tags/v1.2","base":null,"fork":false,"pipeline":null,"reason":"the tag `v1.2` was pushed"}
      runs: tag v1.2 at aaaaaaaa refs/tags/v1.2 by maria Protected changed=?
    annotated tag: {"kind":"tag","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/tags/v1.2","base":null,"fork":false,"pipeline":null,"reason":"the tag `v1.2` was pushed"}
      runs: tag v1.2 at aaaaaaaa refs/tags/v1.2 by maria Protected changed=?
    tag deleted: {"kind":"delete","run":false,"repo":"team/web","sha":null,"ref":"refs/tags/v1.2","base":null,"fork":false,"pipeline":null,"reason":"the tag `v1.2` was deleted: there is nothing to run on"}
    opened: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":false,"pipeline":null,"reason":"pull request #7 was opened"}
      runs: #7 opened team/web:page -> main draft=false labels=[] at aaaaaaaa refs/pull/7/head by maria Member changed=?
    new commits: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":false,"pipeline":null,"reason":"pull request #7 has new commits"}
      runs: #7 synchronize team/web:page -> main draft=false labels=[] at aaaaaaaa refs/pull/7/head by maria Member changed=?
    draft: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":false,"pipeline":null,"reason":"pull request #7 was opened"}
      runs: #7 opened team/web:page -> main draft=true labels=[] at aaaaaaaa refs/pull/7/head by maria Member changed=?
    labeled: {"kind":"pull_request","run":false,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":false,"pipeline":null,"reason":"pull request #7: `labeled` changes no commit, so only workflows that name it would run"}
      if named: #7 labeled team/web:page -> main draft=false labels=["ship it"] at aaaaaaaa refs/pull/7/head by maria Member changed=?
    closed: {"kind":"pull_request","run":false,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":false,"pipeline":null,"reason":"pull request #7: `closed` changes no commit, so only workflows that name it would run"}
      if named: #7 closed team/web:page -> main draft=false labels=[] at aaaaaaaa refs/pull/7/head by maria Member changed=?
    no action: {"kind":"pull_request","run":false,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":false,"pipeline":null,"reason":"the payload does not tell what happened to pull request #7"}
    from a fork: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":true,"pipeline":null,"reason":"pull request #7 was opened"}
      runs: #7 opened stranger/web:page -> main draft=false labels=[] at aaaaaaaa refs/pull/7/head by maria Fork changed=?
    from a deleted fork: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":true,"pipeline":null,"reason":"pull request #7 was opened"}
      runs: #7 opened :page -> main draft=false labels=[] at aaaaaaaa refs/pull/7/head by maria Fork changed=?
    same name, another id: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":true,"pipeline":null,"reason":"pull request #7 was opened"}
      runs: #7 opened :page -> main draft=false labels=[] at aaaaaaaa refs/pull/7/head by maria Fork changed=?
    no head: {"kind":"pull_request","run":false,"repo":"team/web","sha":null,"ref":"refs/pull/7/merge","base":"main","fork":true,"pipeline":null,"reason":"the payload does not tell the pull request's head commit, so nothing can be run"}
    delete event: {"kind":"delete","run":false,"repo":"team/web","sha":null,"ref":null,"base":null,"fork":false,"pipeline":null,"reason":"the branch `topic` was deleted: there is nothing to run on"}
    create event: {"kind":"other","run":false,"repo":"team/web","sha":null,"ref":null,"base":null,"fork":false,"pipeline":null,"reason":"a branch or tag was created: the push that comes with it says the rest"}
    ping: {"kind":"ping","run":false,"repo":null,"sha":null,"ref":null,"base":null,"fork":false,"pipeline":null,"reason":"the webhook works"}
    release: {"kind":"other","run":false,"repo":"team/web","sha":null,"ref":null,"base":null,"fork":false,"pipeline":null,"reason":"`release` starts no pipeline: pushes, tags and pull requests do"}
    odd repository, of no matter: {"kind":"other","run":false,"repo":null,"sha":null,"ref":null,"base":null,"fork":false,"pipeline":null,"reason":"`watch` starts no pipeline: pushes, tags and pull requests do"}
    "#);
}

#[test]
fn gitea_forgejo_and_gogs_say_what_their_events_mean() {
    let kind = ForgeKind::Gitea;
    let (push, tag, request) = (push().payload(kind), tag().payload(kind), pull_request().payload(kind));
    let gogs_request = json!({
        "action": "opened",
        "number": 3,
        "pull_request": {
            "title": "A page",
            "head_branch": "page", "head_repo": { "full_name": "stranger/web" },
            "base_branch": "main", "base_repo": { "full_name": "team/web" },
        },
        "repository": { "full_name": "team/web" },
        "sender": { "username": "maria" },
    });
    insta::assert_snapshot!(table(kind, vec![
        case("push", "push", push.clone(), &[]),
        case("cut list of commits", "push", push.clone(), &[("/total_commits", json!(31))]),
        case("no count of commits", "push", push.clone(), &[("/total_commits", json!(null))]),
        case("tag", "push", tag, &[]),
        case("branch deleted", "push", push, &[("/after", json!(ZERO))]),
        case("opened", "pull_request", request.clone(), &[]),
        case("new commits", "pull_request", request.clone(), &[("/action", json!("synchronized"))]),
        case("labels", "pull_request", request.clone(), &[("/action", json!("label_updated"))]),
        case("WIP", "pull_request", request.clone(), &[("/pull_request/title", json!("WIP: page")), ("/pull_request/draft", json!(null))]),
        case("reviewed", "pull_request_approved", request, &[]),
        case("Gogs: no commit told", "pull_request", gogs_request, &[]),
        case("create", "create", json!({ "ref": "v1", "ref_type": "tag", "repository": { "full_name": "team/web" } }), &[]),
        case("delete", "delete", json!({ "ref": "v1", "ref_type": "tag", "repository": { "full_name": "team/web" } }), &[]),
    ]), @r#"
    push: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`"}
      runs: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=src/page.rs
    cut list of commits: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`"}
      runs: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=?
    no count of commits: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`"}
      runs: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=?
    tag: {"kind":"tag","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/tags/v1.2","base":null,"fork":false,"pipeline":null,"reason":"the tag `v1.2` was pushed"}
      runs: tag v1.2 at aaaaaaaa refs/tags/v1.2 by maria Protected changed=?
    branch deleted: {"kind":"delete","run":false,"repo":"team/web","sha":null,"ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"the branch `main` was deleted: there is nothing to run on"}
    opened: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":false,"pipeline":null,"reason":"pull request #7 was opened"}
      runs: #7 opened team/web:page -> main draft=false labels=[] at aaaaaaaa refs/pull/7/head by maria Member changed=?
    new commits: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":false,"pipeline":null,"reason":"pull request #7 has new commits"}
      runs: #7 synchronize team/web:page -> main draft=false labels=[] at aaaaaaaa refs/pull/7/head by maria Member changed=?
    labels: {"kind":"pull_request","run":false,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":false,"pipeline":null,"reason":"pull request #7: `labeled` changes no commit, so only workflows that name it would run"}
      if named: #7 labeled team/web:page -> main draft=false labels=[] at aaaaaaaa refs/pull/7/head by maria Member changed=?
    WIP: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/pull/7/merge","base":"main","fork":false,"pipeline":null,"reason":"pull request #7 was opened"}
      runs: #7 opened team/web:page -> main draft=true labels=[] at aaaaaaaa refs/pull/7/head by maria Member changed=?
    reviewed: {"kind":"other","run":false,"repo":"team/web","sha":null,"ref":null,"base":null,"fork":false,"pipeline":null,"reason":"`pull_request_approved` starts no pipeline: pushes, tags and pull requests do"}
    Gogs: no commit told: {"kind":"pull_request","run":false,"repo":"team/web","sha":null,"ref":"refs/pull/3/merge","base":"main","fork":true,"pipeline":null,"reason":"the payload does not tell the pull request's head commit, so nothing can be run"}
    create: {"kind":"other","run":false,"repo":"team/web","sha":null,"ref":null,"base":null,"fork":false,"pipeline":null,"reason":"a branch or tag was created: the push that comes with it says the rest"}
    delete: {"kind":"delete","run":false,"repo":"team/web","sha":null,"ref":null,"base":null,"fork":false,"pipeline":null,"reason":"the tag `v1` was deleted: there is nothing to run on"}
    "#);
}

#[test]
fn gitlab_says_what_its_events_mean() {
    let kind = ForgeKind::GitLab;
    let (push, tag, request) = (push().payload(kind), tag().payload(kind), pull_request().payload(kind));
    let (to_push, to_tag, to_request) = ("Push Hook", "Tag Push Hook", "Merge Request Hook");
    insta::assert_snapshot!(table(kind, vec![
        case("push", to_push, push.clone(), &[]),
        case("system hook", "System Hook", push.clone(), &[("/object_kind", json!(null))]),
        case("subgroup", to_push, push.clone(), &[("/project/path_with_namespace", json!("team/sub/deep/web"))]),
        case("new branch", to_push, push.clone(), &[("/before", json!(ZERO))]),
        case("21 commits, 20 told", to_push, push.clone(), &[("/total_commits_count", json!(21))]),
        case("skipped", to_push, push.clone(), &[("/commits/0/message", json!("typo\n\n[ci skip]"))]),
        case("pushed with -o ci.skip", to_push, push.clone(), &[("/push_options", json!({ "ci": { "skip": true } }))]),
        case("branch deleted", to_push, push.clone(), &[("/after", json!(ZERO)), ("/checkout_sha", json!(null))]),
        case("tag", to_tag, tag.clone(), &[]),
        case("annotated tag", to_tag, tag.clone(), &[("/after", json!("d".repeat(40)))]),
        case("tag deleted", to_tag, tag, &[("/after", json!(ZERO)), ("/checkout_sha", json!(null))]),
        case("opened", to_request, request.clone(), &[]),
        case("reopened", to_request, request.clone(), &[("/object_attributes/action", json!("reopen"))]),
        case("new commits", to_request, request.clone(), &[
            ("/object_attributes/action", json!("update")),
            ("/object_attributes/oldrev", json!("b".repeat(40))),
        ]),
        case("only edited", to_request, request.clone(), &[("/object_attributes/action", json!("update"))]),
        case("merged", to_request, request.clone(), &[("/object_attributes/action", json!("merge"))]),
        case("approved", to_request, request.clone(), &[("/object_attributes/action", json!("approved"))]),
        case("skipped by its last commit", to_request, request.clone(), &[("/object_attributes/last_commit/message", json!("[skip ci]"))]),
        case("labels and draft", to_request, request.clone(), &[
            ("/labels", json!([{ "title": "ship it" }])),
            ("/object_attributes/work_in_progress", json!(true)),
        ]),
        case("from a fork", to_request, request.clone(), &[("/object_attributes/source/path_with_namespace", json!("stranger/web"))]),
        case("same path, another id", to_request, request.clone(), &[
            ("/object_attributes/source_project_id", json!(2)),
            ("/object_attributes/target_project_id", json!(1)),
        ]),
        case("source gone", to_request, request.clone(), &[("/object_attributes/source", json!(null))]),
        case("no iid", to_request, request, &[("/object_attributes/iid", json!(null))]),
        case("header and body disagree", to_push, json!({ "event_name": "project_create", "path_with_namespace": "team/web" }), &[]),
        case("a pipeline of GitLab's own", "Pipeline Hook", json!({ "object_kind": "pipeline", "project": { "path_with_namespace": "team/web" } }), &[]),
        case("a template of somebody's own", "Push Hook", json!({ "hello": "world" }), &[]),
    ]), @r#"
    push: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`"}
      runs: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=src/page.rs
    system hook: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`"}
      runs: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=src/page.rs
    subgroup: {"kind":"push","run":true,"repo":"team/sub/deep/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`"}
      runs: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=src/page.rs
    new branch: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"the new branch `main` was pushed"}
      runs: push main before=- forced=false at aaaaaaaa refs/heads/main by maria Protected changed=?
    21 commits, 20 told: {"kind":"push","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`"}
      runs: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=?
    skipped: {"kind":"push","run":false,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`, but the message of aaaaaaaa says `[ci skip]`"}
      skipped: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=src/page.rs
    pushed with -o ci.skip: {"kind":"push","run":false,"repo":"team/web","sha":"aaaa","ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"commits were pushed to `main`, with `git push -o ci.skip`"}
      skipped: push main before=bbbbbbbb forced=false at aaaaaaaa refs/heads/main by maria Protected changed=src/page.rs
    branch deleted: {"kind":"delete","run":false,"repo":"team/web","sha":null,"ref":"refs/heads/main","base":null,"fork":false,"pipeline":null,"reason":"the branch `main` was deleted: there is nothing to run on"}
    tag: {"kind":"tag","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/tags/v1.2","base":null,"fork":false,"pipeline":null,"reason":"the tag `v1.2` was pushed"}
      runs: tag v1.2 at aaaaaaaa refs/tags/v1.2 by maria Protected changed=?
    annotated tag: {"kind":"tag","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/tags/v1.2","base":null,"fork":false,"pipeline":null,"reason":"the tag `v1.2` was pushed"}
      runs: tag v1.2 at aaaaaaaa refs/tags/v1.2 by maria Protected changed=?
    tag deleted: {"kind":"delete","run":false,"repo":"team/web","sha":null,"ref":"refs/tags/v1.2","base":null,"fork":false,"pipeline":null,"reason":"the tag `v1.2` was deleted: there is nothing to run on"}
    opened: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/merge-requests/7/head","base":"main","fork":false,"pipeline":null,"reason":"merge request !7 was opened"}
      runs: #7 opened team/web:page -> main draft=false labels=[] at aaaaaaaa refs/merge-requests/7/head by maria Member changed=?
    reopened: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/merge-requests/7/head","base":"main","fork":false,"pipeline":null,"reason":"merge request !7 was reopened"}
      runs: #7 reopened team/web:page -> main draft=false labels=[] at aaaaaaaa refs/merge-requests/7/head by maria Member changed=?
    new commits: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/merge-requests/7/head","base":"main","fork":false,"pipeline":null,"reason":"merge request !7 has new commits"}
      runs: #7 synchronize team/web:page -> main draft=false labels=[] at aaaaaaaa refs/merge-requests/7/head by maria Member changed=?
    only edited: {"kind":"pull_request","run":false,"repo":"team/web","sha":"aaaa","ref":"refs/merge-requests/7/head","base":"main","fork":false,"pipeline":null,"reason":"merge request !7: `edited` changes no commit, so only workflows that name it would run"}
      if named: #7 edited team/web:page -> main draft=false labels=[] at aaaaaaaa refs/merge-requests/7/head by maria Member changed=?
    merged: {"kind":"pull_request","run":false,"repo":"team/web","sha":"aaaa","ref":"refs/merge-requests/7/head","base":"main","fork":false,"pipeline":null,"reason":"merge request !7: `closed` changes no commit, so only workflows that name it would run"}
      if named: #7 closed team/web:page -> main draft=false labels=[] at aaaaaaaa refs/merge-requests/7/head by maria Member changed=?
    approved: {"kind":"pull_request","run":false,"repo":"team/web","sha":"aaaa","ref":"refs/merge-requests/7/head","base":"main","fork":false,"pipeline":null,"reason":"merge request !7: `approved` changes no commit, so only workflows that name it would run"}
      if named: #7 approved team/web:page -> main draft=false labels=[] at aaaaaaaa refs/merge-requests/7/head by maria Member changed=?
    skipped by its last commit: {"kind":"pull_request","run":false,"repo":"team/web","sha":"aaaa","ref":"refs/merge-requests/7/head","base":"main","fork":false,"pipeline":null,"reason":"merge request !7 was opened, but the message of aaaaaaaa says `[skip ci]`"}
      skipped: #7 opened team/web:page -> main draft=false labels=[] at aaaaaaaa refs/merge-requests/7/head by maria Member changed=?
    labels and draft: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/merge-requests/7/head","base":"main","fork":false,"pipeline":null,"reason":"merge request !7 was opened"}
      runs: #7 opened team/web:page -> main draft=true labels=["ship it"] at aaaaaaaa refs/merge-requests/7/head by maria Member changed=?
    from a fork: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/merge-requests/7/head","base":"main","fork":true,"pipeline":null,"reason":"merge request !7 was opened"}
      runs: #7 opened stranger/web:page -> main draft=false labels=[] at aaaaaaaa refs/merge-requests/7/head by maria Fork changed=?
    same path, another id: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/merge-requests/7/head","base":"main","fork":true,"pipeline":null,"reason":"merge request !7 was opened"}
      runs: #7 opened :page -> main draft=false labels=[] at aaaaaaaa refs/merge-requests/7/head by maria Fork changed=?
    source gone: {"kind":"pull_request","run":true,"repo":"team/web","sha":"aaaa","ref":"refs/merge-requests/7/head","base":"main","fork":true,"pipeline":null,"reason":"merge request !7 was opened"}
      runs: #7 opened :page -> main draft=false labels=[] at aaaaaaaa refs/merge-requests/7/head by maria Fork changed=?
    no iid: {"kind":"pull_request","run":false,"repo":"team/web","sha":"aaaa","ref":null,"base":"main","fork":false,"pipeline":null,"reason":"the payload does not tell the merge request's iid, so nothing can be run"}
    header and body disagree: {"kind":"other","run":false,"repo":null,"sha":null,"ref":null,"base":null,"fork":false,"pipeline":null,"reason":"`project_create` starts no pipeline: pushes, tags and pull requests do"}
    a pipeline of GitLab's own: {"kind":"other","run":false,"repo":"team/web","sha":null,"ref":null,"base":null,"fork":false,"pipeline":null,"reason":"`pipeline` starts no pipeline: pushes, tags and pull requests do"}
    a template of somebody's own: {"kind":"other","run":false,"repo":null,"sha":null,"ref":null,"base":null,"fork":false,"pipeline":null,"reason":"`Push Hook` starts no pipeline: pushes, tags and pull requests do"}
    "#);
}

#[test]
fn what_is_composed_here_is_understood_as_meant() {
    for kind in ForgeKind::ALL {
        for (happened, expected) in [(push(), "push"), (tag(), "tag"), (pull_request(), "pull_request")] {
            let hook = happened.hook();
            let made = case("composed", hook.event_name(kind), happened.payload(kind), &[]);
            let understood = understand(kind, &made).unwrap();
            let trigger = understood.trigger().unwrap();
            assert_eq!(trigger.event.kind(), expected);
            assert_eq!((trigger.repo.as_str(), trigger.commit.clone()), ("team/web", sha('a')));
            assert_eq!(trigger.clone_url.as_deref(), Some("https://forge.example/team/web.git"));
            assert_eq!(trigger.forge, Some(kind));
            assert_eq!(hook == Hook::PullRequest, understood.base.is_some());
        }
    }
}

#[test]
fn the_event_and_the_delivery_are_found_under_every_forges_name() {
    let payload = push().payload(ForgeKind::Gitea).to_string();
    for name in ["X-Gitea", "X-Forgejo", "X-Gogs", "X-GitHub"] {
        let (event, delivery) = (format!("{name}-Event"), format!("{name}-Delivery"));
        let headers = header_map(&[(&event, "push"), (&delivery, "1-2-3")]);
        let understood = forge_of(ForgeKind::Gitea).parse(&headers, payload.as_bytes()).unwrap();
        assert!(understood.run(), "{name}");
        assert_eq!(understood.delivery.as_deref(), Some("1-2-3"), "{name}");
    }
    let payload = push().payload(ForgeKind::GitLab).to_string();
    let headers = header_map(&[
        ("X-Gitlab-Event-UUID", "of the event"),
        ("Idempotency-Key", "of the delivery"),
    ]);
    let understood = forge_of(ForgeKind::GitLab).parse(&headers, payload.as_bytes()).unwrap();
    assert_eq!(understood.delivery.as_deref(), Some("of the delivery"));
}

#[test]
fn a_form_is_read_like_json() {
    let payload = push().payload(ForgeKind::GitHub).to_string();
    let form: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &payload)
        .finish();
    let headers = header_map(&[
        ("X-GitHub-Event", "push"),
        ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
    ]);
    assert!(
        forge_of(ForgeKind::GitHub)
            .parse(&headers, form.as_bytes())
            .unwrap()
            .run()
    );
}
