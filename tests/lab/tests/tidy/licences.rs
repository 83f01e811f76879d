//! The licences of everything that is linked allow an MIT product.

use crate::{metadata, none};

/// Licences that allow it. The same list is in `deny.toml`.
const ALLOWED: [&str; 13] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "BSL-1.0",
    "CC0-1.0",
    "Unicode-3.0",
    "Unlicense",
    "CDLA-Permissive-2.0",
];

/// Judges an SPDX expression: one side of an OR is enough, both sides of an AND are needed.
fn allows(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (good, rest) = either(&words);
    good && rest.is_empty()
}

fn either<'a>(words: &'a [&'a str]) -> (bool, &'a [&'a str]) {
    let (mut good, mut rest) = both(words);
    while let Some(("OR", after)) = rest.split_first().map(|(first, after)| (*first, after)) {
        let (other, left) = both(after);
        good |= other;
        rest = left;
    }
    (good, rest)
}

fn both<'a>(words: &'a [&'a str]) -> (bool, &'a [&'a str]) {
    let (mut good, mut rest) = single(words);
    while let Some(("AND", after)) = rest.split_first().map(|(first, after)| (*first, after)) {
        let (other, left) = single(after);
        good &= other;
        rest = left;
    }
    (good, rest)
}

fn single<'a>(words: &'a [&'a str]) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inner @ ..] => {
            let (good, rest) = either(inner);
            match rest {
                [")", after @ ..] => (good, after),
                _ => (false, rest),
            }
        }
        [one, "WITH", exception, after @ ..] => {
            (ALLOWED.contains(&format!("{one} WITH {exception}").as_str()), after)
        }
        [one, after @ ..] => (ALLOWED.contains(one), after),
        [] => (false, words),
    }
}

#[test]
fn expressions_are_judged() {
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/Apache-2.0",
        "(MIT OR GPL-2.0) AND ISC",
        "Apache-2.0 WITH LLVM-exception OR X",
    ] {
        assert!(allows(good), "{good}");
    }
    for bad in
        ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND SSPL-1.0", "Apache-2.0 WITH Odd", "(MIT"]
    {
        assert!(!allows(bad), "{bad}");
    }
}

#[test]
fn dependencies_allow_an_mit_product() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "only {} packages", packages.len());
    let wrong = packages.iter().filter_map(|package| {
        let licence = package["license"].as_str().unwrap_or("none given");
        (!allows(licence)).then(|| format!("{} {}: {licence}", package["name"], package["version"]))
    });
    none("licences that allow an MIT product", &wrong.collect::<Vec<_>>());
}

#[test]
fn deny_toml_has_the_same_list() {
    let text = crate::read("deny.toml");
    let list = text.split("allow = [").nth(1).unwrap().split(']').next().unwrap();
    let listed: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    assert_eq!(listed, ALLOWED);
}
