//! Lists as files: which form the caller wants, rows as CSV that no spreadsheet takes for formulas, and
//! a body that is made while it is sent, so that its size costs no memory.

use std::{
    borrow::Cow,
    future::{Future, ready},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, Accept, Header},
    web::Bytes,
};
use aim_core::{Error, Result};
use futures_util::{StreamExt, stream};

/// How many rows are read and sent at a time.
pub const CHUNK: i64 = 1_000;

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A page, as JSON.
    Json,
    /// All of it, as CSV (RFC 4180).
    Csv,
    /// All of it, one JSON object a line.
    Ndjson,
}

impl Format {
    const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// The form that the caller wants: `format` decides, then `Accept` (RFC 9110 §12.5.1) in its order of
    /// preference; otherwise JSON.
    ///
    /// # Errors
    /// `request.field_invalid` at `format`.
    pub fn wanted(request: &HttpRequest, format: Option<&str>, offered: &[Self]) -> Result<Self> {
        if let Some(name) = format {
            return offered
                .iter()
                .copied()
                .find(|form| form.name() == name)
                .ok_or_else(|| {
                    let names: Vec<&str> = offered.iter().map(|form| form.name()).collect();
                    Error::field("format", format!("format is one of {}", names.join(", ")))
                });
        }
        let Ok(accept) = Accept::parse(request) else {
            return Ok(Self::Json);
        };
        let wanted = accept.ranked().into_iter().find_map(|media_range| {
            if media_range == "*/*" || media_range == "application/*" {
                return Some(Self::Json);
            }
            offered
                .iter()
                .copied()
                .find(|form| form.media_type() == media_range.essence_str())
        });
        Ok(wanted.unwrap_or(Self::Json))
    }
}

/// A text that a spreadsheet shows and does not run: what would start a formula gets a quote before it.
#[must_use]
pub fn defused(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Rows as RFC 4180 has them: fields in quotes where need be, lines ended by CRLF.
///
/// # Errors
/// Rows of different lengths.
pub fn csv<Row, Field>(rows: impl IntoIterator<Item = Row>) -> Result<Vec<u8>>
where
    Row: IntoIterator<Item = Field>,
    Field: AsRef<[u8]>,
{
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(Error::internal)?;
    }
    writer
        .into_inner()
        .map_err(|error| Error::internal(error.to_string()))
}

/// A piece of a file, and the position after which the next piece starts, if there is one.
pub type Piece<Position> = (Vec<u8>, Option<Position>);

/// A file that is sent while it is made. The first piece is made before the answer starts, so that a
/// refusal is still an error; a failure later breaks the body off, and the client sees that it is not whole.
///
/// # Errors
/// That of the first piece.
pub async fn file<Position, Next, Making>(format: Format, name: &str, next: Next) -> Result<HttpResponse>
where
    Position: 'static,
    Next: Fn(Option<Position>) -> Making + 'static,
    Making: Future<Output = Result<Piece<Position>>> + 'static,
{
    let (first, position) = next(None).await?;
    let rest = stream::try_unfold((position, next), |(position, next)| async move {
        let Some(position) = position else { return Ok(None) };
        let (piece, after) = next(Some(position)).await?;
        Ok::<_, Error>(Some((Bytes::from(piece), (after, next))))
    });
    let body = stream::once(ready(Ok(Bytes::from(first)))).chain(rest);
    Ok(HttpResponse::Ok()
        .content_type(format!("{}; charset=utf-8", format.media_type()))
        .insert_header((
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}.{}\"", format.name()),
        ))
        .insert_header((header::VARY, "Accept"))
        .streaming(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn wanted(accept: Option<&str>, format: Option<&str>) -> Result<Format> {
        let request = match accept {
            Some(accept) => TestRequest::default()
                .insert_header(("accept", accept))
                .to_http_request(),
            None => TestRequest::default().to_http_request(),
        };
        Format::wanted(&request, format, &[Format::Json, Format::Csv])
    }

    #[test]
    fn the_parameter_decides_before_the_header_and_the_header_by_its_preferences() {
        assert_eq!(wanted(None, None).unwrap(), Format::Json);
        assert_eq!(wanted(Some("text/csv"), None).unwrap(), Format::Csv);
        assert_eq!(
            wanted(Some("text/csv;q=0.5, application/json"), None).unwrap(),
            Format::Json
        );
        assert_eq!(
            wanted(Some("application/json;q=0.5, text/csv"), None).unwrap(),
            Format::Csv
        );
        assert_eq!(wanted(Some("text/html, */*;q=0.1"), None).unwrap(), Format::Json);
        assert_eq!(wanted(Some("application/x-ndjson"), None).unwrap(), Format::Json);
        assert_eq!(wanted(Some("text/csv"), Some("json")).unwrap(), Format::Json);
        assert_eq!(
            wanted(None, Some("xml")).unwrap_err().field.as_deref(),
            Some("format")
        );
    }

    #[test]
    fn a_text_that_would_be_a_formula_is_shown_as_text() {
        for text in ["=1+1", "+1", "-1", "@x", "\tx", "\rx"] {
            assert_eq!(defused(text), format!("'{text}"));
        }
        for text in ["", "a=1", " =1", "'=1", "{\"a\":1}"] {
            assert_eq!(defused(text), text);
        }
    }

    #[test]
    fn fields_are_quoted_as_rfc_4180_has_them() {
        let bytes = csv([["a", "b,c"], ["say \"x\"", "two\r\nlines"]]).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "a,\"b,c\"\r\n\"say \"\"x\"\"\",\"two\r\nlines\"\r\n"
        );
    }
}
