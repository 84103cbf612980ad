//! Reads the served OpenAPI document: which operations there are, and what a body of each looks like.

use serde_json::{Map, Value, json};

/// How deep a schema may refer to itself.
const DEEPEST: usize = 6;

/// One method of one path.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The method in capitals.
    pub method: String,
    /// The path with its `{parameters}`.
    pub path: String,
    /// The names of its query parameters.
    pub query: Vec<String>,
    /// A body that has the right form, if it takes one.
    pub body: Option<Value>,
    /// The members of the body that cannot be objects, by name.
    pub plain_members: Vec<String>,
    /// The members without which the body is not accepted.
    pub required_members: Vec<String>,
    /// Whether the body may have no other members.
    pub is_closed: bool,
    /// Whether only an agent may ask for it.
    pub is_agents_own: bool,
}

/// All operations of the document.
pub fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            // An answer without an end is waited for in vain.
            if operation
                .pointer("/responses/200/content/text~1event-stream")
                .is_some()
            {
                continue;
            }
            // A vault that is sealed answers nobody, and every other operation would be asked in vain from then on.
            if path == "/api/v1/vault/seal" {
                continue;
            }
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let query = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().expect("a name").to_owned())
                .collect();
            let content = operation["requestBody"]["content"].as_object();
            let schema = content
                .and_then(|content| content.values().next())
                .map(|media| &media["schema"]);
            let members = schema
                .map(|schema| members_of(document, schema))
                .unwrap_or_default();
            all.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                query,
                body: schema.map(|schema| sample(document, schema, 0)),
                plain_members: members
                    .iter()
                    .filter(|(_, schema)| !may_be_object(document, schema, 0))
                    .map(|(name, _)| name.clone())
                    .collect(),
                required_members: schema
                    .and_then(|schema| resolved(document, schema)["required"].as_array())
                    .into_iter()
                    .flatten()
                    .filter_map(|name| name.as_str().map(str::to_owned))
                    .collect(),
                is_closed: schema
                    .is_some_and(|schema| resolved(document, schema)["additionalProperties"] == false),
                is_agents_own: operation["security"].as_array().is_some_and(|ways| {
                    ways.iter().all(|way| way.get("signature").is_some()) && !ways.is_empty()
                }),
            });
        }
    }
    // What removes or ends things comes last, so that the others still find them.
    all.sort_by_key(|operation| operation.method == "DELETE" || operation.path.ends_with("/logout"));
    all
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .expect("a schema"),
        None => schema,
    }
}

fn members_of(document: &Value, schema: &Value) -> Map<String, Value> {
    resolved(document, schema)["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default()
}

fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    ["oneOf", "anyOf", "allOf"]
        .into_iter()
        .filter_map(|name| schema[name].as_array())
        .flatten()
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn may_be_object(document: &Value, schema: &Value, depth: usize) -> bool {
    let schema = resolved(document, schema);
    let types = types(schema);
    let mut alternatives = alternatives(schema).peekable();
    if alternatives.peek().is_some() {
        return depth >= DEEPEST
            || alternatives.any(|alternative| may_be_object(document, alternative, depth + 1));
    }
    types.is_empty() && schema["enum"].is_null() && schema["const"].is_null() || types.contains(&"object")
}

/// A value of the right form: the example where there is one.
fn sample(document: &Value, schema: &Value, depth: usize) -> Value {
    let schema = resolved(document, schema);
    let given = [
        &schema["example"],
        &schema["const"],
        &schema["enum"][0],
        &schema["examples"][0],
    ];
    if let Some(given) = given.into_iter().find(|given| !given.is_null()) {
        return given.clone();
    }
    if let Some(parts) = schema["allOf"]
        .as_array()
        .filter(|parts| parts.len() > 1 && depth < DEEPEST)
    {
        return parts
            .iter()
            .filter_map(|part| sample(document, part, depth + 1).as_object().cloned())
            .flatten()
            .collect::<Map<_, _>>()
            .into();
    }
    let alternative = alternatives(schema).find(|alternative| alternative["type"] != "null");
    if let Some(alternative) = alternative.filter(|_| depth < DEEPEST) {
        return sample(document, alternative, depth + 1);
    }
    match types(schema).first().copied() {
        Some("string") => match schema["format"].as_str() {
            Some("uuid") => json!("00000000-0000-4000-8000-000000000001"),
            Some("date-time") => json!("2126-11-23T10:00:00Z"),
            _ => json!("a sample"),
        },
        Some("integer" | "number") => schema["minimum"].as_i64().map_or(json!(1), |least| json!(least)),
        Some("boolean") => json!(false),
        Some("array") if depth < DEEPEST => json!([sample(document, &schema["items"], depth + 1)]),
        Some("object") | None if depth < DEEPEST => schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, member)| (name.clone(), sample(document, member, depth + 1)))
            .collect::<Map<_, _>>()
            .into(),
        _ => Value::Null,
    }
}
