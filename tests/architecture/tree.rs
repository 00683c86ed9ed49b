//! The tree of files that the checks look at.

use std::path::{Path, PathBuf};

/// Root of the repository.
pub fn root() -> PathBuf {
    let tests = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&tests)
        .parent()
        .expect("tests lie in the root")
        .to_path_buf()
}

/// Text of a file, by its path from the root.
pub fn text(path: &str) -> String {
    let file = root().join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Paths from the root of all files with one of these endings, hidden and built ones aside.
pub fn files(endings: &[&str]) -> Vec<String> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .expect("a folder of the tree")
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(
                    path.strip_prefix(&root)
                        .expect("below the root")
                        .display()
                        .to_string(),
                );
            }
        }
    }
    found.sort();
    found
}

/// Fails with every problem and what to do about them.
pub fn expect_none(problems: &[String], remedy: &str) {
    assert!(
        problems.is_empty(),
        "\n{}\n\nwhat to do: {remedy}\n",
        problems.join("\n")
    );
}
