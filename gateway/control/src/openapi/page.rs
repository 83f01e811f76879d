//! The OpenAPI document as a page for people: one file, without anything from elsewhere, readable without its script.
//!
//! Script and style stand in the page and are allowed by their hashes; nothing else may run or load. Every text of the
//! document is escaped.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The page, and what it may load.
pub(crate) struct Page {
    pub html: String,
    /// Its Content-Security-Policy.
    pub policy: String,
}

impl Page {
    pub fn of(document: &Value) -> Page {
        let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())));
        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            hash(SCRIPT),
            hash(STYLE)
        );
        Page { html: html(document), policy }
    }
}

fn html(document: &Value) -> String {
    let info = &document["info"];
    let mut page = String::new();
    let title = escaped(text(&info["title"]));
    put(
        &mut page,
        &format!("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>"),
    );
    put(&mut page, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    put(&mut page, &format!("<style>{STYLE}</style></head><body><header>"));
    put(&mut page, &format!("<h1>{title} <small>{}</small></h1>", escaped(text(&info["version"]))));
    put(&mut page, &format!("<p>{}</p>", marked(text(&info["description"]))));
    let prefix = escaped(text(&document["servers"][0]["url"]));
    put(&mut page, &format!("<p>Every path stands below <code>{prefix}</code>. "));
    put(&mut page, "The document itself: <a href=\"openapi.json\">openapi.json</a>.</p>");
    put(&mut page, FILTER);
    put(&mut page, "</header><main>");
    for tag in document["tags"].as_array().into_iter().flatten() {
        section(&mut page, document, tag);
    }
    put(&mut page, "<p id=\"none\" class=\"none\" hidden>No route has all of these words.</p>");
    put(&mut page, "<section><h2>Types</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        type_of(&mut page, name, schema);
    }
    put(&mut page, &format!("</section></main><script>{SCRIPT}</script></body></html>\n"));
    page
}

const FILTER: &str = "<form id=\"filter\" hidden><input id=\"words\" type=\"search\" aria-label=\"Search\" \
placeholder=\"Search routes: share delete, /users, quota …\"><select id=\"role\" aria-label=\"Role\">\
<option value=\"admin\">every role</option><option value=\"open\">open</option><option value=\"user\">user</option>\
<option value=\"operator\">operator</option></select></form>";

fn put(page: &mut String, html: &str) {
    page.push_str(html);
    page.push('\n');
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            plain => safe.push(plain),
        }
    }
    safe
}

/// Text whose `words` become code.
fn marked(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let shown = parts.map(|(nth, part)| match nth % 2 {
        0 => escaped(part),
        _ => format!("<code>{}</code>", escaped(part)),
    });
    shown.collect()
}

fn section(page: &mut String, document: &Value, tag: &Value) {
    let name = text(&tag["name"]);
    put(page, &format!("<section data-tag=\"{0}\"><h2>{0}</h2>", escaped(name)));
    put(page, &format!("<p>{}</p>", marked(text(&tag["description"]))));
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            let operation = &operations[method];
            if operation["tags"][0] == *name {
                route(page, document, method, path, operation);
            }
        }
    }
    put(page, "</section>");
}

fn route(page: &mut String, document: &Value, method: &str, path: &str, operation: &Value) {
    let (id, role) = (text(&operation["operationId"]), text(&operation["x-role"]));
    let says = text(&operation["summary"]);
    let find = format!("{method} {path} {id} {says} {role}").to_lowercase();
    put(
        page,
        &format!(
            "<details id=\"{id}\" data-role=\"{role}\" data-find=\"{}\"><summary><span class=\"method\">{}</span>\
             <span class=\"path\">{}</span><span class=\"says\">{}</span><span class=\"role\">{role}</span></summary><div>",
            escaped(&find),
            method.to_uppercase(),
            escaped(path),
            marked(says)
        ),
    );
    if let Some(original) = operation["x-alias-of"].as_str() {
        put(page, &format!("<p>The same as <code>{}</code>.</p>", escaped(original)));
    }
    if let Some(action) = operation["x-audit-action"].as_str() {
        put(page, &format!("<p>In the audit log as <code>{}</code>.</p>", escaped(action)));
    }
    parameters(page, operation);
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        put(page, "<h3>Body</h3>");
        for (kind, media) in content {
            put(page, &format!("<p><code>{}</code>: {}</p>", escaped(kind), kind_of(&media["schema"])));
        }
    }
    answers(page, document, operation);
    put(page, "</div></details>");
}

