//! Lists: a limit, a place to go on from, and (where the public API has it) an offset.

use uuid::Uuid;

use crate::{Code, Error, Result};

/// The largest page.
pub const MAX_LIMIT: i64 = 100;
/// The page size when the caller names none.
pub const DEFAULT_LIMIT: i64 = 20;
/// The largest offset; beyond it a cursor is the way.
pub const MAX_OFFSET: i64 = 100_000;

/// The id of the last row of the page before: rows are ordered by id, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub Uuid);

impl Cursor {
    /// The cursor's text: opaque to callers.
    #[must_use]
    pub fn encode(self) -> String {
        self.0.simple().to_string()
    }

    /// Reads a cursor.
    ///
    /// # Errors
    /// `request.field_invalid` naming `cursor` when it is not one of ours.
    pub fn parse(text: &str) -> Result<Self> {
        Uuid::try_parse(text).map(Self).map_err(|_| {
            Error::field(
                "cursor",
                "not a cursor of this list; leave it out to start at the top",
            )
        })
    }
}

/// Which part of a list the caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// How many rows, 1 to 100.
    pub limit: i64,
    /// How many to skip, from 0.
    pub offset: i64,
    /// Where to go on from.
    pub cursor: Option<Cursor>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            offset: 0,
            cursor: None,
        }
    }
}

impl PageRequest {
    /// Checks what the caller sent.
    ///
    /// # Errors
    /// Names `limit`, `offset` or `cursor` when out of range, or when both a cursor and an offset are given.
    pub fn parse(limit: Option<i64>, offset: Option<i64>, cursor: Option<&str>) -> Result<Self> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Error::field("limit", format!("limit is 1 to {MAX_LIMIT}")));
        }
        let offset = offset.unwrap_or(0);
        if !(0..=MAX_OFFSET).contains(&offset) {
            return Err(Error::field(
                "offset",
                format!("offset is 0 to {MAX_OFFSET}; use cursor to go further"),
            ));
        }
        let cursor = cursor.map(Cursor::parse).transpose()?;
        if cursor.is_some() && offset > 0 {
            return Err(
                Error::new(Code::FieldInvalid, "send either cursor or offset, not both").at("offset"),
            );
        }
        Ok(Self {
            limit,
            offset,
            cursor,
        })
    }

    /// How many rows to fetch so that one knows whether there are more.
    #[must_use]
    pub const fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// Cuts `rows` (fetched with [`Self::fetch`]) to the page, and says where the next one starts.
    #[must_use]
    pub fn cut<T>(&self, mut rows: Vec<T>, id: impl Fn(&T) -> Uuid) -> (Vec<T>, Option<String>) {
        let limit = usize::try_from(self.limit).unwrap_or(0);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more {
            rows.last().map(|row| Cursor(id(row)).encode())
        } else {
            None
        };
        (rows, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_cursor_only_when_there_is_more() {
        let page = PageRequest::parse(Some(2), None, None).unwrap();
        let ids: Vec<Uuid> = (0..3).map(Uuid::from_u128).collect();
        let (rows, next) = page.cut(ids.clone(), |id| *id);
        assert_eq!(rows, ids[..2]);
        assert_eq!(next, Some(Cursor(ids[1]).encode()));
        let (rows, next) = page.cut(ids[..2].to_vec(), |id| *id);
        assert_eq!((rows.len(), next), (2, None));
    }

    #[test]
    fn limits_out_of_range_are_refused_by_name() {
        for (limit, offset, field) in [
            (Some(0), None, "limit"),
            (Some(101), None, "limit"),
            (None, Some(-1), "offset"),
        ] {
            assert_eq!(
                PageRequest::parse(limit, offset, None)
                    .unwrap_err()
                    .field
                    .as_deref(),
                Some(field)
            );
        }
        assert_eq!(
            PageRequest::parse(None, None, Some("x"))
                .unwrap_err()
                .field
                .as_deref(),
            Some("cursor")
        );
    }
}
