//! Constraints on the context of a call. A constraint is a comparison of one field with fixed values and
//! has three outcomes: it holds, it does not, or it cannot be told because the field is missing, `null`
//! or of another type. What follows from "cannot be told" is the decision's rule: a permission needs
//! `Holds`, a prohibition yields only to `Fails`. So leaving a field out never helps an agent.

use crate::invalid::Invalid;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use std::cmp::Ordering;
use utoipa::ToSchema;

/// The longest path to a context field, in characters.
pub const FIELD_MAX_LENGTH: usize = 256;
/// The most segments of a path to a context field.
pub const FIELD_MAX_DEPTH: usize = 16;
/// The most values of an `in` or `not_in` constraint.
pub const VALUES_MAX: usize = 256;

/// The path to a field of the context: dotted (`order.amount`) or, with a leading `/`, a JSON pointer
/// (RFC 6901: `/order/amount`, `~1` for `/` and `~0` for `~` in a name). A number selects an array element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "order.amount")]
pub struct FieldPath(ParsedPath);

#[derive(Debug, Clone, PartialEq, Eq)]
struct ParsedPath {
    text: String,
    first: String,
    others: Vec<String>,
}

impl FieldPath {
    /// The path as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The value at the path. `null` counts as missing.
    fn find<'a>(&self, context: &'a Map<String, Value>) -> Option<&'a Value> {
        let top = context.get(&self.0.first)?;
        let found = self.0.others.iter().try_fold(top, |value, segment| match value {
            Value::Object(members) => members.get(segment),
            Value::Array(elements) => elements.get(array_index(segment)?),
            _ => None,
        })?;
        (!found.is_null()).then_some(found)
    }
}

/// RFC 6901 §4: digits without a leading zero.
fn array_index(segment: &str) -> Option<usize> {
    let plain = segment == "0" || !segment.starts_with('0');
    (plain && segment.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| segment.parse().ok())
        .flatten()
}

impl TryFrom<String> for FieldPath {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let length = text.chars().count();
        if length > FIELD_MAX_LENGTH {
            return Err(Invalid::value(format!(
                "a field has {length} characters; use at most {FIELD_MAX_LENGTH}"
            )));
        }
        let mut segments: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(unescape).collect::<Result<_, _>>()?,
            None => text.split('.').map(str::to_owned).collect(),
        };
        if !text.starts_with('/') && segments.iter().any(String::is_empty) {
            return Err(Invalid::value(
                "a field has an empty name; write names separated by single dots, such as `order.amount`",
            ));
        }
        if segments.len() > FIELD_MAX_DEPTH {
            return Err(Invalid::value(format!(
                "a field has {} levels; use at most {FIELD_MAX_DEPTH}",
                segments.len()
            )));
        }
        let others = segments.split_off(1);
        let first = segments.pop().unwrap_or_default();
        Ok(Self(ParsedPath { text, first, others }))
    }
}

fn unescape(segment: &str) -> Result<String, Invalid> {
    let stray = segment
        .split('~')
        .skip(1)
        .any(|after| !after.starts_with(['0', '1']));
    if stray {
        return Err(Invalid::value(
            "a JSON pointer has a stray `~`; write `~0` for `~` and `~1` for `/`",
        ));
    }
    // RFC 6901 §4: `~1` first, so that `~01` becomes `~1`.
    Ok(segment.replace("~1", "/").replace("~0", "~"))
}

impl TryFrom<&str> for FieldPath {
    type Error = Invalid;

    fn try_from(text: &str) -> Result<Self, Invalid> {
        Self::try_from(text.to_owned())
    }
}

impl From<FieldPath> for String {
    fn from(path: FieldPath) -> Self {
        path.0.text
    }
}

/// How a constraint compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Equal to the value; numbers by value (`1` equals `1.0`).
    Eq,
    /// Present, of the value's type, and not equal to it.
    Ne,
    /// A number below the value.
    Lt,
    /// A number not above the value.
    Lte,
    /// A number above the value.
    Gt,
    /// A number not below the value.
    Gte,
    /// Equal to one of the values.
    In,
    /// Present, of the values' type, and equal to none of them.
    NotIn,
    /// A text that starts with the value.
    Prefix,
    /// Present and not `null`.
    Exists,
}

impl Operator {
    /// The operator as it is written in a scope.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::In => "in",
            Self::NotIn => "not_in",
            Self::Prefix => "prefix",
            Self::Exists => "exists",
        }
    }
}

/// What can be said about a constraint and a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The constraint is satisfied.
    Holds,
    /// The field is there, of the right type, and does not satisfy the constraint.
    Fails,
    /// The field is missing, `null` or of another type.
    CannotTell,
}

/// One comparison of a context field; all constraints of a scope must hold. Its parts fit one another by
/// construction: see [`Constraint::new`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "WrittenConstraint", deny_unknown_fields)]
pub struct Constraint {
    field: FieldPath,
    op: Operator,
    /// A text, number or boolean; a list of them for `in` and `not_in`; left out for `exists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    value: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenConstraint {
    field: FieldPath,
    op: Operator,
    #[serde(default)]
    value: Option<Value>,
}

impl TryFrom<WrittenConstraint> for Constraint {
    type Error = Invalid;

    fn try_from(written: WrittenConstraint) -> Result<Self, Invalid> {
        Self::new(written.field, written.op, written.value)
    }
}

