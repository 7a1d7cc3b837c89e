//! How far the sending has come: a bar where a person looks on, silence in a pipe.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// The bar, or nothing.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins to show it; `len` is the input's length in bytes where it's known.
    pub fn start(len: Option<u64>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let (bar, template) = match len {
            Some(len) => (
                ProgressBar::new(len),
                "{bar:32} {percent:>3} %  {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left {msg}",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {bytes}, {bytes_per_sec} {msg}"),
        };
        // The templates are constants; a broken one would only cost the look.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        Self { bar }
    }

    /// Everything up to this byte of the input is done with.
    pub fn at(&self, end: u64) {
        self.bar.set_position(end);
    }

    /// Says something beside the bar.
    pub fn say(&self, sentence: &str) {
        if self.bar.is_hidden() {
            eprintln!("{sentence}");
        } else {
            self.bar.println(sentence);
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
