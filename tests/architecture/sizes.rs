//! How long a file and a function may be.

use crate::tree::{expect_none, files, text};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
/// A test tells one story from start to end, and half of it is what it expects.
const TEST_LINES_MAX: usize = 100;

#[test]
fn no_source_file_is_longer_than_500_lines() {
    let problems: Vec<String> = files(&[".rs"])
        .into_iter()
        .map(|path| (text(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    expect_none(&problems, "split the file where a second concern begins");
}

/// Functions of a file that are too long: lines from `fn` to the closing brace that are neither blank nor comment.
struct LongFunctions<'t> {
    path: String,
    lines: Vec<&'t str>,
    found: Vec<String>,
}

impl LongFunctions<'_> {
    fn look(&mut self, attributes: &[syn::Attribute], signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span().start().line;
        let last = block.brace_token.span.close().end().line;
        let is_code = |line: &&&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let count = self.lines[first - 1..last].iter().filter(is_code).count();
        // `#[test]` and its like, such as `#[tokio::test]`.
        let is_test = attributes
            .iter()
            .any(|it| it.path().segments.last().is_some_and(|word| word.ident == "test"));
        if count
            > if is_test {
                TEST_LINES_MAX
            } else {
                FUNCTION_LINES_MAX
            }
        {
            self.found.push(format!(
                "{}:{first}: {} has {count} lines",
                self.path, signature.ident
            ));
        }
    }
}

impl<'ast> Visit<'ast> for LongFunctions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.look(&function.attrs, &function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.look(&function.attrs, &function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.look(&function.attrs, &function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[test]
fn no_function_is_longer_than_70_lines_and_no_test_than_100() {
    let mut problems = Vec::new();
    for path in files(&[".rs"]) {
        let source = text(&path);
        let syntax = syn::parse_file(&source).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut long = LongFunctions {
            path,
            lines: source.lines().collect(),
            found: Vec::new(),
        };
        long.visit_file(&syntax);
        problems.extend(long.found);
    }
    expect_none(&problems, "cut the function into steps that have names");
}
