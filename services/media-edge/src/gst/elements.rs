//! Every element that our graphs use, and the Debian package that carries it: one list for [`super::make`], for
//! `media-edge elements`, for the check at the start of `serve`, and for the images.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::process::ExitCode;

use gstreamer::ElementFactory;
use gstreamer::prelude::*;
use service_kit::exit::code;

const CORE: &str = "libgstreamer1.0-0";
const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const LIBAV: &str = "gstreamer1.0-libav";

/// What the list calls an element that is here.
const HERE: &str = "ok";
/// What the list calls an element that is not.
const MISSING: &str = "missing";

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Name of its factory.
    pub name: &'static str,
    /// Debian package that carries it.
    pub package: &'static str,
    /// What does not work without it, when the rest does.
    pub optional: Option<&'static str>,
}

const fn needed(name: &'static str, package: &'static str) -> Element {
    Element {
        name,
        package,
        optional: None,
    }
}

const fn optional(name: &'static str, package: &'static str, without: &'static str) -> Element {
    Element {
        name,
        package,
        optional: Some(without),
    }
}

/// Elements that stand in our code.
pub const NAMED: &[Element] = &[
    needed("fakesink", CORE),
    needed("audioconvert", BASE),
    needed("audioresample", BASE),
    needed("opusdec", BASE),
    needed("aacparse", GOOD),
    needed("ac3parse", GOOD),
    needed("alawdec", GOOD),
    needed("flvdemux", GOOD),
    needed("mpegaudioparse", GOOD),
    needed("mulawdec", GOOD),
    needed("rtpL16depay", GOOD),
    needed("rtpac3depay", GOOD),
    needed("rtpg722depay", GOOD),
    needed("rtph264depay", GOOD),
    needed("rtpmp4adepay", GOOD),
    needed("rtpmp4gdepay", GOOD),
    needed("rtpmpadepay", GOOD),
    needed("rtpopusdepay", GOOD),
    needed("rtppcmadepay", GOOD),
    needed("rtppcmudepay", GOOD),
    needed("rtspsrc", GOOD),
    needed("h264parse", BAD),
    needed("rtmp2sink", BAD),
    needed("rtmp2src", BAD),
    optional(
        "rtmpsrc",
        BAD,
        "rtmp2src pulls RTMP instead, for 1.7 times the CPU",
    ),
    optional("srtsrc", BAD, "no source is pulled over SRT"),
    optional("tsdemux", BAD, "no source is pulled over SRT"),
    needed("voaacenc", BAD),
    needed("avdec_aac", LIBAV),
    needed("avdec_ac3", LIBAV),
    needed("avdec_g722", LIBAV),
    needed("avdec_mp3", LIBAV),
];

/// Elements that rtspsrc makes for itself.
pub const INNER: &[Element] = &[
    needed("rtpbin", GOOD),
    needed("rtpjitterbuffer", GOOD),
    needed("rtpptdemux", GOOD),
    needed("rtpsession", GOOD),
    needed("rtpssrcdemux", GOOD),
    needed("rtpstorage", GOOD),
];

/// Packages that carry no element and are needed all the same: the libraries that the program is linked with (the
/// first also carries the core elements), and the certificates that OpenSSL and GnuTLS go by.
pub const OTHER_PACKAGES: &[&str] = &[CORE, "libgstreamer-plugins-base1.0-0", "ca-certificates"];

/// Every element, in the order of packages.
pub fn all() -> impl Iterator<Item = &'static Element> {
    NAMED.iter().chain(INNER)
}

/// An element that no installed plugin provides.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct MissingElement(pub String);

impl fmt::Display for MissingElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.0;
        let package = all().find(|element| element.name == name).map(|it| it.package);
        let package = package.unwrap_or("the package of its plugin (gst-inspect-1.0 names it)");
        write!(
            f,
            "gstreamer element `{name}` is missing: install {package}; if that is installed, remove GStreamer's registry \
             file (~/.cache/gstreamer-1.0, GST_REGISTRY)"
        )
    }
}

/// Whether the plugin of an element is known and loads.
fn is_here(name: &str) -> bool {
    ElementFactory::find(name).is_some_and(|factory| factory.load().is_ok())
}

/// The whole life of `media-edge elements`: the list on standard output, what is missing on standard error.
pub fn run() -> ExitCode {
    let mut err = std::io::stderr();
    if let Err(error) = super::init() {
        // Nothing is left to do when standard error is closed.
        let _ = writeln!(err, "media-edge: GStreamer does not start: {error}");
        return ExitCode::from(code::INTERNAL);
    }
    let list = list(is_here);
    if std::io::stdout().write_all(list.as_bytes()).is_err() {
        return ExitCode::from(code::FAILED);
    }
    let verdict = Verdict::of(&list);
    for problem in verdict.missing.iter().chain(&verdict.without) {
        let _ = writeln!(err, "media-edge: {problem}");
    }
    ExitCode::from(if verdict.missing.is_empty() {
        code::DONE
    } else {
        code::FAILED
    })
}

