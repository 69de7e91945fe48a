use crate::event::{Event, PullRequest, Trust};
use crate::forge::{Protected, asked_to_skip, trust_of};

#[test]
fn a_message_asks_for_no_pipeline_by_the_forges_own_markers() {
    let rows: Vec<String> = [
        "fix [skip ci]",
        "[CI SKIP] fix",
        "body\n\nlong text [no ci]\n",
        "[skip actions]",
        "[actions skip]",
        "[ci-skip]",
        "[skip_ci]",
        "title\n\nbody\n\nskip-checks: true",
        "title\n\nbody\n\nskip-checks:true\nSigned-off-by: M <m@example.com>\n",
        "skip-checks: true",
        "title\n\nskip-checks: true\n\nbody",
        "title\n\nskip-checks: false",
        "skip ci",
        "[skip  ci]",
        "[skip ci",
        "do not [skip the ci]",
        "",
    ]
    .iter()
    .map(|message| {
        format!(
            "{:<60} {}",
            format!("{message:?}"),
            asked_to_skip(message).unwrap_or("-")
        )
    })
    .collect();
    insta::assert_snapshot!(rows.join("\n"), @r#"
    "fix [skip ci]"                                              [skip ci]
    "[CI SKIP] fix"                                              [ci skip]
    "body\n\nlong text [no ci]\n"                                [no ci]
    "[skip actions]"                                             [skip actions]
    "[actions skip]"                                             [actions skip]
    "[ci-skip]"                                                  [ci-skip]
    "[skip_ci]"                                                  [skip_ci]
    "title\n\nbody\n\nskip-checks: true"                         skip-checks: true
    "title\n\nbody\n\nskip-checks:true\nSigned-off-by: M <m@example.com>\n" skip-checks: true
    "skip-checks: true"                                          -
    "title\n\nskip-checks: true\n\nbody"                         -
    "title\n\nskip-checks: false"                                -
    "skip ci"                                                    -
    "[skip  ci]"                                                 -
    "[skip ci"                                                   -
    "do not [skip the ci]"                                       -
    ""                                                           -
    "#);
}

#[test]
fn trust_follows_the_ref_and_the_repository_never_a_name() {
    let push = |branch: &str| Event::Push {
        branch: branch.into(),
        before: None,
        forced: false,
    };
    let tag = |tag: &str| Event::Tag { tag: tag.into() };
    let request = |source_repo: &str| {
        Event::PullRequest(PullRequest {
            number: 7,
            action: "opened".into(),
            title: "[admin]".into(),
            source_branch: "main".into(),
            source_repo: source_repo.into(),
            target_branch: "main".into(),
            base: None,
            draft: false,
            labels: vec![],
        })
    };
    let listed = Protected::new(&["main".into(), "release/*".into()], &["v*".into()]).unwrap();
    let usual = Protected::default();
    let trust = |event: &Event, default_branch, protected| trust_of("team/web", event, default_branch, protected);
    use Trust::{Fork, Member, Protected as Guarded};
    for (event, default_branch, protected, expected) in [
        (push("main"), Some("main"), &usual, Guarded),
        (push("main2"), Some("main"), &usual, Member),
        (push("main"), None, &usual, Member),
        (tag("v1"), Some("main"), &usual, Guarded),
        (tag("a/b"), None, &usual, Guarded),
        (push("release/1"), Some("main"), &listed, Guarded),
        (push("release/1/x"), Some("main"), &listed, Member),
        (push("trunk"), Some("trunk"), &listed, Member),
        (tag("v1"), None, &listed, Guarded),
        (tag("nightly"), None, &listed, Member),
        (request("team/web"), Some("main"), &usual, Member),
        (request("Team/Web"), Some("main"), &usual, Member),
        (request("stranger/web"), Some("main"), &usual, Fork),
        (request("team/web2"), Some("main"), &usual, Fork),
        (request("team/web/sub"), Some("main"), &usual, Fork),
        (request(""), Some("main"), &usual, Fork),
    ] {
        assert_eq!(
            trust(&event, default_branch, protected),
            expected,
            "{event:?} {default_branch:?}"
        );
    }
}
