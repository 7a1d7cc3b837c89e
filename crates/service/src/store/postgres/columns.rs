//! Values in PostgreSQL's binary spelling, and back.

use std::error::Error;

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::read_error;
use crate::store::{Row, StoreError, Value};

/// The most rows of one answer: what needs more is read in pages.
const ROWS_MAX: usize = 100_000;

/// Values on their way into a statement, each spelled as its parameter's type wants it.
pub(super) fn params(values: &[Value]) -> impl ExactSizeIterator<Item = &(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync))
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) => int_to_sql(*value, ty, out),
            Self::Real(value) if *ty == Type::FLOAT4 => (*value as f32).to_sql(ty, out),
            Self::Real(value) if *ty == Type::FLOAT8 => value.to_sql(ty, out),
            Self::Text(value) if <&str as ToSql>::accepts(ty) => value.as_str().to_sql(ty, out),
            Self::Blob(value) if *ty == Type::BYTEA => value.as_slice().to_sql(ty, out),
            other => Err(format!("{} was given for a parameter of type {ty}", other.kind()).into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        // Each kind is checked with its value.
        true
    }

    to_sql_checked!();
}

fn int_to_sql(value: i64, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
    match *ty {
        Type::INT8 => value.to_sql(ty, out),
        Type::INT4 => i32::try_from(value)?.to_sql(ty, out),
        Type::INT2 => i16::try_from(value)?.to_sql(ty, out),
        Type::BOOL => (value != 0).to_sql(ty, out),
        // SQLite takes a whole number for any number.
        Type::FLOAT8 => (value as f64).to_sql(ty, out),
        _ => Err(format!("a whole number was given for a parameter of type {ty}").into()),
    }
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::BOOL => Self::Int(bool::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Int(i16::from_sql(ty, raw)?.into()),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::FLOAT4 => Self::Real(f32::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Self::Real(f64::from_sql(ty, raw)?),
            Type::NUMERIC => numeric(raw).ok_or("a NUMERIC that no column of a service can have")?,
            Type::BYTEA => Self::Blob(raw.to_vec()),
            _ => Self::Text(<&str as FromSql<'_>>::from_sql(ty, raw)?.to_owned()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        let numbers =
            [Type::BOOL, Type::INT2, Type::INT4, Type::INT8, Type::FLOAT4, Type::FLOAT8, Type::NUMERIC, Type::BYTEA];
        numbers.contains(ty) || <&str as FromSql<'_>>::accepts(ty)
    }
}

/// `SUM` over `BIGINT` is `NUMERIC` here and a whole number on SQLite, so whole ones are read as such: digits to the base of
/// 10,000, the first with this weight.
fn numeric(raw: &[u8]) -> Option<Value> {
    const POSITIVE: u16 = 0;
    const NEGATIVE: u16 = 0x4000;
    let field = |at: usize| Some(u16::from_be_bytes(*raw.get(at..)?.first_chunk::<2>()?));
    let (len, weight, sign) = (usize::from(field(0)?), i32::from(field(2)?.cast_signed()), field(4)?);
    if sign != POSITIVE && sign != NEGATIVE {
        return None;
    }
    let digits: Vec<u16> = (0..len).map(|at| field(8 + 2 * at)).collect::<Option<_>>()?;
    let digit = |at: i32| usize::try_from(at).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0);
    let fraction_from = usize::try_from(weight + 1).unwrap_or(0);
    if digits.iter().skip(fraction_from).any(|digit| *digit != 0) || weight > 4 {
        let value = digits.iter().enumerate().fold(0.0, |sum, (at, digit)| {
            sum + f64::from(*digit) * 10_000_f64.powi(weight - i32::try_from(at).unwrap_or(i32::MAX))
        });
        return Some(Value::Real(if sign == NEGATIVE { -value } else { value }));
    }
    let mut whole: i128 = 0;
    for at in 0..=weight {
        whole = whole * 10_000 + i128::from(digit(at));
    }
    let whole = if sign == NEGATIVE { -whole } else { whole };
    Some(i64::try_from(whole).map_or(Value::Real(whole as f64), Value::Int))
}

/// All rows of an answer.
pub(super) async fn rows_of(found: tokio_postgres::RowStream) -> Result<Vec<Row>, StoreError> {
    let mut found = std::pin::pin!(found);
    let mut rows = Vec::new();
    while let Some(row) = found.try_next().await.map_err(read_error)? {
        if rows.len() == ROWS_MAX {
            return Err(StoreError::Statement(format!("more than {ROWS_MAX} rows in one answer")));
        }
        let values = (0..row.len()).map(|column| row.try_get::<_, Value>(column).map_err(read_error));
        rows.push(Row::new(values.collect::<Result<_, _>>()?));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
        let head = [u16::try_from(digits.len()).unwrap(), weight.cast_unsigned(), sign, 0];
        head.iter().chain(digits).flat_map(|field| field.to_be_bytes()).collect()
    }

    #[test]
    fn sums_come_back_as_whole_numbers() {
        for (raw, value) in [
            (spelled(0, 0, &[]), Value::Int(0)),
            (spelled(0, 0, &[7]), Value::Int(7)),
            (spelled(1, 0x4000, &[1, 2345]), Value::Int(-12_345)),
            (spelled(1, 0, &[20]), Value::Int(200_000)),
            (spelled(4, 0, &[922, 3372, 368, 5477, 5807]), Value::Int(i64::MAX)),
            (spelled(0, 0, &[1, 5000]), Value::Real(1.5)),
        ] {
            assert_eq!(numeric(&raw), Some(value));
        }
        assert_eq!(numeric(&spelled(0, 0xC000, &[])), None);
        assert_eq!(numeric(&[0, 1]), None);
    }
}