/// One element a line: name, package, whether it is here.
fn list(is_here: impl Fn(&str) -> bool) -> String {
    let mut list = String::new();
    for Element { name, package, .. } in all() {
        let state = if is_here(name) { HERE } else { MISSING };
        // Writing into a String cannot fail.
        let _ = writeln!(list, "{name}  {package}  {state}");
    }
    list
}

/// What a list means.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What stops the start.
    pub missing: Vec<String>,
    /// What goes on without.
    pub without: Vec<String>,
}

impl Verdict {
    /// Reads a list as `media-edge elements` prints it.
    pub fn of(list: &str) -> Self {
        let mut verdict = Self {
            missing: Vec::new(),
            without: Vec::new(),
        };
        let is_missing = |element: &&Element| {
            let mut words = list.lines().map(str::split_whitespace);
            words.any(|mut words| words.next() == Some(element.name) && words.next_back() == Some(MISSING))
        };
        for element in all().filter(is_missing) {
            let problem = MissingElement(element.name.to_owned());
            match element.optional {
                None => verdict.missing.push(problem.to_string()),
                Some(without) => verdict.without.push(format!("{problem}; without it {without}")),
            }
        }
        verdict
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    /// Where the name of an element means something else.
    const WORDS: [(&str, &str); 2] = [("worker/traces.rs", "queue"), ("worker/publish/flv.rs", "stereo")];

    /// The sources of this program without their tests, and without this list.
    fn sources() -> Vec<(PathBuf, String)> {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() && !path.ends_with("tests") {
                    folders.push(path);
                } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("gst/elements.rs")
                {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                    found.push((path, code.to_owned()));
                }
            }
        }
        found
    }

    /// Literals that could be the name of an element.
    fn names(code: &str) -> BTreeSet<&str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        code.split('"')
            .filter(|text| !text.is_empty() && text.chars().all(is_part))
            .collect()
    }

    #[test]
    fn every_element_that_the_code_names_is_in_the_list_and_the_list_names_no_other() {
        crate::gst::init().unwrap();
        let sources = sources();
        let is_word = |path: &Path, name: &str| {
            WORDS
                .iter()
                .any(|(file, word)| path.ends_with(file) && *word == name)
        };
        let used: BTreeSet<&str> = sources
            .iter()
            .flat_map(|(path, code)| names(code).into_iter().filter(|name| !is_word(path, name)))
            .filter(|name| ElementFactory::find(name).is_some())
            .collect();
        let listed: BTreeSet<&str> = NAMED.iter().map(|element| element.name).collect();
        assert!(used.len() > 20, "the sources were not found: {used:?}");
        assert_eq!(used, listed);
        let inner: BTreeSet<&str> = INNER.iter().map(|element| element.name).collect();
        assert!(inner.is_disjoint(&listed) && NAMED.len() == listed.len());
    }

    #[test]
    fn elements_are_made_by_name_and_in_one_place() {
        for (path, code) in sources() {
            for other in [
                "ElementFactory::make",
                "parse::launch",
                "parse_launch",
                "bin_from_description",
            ] {
                let is_allowed = path.ends_with("gst/mod.rs") && other == "ElementFactory::make";
                assert!(is_allowed || !code.contains(other), "{}: {other}", path.display());
            }
        }
    }

    #[test]
    fn every_element_of_the_list_is_here_and_loads() {
        crate::gst::init().unwrap();
        let list = list(is_here);
        assert_eq!(
            Verdict::of(&list),
            Verdict {
                missing: vec![],
                without: vec![]
            },
            "{list}"
        );
        assert!(
            list.lines()
                .any(|line| line == "voaacenc  gstreamer1.0-plugins-bad  ok"),
            "{list}"
        );
    }

    #[test]
    fn a_missing_element_stops_the_start_with_its_package_and_an_optional_one_does_not() {
        let list = list(|name| !matches!(name, "avdec_aac" | "srtsrc"));
        let Verdict { missing, without } = Verdict::of(&list);
        assert_eq!((missing.len(), without.len()), (1, 1), "{missing:?} {without:?}");
        assert!(
            missing[0].contains("`avdec_aac` is missing: install gstreamer1.0-libav"),
            "{missing:?}"
        );
        assert!(
            without[0].contains("gstreamer1.0-plugins-bad")
                && without[0].ends_with("no source is pulled over SRT"),
            "{without:?}"
        );
    }
}