impl Constraint {
    /// A constraint whose value fits its operator.
    ///
    /// # Errors
    /// If the value is missing, of a type the operator cannot use, or a list that is empty, too long or of
    /// mixed types.
    pub fn new(field: FieldPath, op: Operator, value: Option<Value>) -> Result<Self, Invalid> {
        let problem = match (op, &value) {
            (Operator::Exists, None) => None,
            (Operator::Exists, Some(Value::Bool(true))) => None,
            (Operator::Exists, Some(_)) => Some("takes no value; leave `value` out".to_owned()),
            (_, None) => Some("needs a `value`; add one".to_owned()),
            (Operator::Eq | Operator::Ne, Some(value)) => kind(value)
                .is_none()
                .then(|| "needs a text, a number or a boolean as `value`".to_owned()),
            (Operator::Lt | Operator::Lte | Operator::Gt | Operator::Gte, Some(value)) => {
                (!value.is_number()).then(|| "needs a number as `value`".to_owned())
            }
            (Operator::Prefix, Some(value)) => {
                let usable = value.as_str().is_some_and(|text| !text.is_empty());
                (!usable).then(|| "needs a text that is not empty as `value`".to_owned())
            }
            (Operator::In | Operator::NotIn, Some(value)) => list_problem(value),
        };
        match problem {
            Some(problem) => Err(Invalid::value(format!("`{}` {problem}", op.as_str()))),
            // `exists: true` and `exists` are one constraint and have one canonical form.
            None => Ok(Self {
                field,
                op,
                value: value.filter(|_| op != Operator::Exists),
            }),
        }
    }

    /// The field that is compared.
    #[must_use]
    pub fn field(&self) -> &FieldPath {
        &self.field
    }

    /// How it is compared.
    #[must_use]
    pub fn op(&self) -> Operator {
        self.op
    }

    /// What it is compared with; nothing for `exists`.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        self.value.as_ref()
    }

    /// Compares the context with the constraint.
    #[must_use]
    pub fn check(&self, context: &Map<String, Value>) -> Truth {
        let found = self.field.find(context);
        if self.op == Operator::Exists {
            return if found.is_some() {
                Truth::Holds
            } else {
                Truth::Fails
            };
        }
        let (Some(found), Some(value)) = (found, &self.value) else {
            return Truth::CannotTell;
        };
        let holds = match self.op {
            Operator::Eq => compare(found, value).map(Ordering::is_eq),
            Operator::Ne => compare(found, value).map(Ordering::is_ne),
            Operator::Lt => compare(found, value).map(Ordering::is_lt),
            Operator::Lte => compare(found, value).map(Ordering::is_le),
            Operator::Gt => compare(found, value).map(Ordering::is_gt),
            Operator::Gte => compare(found, value).map(Ordering::is_ge),
            Operator::In => contains(value, found),
            Operator::NotIn => contains(value, found).map(|inside| !inside),
            Operator::Prefix => found
                .as_str()
                .zip(value.as_str())
                .map(|(text, prefix)| text.starts_with(prefix)),
            Operator::Exists => Some(true),
        };
        match holds {
            Some(true) => Truth::Holds,
            Some(false) => Truth::Fails,
            None => Truth::CannotTell,
        }
    }
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Kind {
    Text,
    Number,
    Boolean,
}

fn kind(value: &Value) -> Option<Kind> {
    match value {
        Value::String(_) => Some(Kind::Text),
        Value::Number(_) => Some(Kind::Number),
        Value::Bool(_) => Some(Kind::Boolean),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn list_problem(value: &Value) -> Option<String> {
    let Value::Array(values) = value else {
        return Some("needs a list as `value`".to_owned());
    };
    let Some(first) = values.first() else {
        return Some("has an empty list as `value`; name at least one".to_owned());
    };
    if values.len() > VALUES_MAX {
        return Some(format!("has {} values; use at most {VALUES_MAX}", values.len()));
    }
    let of_one_kind = kind(first).is_some() && values.iter().all(|value| kind(value) == kind(first));
    (!of_one_kind)
        .then(|| "needs a list of texts, of numbers or of booleans as `value`, not a mixture".to_owned())
}

fn contains(values: &Value, found: &Value) -> Option<bool> {
    let values = values.as_array()?;
    let comparable = values.first().map(kind) == Some(kind(found)) && kind(found).is_some();
    comparable.then(|| {
        values
            .iter()
            .any(|value| compare(found, value).is_some_and(Ordering::is_eq))
    })
}

/// The order of two values of one scalar type; nothing for different or compound types.
fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// Compares by value and without rounding: integers as integers, also against floating point.
fn compare_numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (as_integer(left), as_integer(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        (Some(left), None) => compare_with_float(left, right.as_f64()?),
        (None, Some(right)) => compare_with_float(right, left.as_f64()?).map(Ordering::reverse),
        (None, None) => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn as_integer(number: &Number) -> Option<i128> {
    number
        .as_u64()
        .map(i128::from)
        .or_else(|| number.as_i64().map(i128::from))
}

fn compare_with_float(integer: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Every integer here lies within ±2^64, and the cast saturates far outside of it, so it cannot
    // produce an equality that is not there.
    let whole = float.floor();
    let order = integer.cmp(&(whole as i128));
    Some(order.then(if float > whole {
        Ordering::Less
    } else {
        Ordering::Equal
    }))
}