fn parameters(page: &mut String, operation: &Value) {
    let Some(all) = operation["parameters"].as_array().filter(|all| !all.is_empty()) else { return };
    put(page, "<h3>Parameters</h3><table><tr><th>Name</th><th>In</th><th>Type</th><th>Meaning</th></tr>");
    for parameter in all {
        let needed = if parameter["required"] == true { " (needed)" } else { "" };
        put(
            page,
            &format!(
                "<tr><td><code>{}</code></td><td>{}{needed}</td><td>{}</td><td>{}</td></tr>",
                escaped(text(&parameter["name"])),
                escaped(text(&parameter["in"])),
                kind_of(&parameter["schema"]),
                marked(text(&parameter["description"]))
            ),
        );
    }
    put(page, "</table>");
}

fn answers(page: &mut String, document: &Value, operation: &Value) {
    put(page, "<h3>Answers</h3><table><tr><th>Status</th><th>Meaning</th><th>Body</th></tr>");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let named = answer["$ref"].as_str().and_then(|target| document.pointer(target.strip_prefix('#')?));
        let answer = named.unwrap_or(answer);
        let mut bodies = String::new();
        for (kind, media) in answer["content"].as_object().into_iter().flatten() {
            let _ = write!(bodies, "<code>{}</code> {} ", escaped(kind), kind_of(&media["schema"]));
        }
        let about = marked(text(&answer["description"]));
        put(page, &format!("<tr><td>{}</td><td>{about}</td><td>{bodies}</td></tr>", escaped(status)));
    }
    put(page, "</table>");
}

fn type_of(page: &mut String, name: &str, schema: &Value) {
    put(page, &format!("<details id=\"type-{0}\"><summary><span class=\"path\">{0}</span>", escaped(name)));
    put(
        page,
        &format!("<span class=\"says\">{}</span></summary><div>", marked(text(&schema["description"]))),
    );
    match schema["properties"].as_object() {
        Some(fields) => {
            put(page, "<table><tr><th>Field</th><th>Type</th><th>Meaning</th></tr>");
            for (field, of) in fields {
                let is_needed =
                    schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == field));
                let needed = if is_needed { " (needed)" } else { "" };
                put(
                    page,
                    &format!(
                        "<tr><td><code>{}</code>{needed}</td><td>{}</td><td>{}</td></tr>",
                        escaped(field),
                        kind_of(of),
                        marked(text(&of["description"]))
                    ),
                );
            }
            put(page, "</table>");
            for more in ["oneOf", "allOf", "anyOf"].iter().filter(|more| schema[**more].is_array()) {
                put(page, &format!("<p>And {}</p>", kind_of(&serde_json::json!({ *more: schema[*more] }))));
            }
        }
        None => put(page, &format!("<p>{}</p>", kind_of(schema))),
    }
    put(page, "</div></details>");
}

/// A schema in a few words; types link to where they are told.
fn kind_of(schema: &Value) -> String {
    if let Some(target) = schema["$ref"].as_str() {
        let name = escaped(target.rsplit('/').next().unwrap_or_default());
        return format!("<a href=\"#type-{name}\">{name}</a>");
    }
    if let Some(constant) = schema.get("const") {
        return format!("<code>{}</code>", escaped(&constant.to_string()));
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> =
            words.iter().map(|word| format!("<code>{}</code>", escaped(&word.to_string()))).collect();
        return words.join(" or ");
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        if let Some(all) = schema[choice].as_array() {
            let joint = if choice == "allOf" { " and " } else { " or " };
            return all.iter().map(kind_of).collect::<Vec<_>>().join(joint);
        }
    }
    if schema["type"] == "array" {
        return format!("list of {}", kind_of(&schema["items"]));
    }
    let plain = match &schema["type"] {
        Value::String(one) => one.clone(),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(" or "),
        _ => "anything".to_owned(),
    };
    let mut words = escaped(&plain);
    if let Some(fields) = schema["properties"].as_object() {
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, of)| format!("<code>{}</code>: {}", escaped(name), kind_of(of)))
            .collect();
        let _ = write!(words, " {{ {} }}", fields.join(", "));
    }
    for (key, sign) in
        [("minimum", "≥"), ("maximum", "≤"), ("minLength", "length ≥"), ("maxLength", "length ≤")]
    {
        if let Some(bound) = schema.get(key).filter(|bound| bound.is_number()) {
            let _ = write!(words, ", {sign} {bound}");
        }
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let _ = write!(words, ", <code>{}</code>", escaped(pattern));
    }
    words
}
