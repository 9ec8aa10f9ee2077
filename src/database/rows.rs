//! Rows on their way into a table: which columns there are, in which order they are written, and what becomes of a row
//! that exists already.
//!
//! A table has one writer, whatever takes its values: a COPY stream, arrays or parameters.

/// A value of a row, as its column has it.
pub enum Field<'a> {
    Text(Option<&'a str>),
    Bytes(&'a [u8]),
    /// A smallint.
    Small(i16),
    /// A bigint.
    Int(Option<i64>),
    /// Eight bytes.
    Float(f64),
}

/// Takes a row's values in the order of its columns.
pub trait Sink {
    fn put(&mut self, field: Field<'_>);

    fn text(&mut self, value: &str) {
        self.put(Field::Text(Some(value)));
    }
    fn text_or_null(&mut self, value: Option<&str>) {
        self.put(Field::Text(value));
    }
    fn bytes(&mut self, value: &[u8]) {
        self.put(Field::Bytes(value));
    }
    fn small(&mut self, value: i16) {
        self.put(Field::Small(value));
    }
    fn int(&mut self, value: i64) {
        self.put(Field::Int(Some(value)));
    }
    fn int_or_null(&mut self, value: Option<i64>) {
        self.put(Field::Int(value));
    }
    fn float(&mut self, value: f64) {
        self.put(Field::Float(value));
    }
}

/// Puts a row's values into a sink, in the order of the columns.
pub trait Write<T>: Fn(&mut dyn Sink, &T) {}

impl<T, F: Fn(&mut dyn Sink, &T)> Write<T> for F {}

/// A table that rows are written to: its name, its key, and its other columns in the order in which they are written.
pub struct Table {
    pub name: &'static str,
    /// The columns of its primary key; they are written first.
    pub keys: &'static [&'static str],
    pub others: &'static [&'static str],
    pub rule: Rule,
}

/// What a written row does to the one of the same key.
pub enum Rule {
    /// The new values take the place of the old, but for columns that are named here: they become what the expression
    /// says, in which the new row is called `excluded`.
    Replace(&'static [(&'static str, &'static str)]),
    /// There is none. Postgres is spared a third of the work of a row.
    Add,
    /// It stays as it is.
    Keep,
    /// It takes the new values; a row without one of its key is not written.
    Update,
}

impl Table {
    /// A table whose rows take the place of those with the same key.
    pub const fn new(
        name: &'static str,
        keys: &'static [&'static str],
        others: &'static [&'static str],
    ) -> Self {
        Self { name, keys, others, rule: Rule::Replace(&[]) }
    }

    /// All columns, comma between.
    pub fn columns(&self) -> String {
        [self.keys, self.others].concat().join(", ")
    }

    /// All columns of the table that a statement calls `alias`. Named, not `*`: a column that a later migration adds must
    /// not change the answers of a program that is still running.
    pub fn columns_of(&self, alias: &str) -> String {
        joined(self.keys.iter().chain(self.others).map(|column| format!("{alias}.{column}")), ", ")
    }

    /// The statement that asks for the rows that `which` describes.
    pub fn select(&self, which: &str) -> String {
        format!("select {} from {} {which}", self.columns(), self.name)
    }

    /// The statement that asks for the rows of a list k (`{ids}` or `{keys}`), which are found `on` a condition. The
    /// table is called `alias` in it.
    pub fn select_listed(&self, alias: &str, list: &str, on: &str) -> String {
        format!("select {} from {list} {{join}} {} {alias} on {on}", self.columns_of(alias), self.name)
    }

    pub(super) fn width(&self) -> usize {
        self.keys.len() + self.others.len()
    }

    /// The temporary table in which Postgres keeps rows before they are written.
    pub(super) fn staged(&self) -> String {
        let prefix = if matches!(self.rule, Rule::Add) { "batch_new" } else { "batch" };
        format!("{prefix}_{}", self.name)
    }

    /// The statement that writes the rows of a query with all columns.
    pub(super) fn write(&self, rows: &str) -> String {
        let (name, columns, keys) = (self.name, self.columns(), self.keys.join(", "));
        let set = |change: &dyn Fn(&str) -> String| {
            joined(self.others.iter().map(|column| format!("{column} = {}", change(column))), ", ")
        };
        match self.rule {
            Rule::Replace(merged) => {
                let changes = set(&|column| {
                    let found = merged.iter().find(|(name, _)| *name == column);
                    found.map_or_else(|| format!("excluded.{column}"), |(_, change)| (*change).to_owned())
                });
                format!("insert into {name} ({columns}) {rows} on conflict ({keys}) do update set {changes}")
            }
            Rule::Add => format!("insert into {name} ({columns}) {rows}"),
            Rule::Keep => format!("insert into {name} ({columns}) {rows} on conflict do nothing"),
            Rule::Update => {
                let changes = set(&|column| format!("n.{column}"));
                let same = joined(self.keys.iter().map(|key| format!("{name}.{key} = n.{key}")), " and ");
                format!("with n ({columns}) as ({rows}) update {name} set {changes} from n where {same}")
            }
        }
    }
}

fn joined(parts: impl Iterator<Item = String>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}
