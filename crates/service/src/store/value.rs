//! What goes into a statement and what comes out of it.

use headwater_event::Time;

use super::StoreError;

/// A parameter of a statement, or a column of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `BIGINT`; booleans are 0 and 1, times are microseconds or milliseconds since 1970.
    Int(i64),
    /// `DOUBLE PRECISION`.
    Real(f64),
    /// `TEXT`.
    Text(String),
    /// `BYTEA`.
    Blob(Vec<u8>),
}

impl Value {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Int(_) => "a whole number",
            Self::Real(_) => "a floating-point number",
            Self::Text(_) => "text",
            Self::Blob(_) => "bytes",
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(value.to_vec())
    }
}

impl From<Time> for Value {
    /// Microseconds since 1970.
    fn from(value: Time) -> Self {
        Self::Int(i64::try_from(value.as_micros()).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    values: Vec<Value>,
}

impl Row {
    pub(crate) const fn new(values: Vec<Value>) -> Self {
        Self { values }
    }

    /// The column, as it is.
    ///
    /// # Errors
    /// When the row has fewer columns.
    pub fn value(&self, column: usize) -> Result<&Value, StoreError> {
        let len = self.values.len();
        self.values.get(column).ok_or_else(|| StoreError::Row(format!("there's no column {column} among {len}")))
    }

    /// A whole number.
    ///
    /// # Errors
    /// When the column isn't there, or is something else.
    pub fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.int_opt(column)?.ok_or_else(|| null(column))
    }

    /// A whole number, or nothing.
    ///
    /// # Errors
    /// When the column isn't there, or is something else.
    pub fn int_opt(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.value(column)? {
            Value::Int(value) => Ok(Some(*value)),
            Value::Null => Ok(None),
            other => Err(unlike(column, other, "a whole number")),
        }
    }

    /// Text.
    ///
    /// # Errors
    /// When the column isn't there, or is something else.
    pub fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.text_opt(column)?.ok_or_else(|| null(column))
    }

    /// Text, or nothing.
    ///
    /// # Errors
    /// When the column isn't there, or is something else.
    pub fn text_opt(&self, column: usize) -> Result<Option<&str>, StoreError> {
        match self.value(column)? {
            Value::Text(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            other => Err(unlike(column, other, "text")),
        }
    }

    /// A floating-point number; a whole one is taken too.
    ///
    /// # Errors
    /// When the column isn't there, or is something else.
    pub fn real(&self, column: usize) -> Result<f64, StoreError> {
        match self.value(column)? {
            Value::Real(value) => Ok(*value),
            // What is beyond 2^53 was no amount that anybody keeps in a floating-point column.
            Value::Int(value) => Ok(*value as f64),
            other => Err(unlike(column, other, "a floating-point number")),
        }
    }

    /// Bytes.
    ///
    /// # Errors
    /// When the column isn't there, or is something else.
    pub fn blob(&self, column: usize) -> Result<&[u8], StoreError> {
        match self.value(column)? {
            Value::Blob(value) => Ok(value),
            other => Err(unlike(column, other, "bytes")),
        }
    }
}

fn null(column: usize) -> StoreError {
    StoreError::Row(format!("column {column} is NULL"))
}

fn unlike(column: usize, have: &Value, wanted: &str) -> StoreError {
    StoreError::Row(format!("column {column} is {}, not {wanted}", have.kind()))
}
