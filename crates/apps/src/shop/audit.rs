//! The books: of every product, what is in stock, reserved and sold must be what was ever booked in.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use headwater_service::{Reader, Row, StoreError};
use serde::Serialize;
use tokio::time::sleep;

use super::basket::Basket;
use super::{inventory, order};

/// The books of one product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProductBooks {
    /// What was booked in, less what was booked out.
    pub supplied: i64,
    /// What can be ordered now.
    pub stock: i64,
    /// What the product's own row says is taken out of the stock.
    pub taken: i64,
    /// What the reservations that hold stock add up to.
    pub held: i64,
    /// Of that, what belongs to orders that are successful.
    pub sold: i64,
}

impl ProductBooks {
    /// Of what is held, what isn't sold yet.
    #[must_use]
    pub const fn reserved(&self) -> i64 {
        self.held - self.sold
    }
}

/// What an audit has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// By the product's number.
    pub products: BTreeMap<i64, ProductBooks>,
    /// How many orders have which status; empty where the orders are kept by another.
    pub orders: BTreeMap<&'static str, i64>,
    /// Everything that isn't as it must be; empty when the books are right.
    pub faults: Vec<String>,
}

impl Report {
    /// Whether the books are right.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.faults.is_empty()
    }
}

/// How often the books are read again when the two stores disagree, and after which pause: while orders come in, the moments
/// of the two differ by a few milliseconds, and an order that is canceled just then is seen in one and no longer in the other.
const READ_AGAIN: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// Checks the books. Each store is read in one statement, so as of one moment: whether stock and reservations balance can be
/// seen at any time. What is sold is seen in the other store, a moment earlier.
///
/// # Errors
/// When a store can't be read.
pub async fn audit(stock: &Reader, orders: Option<&Reader>) -> Result<Report, StoreError> {
    let mut report = audit_once(stock, orders).await?;
    for _ in 0..READ_AGAIN {
        if !report.products.values().any(|books| books.sold > books.held) {
            break;
        }
        sleep(PAUSE).await;
        report = audit_once(stock, orders).await?;
    }
    Ok(report)
}

async fn audit_once(stock: &Reader, orders: Option<&Reader>) -> Result<Report, StoreError> {
    let mut report = Report::default();
    // The orders first: whatever is successful by then was reserved before.
    if let Some(orders) = orders {
        for row in orders.query(&order::tables::AUDIT, &[]).await? {
            report.count_orders(&row)?;
        }
    }
    for row in stock.query(&inventory::tables::AUDIT, &[]).await? {
        report.count_stock(&row)?;
    }
    report.judge(orders.is_some());
    Ok(report)
}

impl Report {
    fn count_orders(&mut self, row: &Row) -> Result<(), StoreError> {
        let count = row.int(3)?;
        if row.int(0)? == 1 {
            self.add(row.text(1)?, |books, wanted| books.sold += wanted * count);
            return Ok(());
        }
        let word = order::Status::from_column(row.int(2)?).map_or("awaited", order::Status::word);
        *self.orders.entry(word).or_insert(0) += count;
        Ok(())
    }

    fn count_stock(&mut self, row: &Row) -> Result<(), StoreError> {
        let (product, items, a, b) = (row.int(1)?, row.text(2)?, row.int(3)?, row.int(4)?);
        match row.int(0)? {
            1 => {
                let books = self.products.entry(product).or_default();
                (books.stock, books.taken) = (a, b);
            }
            2 => self.products.entry(product).or_default().supplied = a,
            _ => self.add(items, |books, wanted| books.held += wanted * a),
        }
        Ok(())
    }

    /// Adds what one kind of basket wants of each product.
    fn add(&mut self, items: &str, mut add: impl FnMut(&mut ProductBooks, i64)) {
        let wanted = Basket::from_text(items).ok().and_then(|basket| basket.numbered());
        let Some(wanted) = wanted else {
            self.faults.push(format!("a reservation holds what is no basket of this inventory: {items}"));
            return;
        };
        for (product, count) in wanted {
            add(self.products.entry(product).or_default(), count);
        }
    }

    fn judge(&mut self, has_orders: bool) {
        for (id, books) in &self.products {
            let ProductBooks { supplied, stock, taken, held, sold } = *books;
            if stock + held != supplied {
                self.faults.push(format!(
                    "product {id}: {stock} in stock and {held} reserved or sold make {}, and {supplied} were booked in",
                    stock + held
                ));
            }
            if taken != held {
                self.faults.push(format!("product {id}: its row says {taken} are taken, its reservations say {held}"));
            }
            if stock < 0 {
                self.faults.push(format!("product {id}: {stock} in stock"));
            }
            if has_orders && sold > held {
                self.faults.push(format!("product {id}: {sold} are sold, and only {held} were reserved"));
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>8} {:>10} {:>10} {:>10} {:>10}", "product", "supplied", "stock", "reserved", "sold")?;
        for (id, books) in &self.products {
            let ProductBooks { supplied, stock, sold, .. } = books;
            writeln!(f, "{id:>8} {supplied:>10} {stock:>10} {:>10} {sold:>10}", books.reserved())?;
        }
        if !self.orders.is_empty() {
            let orders: Vec<String> = self.orders.iter().map(|(word, count)| format!("{count} {word}")).collect();
            writeln!(f, "orders: {}", orders.join(", "))?;
        }
        for fault in &self.faults {
            writeln!(f, "FAULT {fault}")?;
        }
        f.write_str(if self.is_balanced() { "the books are right" } else { "the books are WRONG" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_that_are_wrong_are_told_with_product_and_amounts() {
        let right = ProductBooks { supplied: 200, stock: 190, taken: 10, held: 10, sold: 4 };
        assert_eq!(right.reserved(), 6);
        for (books, faults) in [
            (right, 0),
            (ProductBooks { stock: 191, ..right }, 1),
            (ProductBooks { taken: 9, ..right }, 1),
            (ProductBooks { held: 9, ..right }, 2),
            (ProductBooks { sold: 11, ..right }, 1),
            (ProductBooks { stock: -1, held: 201, taken: 201, ..right }, 1),
        ] {
            let mut report = Report { products: BTreeMap::from([(7, books)]), ..Report::default() };
            report.judge(true);
            assert_eq!(report.faults.len(), faults, "{report}");
            assert!(report.faults.iter().all(|fault| fault.starts_with("product 7:")), "{report}");
        }
    }
}
