//! What is written about the code is true of it: error codes, specs, the words of the Makefile.

use crate::tree::{expect_none, files, root, text};
use dub_proto::status::ErrorCode;
use std::collections::BTreeSet;
use std::path::Path;

const WORDS: &[&str] = &[
    "help",
    "prepare",
    "build",
    "tools",
    "check",
    "test",
    "demo",
    "up",
    "bench",
    "drill-rotation",
    "drill-faults",
    "soak",
    "dev",
    "down",
    "logs",
    "ps",
    "images-offline",
    "compose-test",
    "clean",
];

/// Texts of the headings of a level, backticks aside.
fn headings(content: &str, level: &str) -> Vec<String> {
    let prefix = format!("{level} ");
    content
        .lines()
        .filter_map(|line| line.strip_prefix(&prefix))
        .map(|title| title.replace('`', "").trim().to_owned())
        .collect()
}

#[test]
fn every_error_code_has_a_heading_and_every_heading_a_code() {
    let codes: Vec<String> = ErrorCode::ALL
        .iter()
        .map(|code| code.as_str().to_owned())
        .collect();
    let written = headings(&text("specs/ERRORS.md"), "###");
    let mut problems: Vec<String> = codes
        .iter()
        .filter(|code| !written.contains(code))
        .map(|code| format!("no heading for {code}"))
        .collect();
    problems.extend(
        written
            .iter()
            .filter(|title| !codes.contains(title))
            .map(|title| format!("{title} is no error code")),
    );
    let distinct: BTreeSet<&String> = written.iter().collect();
    if distinct.len() != written.len() {
        problems.push("a code has two headings".to_owned());
    }
    expect_none(
        &problems,
        "give each code of proto/src/status.rs one `### CODE` in specs/ERRORS.md: cause, whose fault, remedy",
    );
}

#[test]
fn every_error_code_says_its_statuses_as_the_table_has_them() {
    let content = text("specs/ERRORS.md");
    let mut problems = Vec::new();
    for code in ErrorCode::ALL {
        let Some((_, rest)) = content.split_once(&format!("### `{}`", code.as_str())) else {
            continue;
        };
        let section = rest.split("\n#").next().unwrap_or_default();
        let again = if code.is_retryable() {
            "may succeed later"
        } else {
            "will fail again"
        };
        for wanted in [
            format!("HTTP {}", code.http()),
            format!("gRPC {:?}", code.grpc()),
            again.to_owned(),
        ] {
            if !section.contains(&wanted) {
                problems.push(format!("{}: {wanted:?} is not said", code.as_str()));
            }
        }
    }
    expect_none(&problems, "specs/ERRORS.md and proto/src/status.rs have to agree");
}

#[test]
fn every_exit_code_is_explained() {
    let written = text("specs/ERRORS.md");
    let source = text("services/service-kit/src/exit.rs");
    let codes: Vec<&str> = source
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("pub const ")?
                .strip_suffix(';')?
                .split_once(": u8 = ")
        })
        .map(|(_, number)| number)
        .collect();
    assert!(
        codes.len() >= 6,
        "no exit codes found in services/service-kit/src/exit.rs"
    );
    let problems: Vec<String> = codes
        .iter()
        .filter(|code| !written.contains(&format!("| {code} |")))
        .map(|code| format!("exit code {code} has no row"))
        .collect();
    expect_none(
        &problems,
        "add a row to the table of exit codes in specs/ERRORS.md",
    );
}

/// Folders of numbered specs.
fn numbered_specs() -> Vec<String> {
    files(&["spec.md"])
        .into_iter()
        .filter(|path| path.starts_with("specs/"))
        .collect()
}

#[test]
fn every_numbered_spec_and_decision_is_linked_from_the_architecture() {
    let architecture = text("specs/ARCHITECTURE.md");
    let specs = numbered_specs();
    assert!(!specs.is_empty(), "there are no specs");
    let decisions = files(&[".md"])
        .into_iter()
        .filter(|path| path.starts_with("specs/adr/"));
    let problems: Vec<String> = specs
        .iter()
        .cloned()
        .chain(decisions)
        .filter(|path| !architecture.contains(&format!("({})", path.trim_start_matches("specs/"))))
        .map(|path| format!("{path} is not linked"))
        .collect();
    expect_none(
        &problems,
        "link it in the lists at the end of specs/ARCHITECTURE.md",
    );
}

