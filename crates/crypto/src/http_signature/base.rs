//! The signature base (RFC 9421 §2.5), built the same way for signing and for verifying.

use std::ops::Range;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sfv::{BareItem, InnerList, Item, ItemSerializer, ListSerializer};

use super::coverage::Covered;
use super::fields::combined;
use super::request::is_token_byte;
use super::{HttpSignatureError, RequestView};

/// More components than any request has; bounds the search for duplicates.
const MOST_COMPONENTS: usize = 64;
/// What stays as it is in a re-encoded `@query-param` (§2.2.8): the URL standard's
/// `application/x-www-form-urlencoded` percent-encode set.
const QUERY_PARAMETER: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'*')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_');

/// A signature base and what it was built from.
#[derive(Debug)]
pub(super) struct SignatureBase {
    /// The bytes that are signed; always ASCII.
    pub(super) text: String,
    /// Where in `text` each covered component's identifier stands.
    pub(super) identifiers: Vec<Range<usize>>,
    pub(super) covered: Covered,
    /// The combined value of `content-digest`, if covered.
    pub(super) content_digest: Option<Range<usize>>,
}

impl SignatureBase {
    /// Builds the base for the given covered components and parameters.
    pub(super) fn build(view: &RequestView<'_>, input: &InnerList) -> Result<Self, HttpSignatureError> {
        view.check()?;
        if input.items.len() > MOST_COMPONENTS {
            return Err(HttpSignatureError::Malformed {
                header: "Signature-Input",
                reason: format!("more than {MOST_COMPONENTS} components are covered"),
            });
        }
        let mut base = Self {
            text: String::with_capacity(512),
            identifiers: Vec::with_capacity(input.items.len()),
            covered: Covered::default(),
            content_digest: None,
        };
        for item in &input.items {
            base.push_component(view, item)?;
        }
        base.text.push_str("\"@signature-params\": ");
        let mut list = ListSerializer::with_buffer(&mut base.text);
        let mut inner = list.inner_list();
        inner.items(&input.items);
        let _ = inner.finish().parameters(&input.params);
        Ok(base)
    }

    /// The identifier at a range of this text.
    pub(super) fn slice(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// Writes one line: identifier, colon, space, value, newline.
    fn push_component(&mut self, view: &RequestView<'_>, item: &Item) -> Result<(), HttpSignatureError> {
        let start = self.text.len();
        let _ = ItemSerializer::with_buffer(&mut self.text)
            .bare_item(&item.bare_item)
            .parameters(&item.params)
            .finish();
        let identifier = start..self.text.len();
        let named = |base: &Self| base.slice(&identifier).to_owned();
        // Identifiers are compared as serialised; this is exact, since none may have more than one parameter.
        if self
            .identifiers
            .iter()
            .any(|earlier| self.slice(earlier) == self.slice(&identifier))
        {
            return Err(HttpSignatureError::ComponentDuplicate {
                component: named(self),
            });
        }
        let Some(name) = item.bare_item.as_string() else {
            return Err(HttpSignatureError::ComponentUnsupported {
                component: named(self),
            });
        };
        let name = name.as_str();
        let is_query_parameter = name == "@query-param";
        if !item.params.is_empty() && !is_query_parameter {
            return Err(HttpSignatureError::ComponentUnsupported {
                component: named(self),
            });
        }
        self.text.push_str(": ");
        match name {
            "@method" => {
                self.covered.method = true;
                self.text.push_str(view.method);
            }
            "@target-uri" => {
                self.covered.target_uri = true;
                view.push_target_uri(&mut self.text);
            }
            "@authority" => {
                self.covered.authority = true;
                view.push_authority(&mut self.text);
            }
            "@scheme" => view.push_scheme(&mut self.text),
            "@request-target" => view.push_request_target(&mut self.text),
            "@path" => {
                self.covered.path = true;
                view.push_path(&mut self.text);
            }
            "@query" => {
                self.covered.query = true;
                view.push_query(&mut self.text);
            }
            "@query-param" => {
                let wanted =
                    query_parameter_name(item).ok_or_else(|| HttpSignatureError::ComponentUnsupported {
                        component: named(self),
                    })?;
                let value = query_parameter(view.query.unwrap_or_default(), wanted).ok_or_else(|| {
                    HttpSignatureError::ComponentMissing {
                        component: named(self),
                    }
                })?;
                self.text.push_str(&value);
            }
            _ if is_field_name(name) => {
                let value_start = self.text.len();
                let value =
                    combined(view.headers, name)?.ok_or_else(|| HttpSignatureError::ComponentMissing {
                        component: named(self),
                    })?;
                self.text.push_str(&value);
                if name == "content-digest" {
                    self.covered.content_digest = true;
                    self.content_digest = Some(value_start..self.text.len());
                }
            }
            _ => {
                return Err(HttpSignatureError::ComponentUnsupported {
                    component: named(self),
                });
            }
        }
        self.text.push('\n');
        self.identifiers.push(identifier);
        Ok(())
    }
}

/// A field name in lower case (§2.1); names with `@` are derived components.
fn is_field_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| is_token_byte(byte) && !byte.is_ascii_uppercase())
}

/// The only parameter of `@query-param`: `name`, a string.
fn query_parameter_name(item: &Item) -> Option<&str> {
    let mut parameters = item.params.iter();
    let (key, BareItem::String(value)) = parameters.next()? else {
        return None;
    };
    (key.as_str() == "name" && parameters.next().is_none()).then(|| value.as_str())
}

/// The re-encoded value of the query parameter whose re-encoded name is `wanted`, if it is there exactly once
/// (§2.2.8).
fn query_parameter(query: &str, wanted: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| utf8_percent_encode(name, QUERY_PARAMETER).to_string() == wanted)
        .map(|(_, value)| utf8_percent_encode(&value, QUERY_PARAMETER).to_string());
    let value = values.next()?;
    values.next().is_none().then_some(value)
}
