//! What somebody wants: so many of each product. Lines of one product are summed before anything is decided.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wire_id::WireId;

/// How many lines an order has at the most: a person's cart has tens, a reseller's hundreds.
pub const LINES_MAX: usize = 1_000;

/// How many of one product one line wants at the most: with [`LINES_MAX`] lines a sum stays far below 2^63.
pub const COUNT_MAX: i64 = 1_000_000_000;

/// One line of an order, as it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Which product.
    #[serde(rename = "inventoryId", alias = "inventory_id")]
    pub product: WireId,
    /// How many.
    pub count: i64,
}

/// The sums of an order's lines, by product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Basket(BTreeMap<String, i64>);

/// What is wrong with the lines of an order: the field, and what belongs there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct LineFault {
    /// The field, as `items[0].count`.
    pub field: String,
    /// What belongs there.
    pub why: String,
}

impl LineFault {
    /// A fault of one field.
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }
}

impl Basket {
    /// Sums lines.
    ///
    /// # Errors
    /// No lines, too many, or a count that isn't a positive whole number.
    pub fn of(lines: &[Line]) -> Result<Self, LineFault> {
        if lines.is_empty() || lines.len() > LINES_MAX {
            return Err(LineFault::new("items", format!("an order has 1 to {LINES_MAX} lines, not {}", lines.len())));
        }
        let mut sums = BTreeMap::new();
        for (at, line) in lines.iter().enumerate() {
            if !(1..=COUNT_MAX).contains(&line.count) {
                let why = format!("a count is a whole number from 1 to {COUNT_MAX}, not {}", line.count);
                return Err(LineFault::new(format!("items[{at}].count"), why));
            }
            *sums.entry(line.product.as_str().to_owned()).or_insert(0) += line.count;
        }
        Ok(Self(sums))
    }

    /// The form in which it is kept: `{"1":2,"7":1}`, ordered by the product's name.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(&self.0).expect("a map of texts and numbers can always be written")
    }

    /// Reads the kept form.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Product and count, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(product, count)| (product.as_str(), *count))
    }

    /// The products by their numbers, ascending, so that all who take several take them in the same order; `None` when a
    /// name is no number, so that this inventory can't have it.
    #[must_use]
    pub fn numbered(&self) -> Option<Vec<(i64, i64)>> {
        let mut numbered = self
            .iter()
            .map(|(product, count)| Some((product.parse().ok()?, count)))
            .collect::<Option<Vec<(i64, i64)>>>()?;
        numbered.sort_unstable();
        Some(numbered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(product: i64, count: i64) -> Line {
        Line { product: product.into(), count }
    }

    #[test]
    fn lines_of_one_product_are_summed_and_kept_in_one_form() {
        let basket = Basket::of(&[line(10, 1), line(2, 3), line(10, 4)]).unwrap();
        assert_eq!(basket.to_text(), r#"{"10":5,"2":3}"#);
        assert_eq!(Basket::from_text(&basket.to_text()).unwrap(), basket);
        assert_eq!(basket.numbered().unwrap(), [(2, 3), (10, 5)]);
        let strange = Line { product: WireId::new("sku-9").unwrap(), count: 1 };
        assert_eq!(Basket::of(&[strange]).unwrap().numbered(), None);
    }

    #[test]
    fn what_can_be_no_order_is_told_with_its_field() {
        let field = |lines: &[Line]| Basket::of(lines).unwrap_err().field;
        assert_eq!(field(&[]), "items");
        assert_eq!(field(&[line(1, 1), line(1, -5)]), "items[1].count");
        assert_eq!(field(&[line(1, 0)]), "items[0].count");
        assert_eq!(field(&[line(1, COUNT_MAX + 1)]), "items[0].count");
        assert_eq!(field(&vec![line(1, 1); LINES_MAX + 1]), "items");
        assert!(Basket::of(&vec![line(1, COUNT_MAX); LINES_MAX]).is_ok());
    }
}
