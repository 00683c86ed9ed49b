//! Native dependencies: the document, the code's list of elements and the image have the same packages.

use crate::tree::{expect_none, text};
use media_edge::gst::elements;
use std::collections::{BTreeMap, BTreeSet};

const DOCUMENT: &str = "specs/010-containers/native-dependencies.md";
const DOCKERFILE: &str = "deploy/docker/Dockerfile";

/// Packages with their elements.
type Packages = BTreeMap<String, BTreeSet<String>>;

fn of_code() -> Packages {
    let mut packages: Packages = elements::OTHER_PACKAGES
        .iter()
        .map(|package| ((*package).to_owned(), BTreeSet::new()))
        .collect();
    for element in elements::all() {
        let elements = packages.entry(element.package.to_owned()).or_default();
        elements.insert(element.name.to_owned());
    }
    packages
}

/// Rows `| package | needed by | elements | reason |`.
fn of_document() -> Packages {
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    text(DOCUMENT)
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, package, _, elements, reason, _] = cells[..] else {
                return None;
            };
            let package = package.strip_prefix('`')?.strip_suffix('`')?;
            assert!(!reason.is_empty(), "{DOCUMENT}: {package} has no reason");
            Some((package.to_owned(), words(elements)))
        })
        .collect()
}

/// Packages of the image: one a line between two marks.
fn of_image() -> BTreeSet<String> {
    let dockerfile = text(DOCKERFILE);
    let lines = dockerfile.lines().map(str::trim);
    lines
        .skip_while(|line| *line != "# native packages: begin")
        .skip(1)
        .take_while(|line| *line != "# native packages: end")
        .map(|line| line.trim_end_matches('\\').trim().to_owned())
        .collect()
}

fn problems<'n>(
    here: &str,
    names: impl Iterator<Item = &'n String>,
    there: &BTreeSet<String>,
) -> Vec<String> {
    let names: BTreeSet<String> = names.cloned().collect();
    names
        .symmetric_difference(there)
        .map(|name| {
            format!(
                "{name}: only in {}",
                if there.contains(name) { "the code" } else { here }
            )
        })
        .collect()
}

#[test]
fn the_document_lists_the_packages_and_elements_of_the_code() {
    let (code, document) = (of_code(), of_document());
    let mut found = problems(DOCUMENT, document.keys(), &code.keys().cloned().collect());
    for (package, elements) in &code {
        let listed = document.get(package).cloned().unwrap_or_default();
        found.extend(problems(DOCUMENT, listed.iter(), elements));
    }
    expect_none(
        &found,
        "bring the table in line with services/media-edge/src/gst/elements.rs",
    );
}

#[test]
fn the_image_has_the_packages_of_the_code_and_no_other() {
    let packages: BTreeSet<String> = of_code().into_keys().collect();
    let found = problems(DOCKERFILE, of_image().iter(), &packages);
    expect_none(
        &found,
        "name a package in the image, in services/media-edge/src/gst/elements.rs and in the document, with its reason",
    );
}