#[test]
fn specs_are_numbered_without_gap_or_double() {
    let numbers: Vec<usize> = numbered_specs()
        .iter()
        .filter_map(|path| path.split('/').nth(1)?.split('-').next()?.parse().ok())
        .collect();
    let wanted: Vec<usize> = (1..=numbered_specs().len()).collect();
    assert_eq!(
        numbers, wanted,
        "\nwhat to do: name the folders specs/NNN-slug in one row of numbers\n"
    );
}

#[test]
fn files_that_the_documents_name_exist() {
    let mut problems = Vec::new();
    for document in files(&[".md"]) {
        // A decision is of its day: it is superseded, never edited.
        if document.starts_with("specs/adr/") {
            continue;
        }
        let content = text(&document);
        for word in content.split('`').skip(1).step_by(2) {
            let path = word.split("::").next().unwrap_or_default();
            let in_tree = ["services/", "proto/", "deploy/", "tests/", "specs/"]
                .iter()
                .any(|top| path.starts_with(top));
            let plain = path
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            if in_tree && plain && !root().join(path).exists() {
                problems.push(format!("{document}: `{path}`"));
            }
        }
        for target in content
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap_or_default();
            let folder = Path::new(&document).parent().unwrap_or(Path::new(""));
            if !path.is_empty() && !path.contains("://") && !root().join(folder).join(path).exists() {
                problems.push(format!("{document}: link to {path}"));
            }
        }
    }
    expect_none(&problems, "correct the path, or write down what is there now");
}

/// Words of the Makefile that have a line of help.
fn makefile_words() -> BTreeSet<String> {
    text("Makefile")
        .lines()
        .filter(|line| line.contains("## "))
        .filter_map(|line| line.split_once(':'))
        .map(|(word, _)| word.to_owned())
        .filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        .collect()
}

#[test]
fn the_makefile_has_its_words_each_with_its_help() {
    let words = makefile_words();
    let wanted: BTreeSet<String> = WORDS.iter().map(|word| (*word).to_owned()).collect();
    let problems: Vec<String> = words
        .symmetric_difference(&wanted)
        .map(|word| format!("only on one side: {word}"))
        .collect();
    expect_none(
        &problems,
        "bring the targets of the Makefile and WORDS in tests/architecture/words.rs in line",
    );
}

#[test]
fn documents_and_ci_use_only_words_that_the_makefile_has() {
    let words = makefile_words();
    let mut problems = Vec::new();
    let mut documents = files(&[".md", ".yml"]);
    documents.extend([
        ".ci/run".to_owned(),
        ".github/workflows/ci.yml".to_owned(),
        ".env.example".to_owned(),
    ]);
    for document in documents {
        let content = text(&document);
        for rest in content
            .split("`make ")
            .skip(1)
            .chain(content.split("\nmake ").skip(1))
        {
            let line = rest.split(['`', '\n', '#']).next().unwrap_or_default();
            let first = line.split_whitespace().next().unwrap_or_default();
            for word in first
                .split('|')
                .filter(|word| !word.is_empty() && !word.contains('='))
            {
                if !words.contains(word) {
                    problems.push(format!("{document}: make {word}"));
                }
            }
        }
    }
    expect_none(
        &problems,
        "use a word of the Makefile, or give it that word with a line of help",
    );
}

#[test]
fn no_test_is_tried_twice() {
    let problems: Vec<String> = text(".config/nextest.toml")
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim().to_owned())
        .filter(|line| line.contains("retries") && line.replace(' ', "") != "retries=0")
        .collect();
    expect_none(
        &problems,
        "a test that needs a second try is a finding: repair it, and leave `retries = 0`",
    );
}
