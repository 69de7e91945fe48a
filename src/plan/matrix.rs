//! The matrix of a job: values that multiply it, known from the file or worked out from what earlier jobs gave.

use indexmap::IndexMap;

use super::{Instance, Wrong};
use crate::diag::Origin;
use crate::expr::{ExprError, Scope, Template, Value};

/// At most so many instances come from one matrix, as on GitHub.
pub const INSTANCES_MAX: usize = 256;

/// One member of a matrix: values by axis.
pub type Row = IndexMap<String, Value>;

/// Values that multiply a job.
#[derive(Debug, Clone, Default)]
pub struct Matrix {
    pub axes: IndexMap<String, Axis>,
    /// The whole matrix from one expression (an object of lists).
    pub whole: Option<Template>,
    pub include: Rows,
    pub exclude: Rows,
    /// Whether the first failing instance cancels the others.
    pub fail_fast: bool,
    pub max_parallel: Option<u32>,
    /// Only members with these values, as a person asked (`--matrix KEY=VALUE`); a member without the key stays.
    pub only: Vec<(String, String)>,
    pub origin: Origin,
}

#[derive(Debug, Clone)]
pub enum Axis {
    Values(Vec<Cell>),
    /// An expression that gives a list.
    From(Template),
}

/// One value as the file says it.
#[derive(Debug, Clone)]
pub enum Cell {
    /// A scalar, list or object.
    Value(Value),
    /// Text with an expression in it.
    From(Template),
}

/// The members under `include` or `exclude`.
#[derive(Debug, Clone)]
pub enum Rows {
    Listed(Vec<IndexMap<String, Cell>>),
    /// An expression that gives a list of objects.
    From(Template),
}

impl Default for Rows {
    fn default() -> Self {
        Rows::Listed(vec![])
    }
}

impl Matrix {
    /// Its members, where the file alone tells them: no expression anywhere in it.
    pub fn members(&self) -> Option<Vec<Row>> {
        if self.whole.is_some() {
            return None;
        }
        let known = |cell: &Cell| match cell {
            Cell::Value(value) => Some(value.clone()),
            Cell::From(_) => None,
        };
        let rows = |rows: &Rows| match rows {
            Rows::Listed(rows) => rows
                .iter()
                .map(|row| {
                    row.iter()
                        .map(|(key, cell)| Some((key.clone(), known(cell)?)))
                        .collect()
                })
                .collect::<Option<Vec<Row>>>(),
            Rows::From(_) => None,
        };
        let mut axes = IndexMap::new();
        for (name, axis) in &self.axes {
            let Axis::Values(cells) = axis else { return None };
            axes.insert(name.clone(), cells.iter().map(known).collect::<Option<Vec<Value>>>()?);
        }
        Some(self.chosen(combine(&axes, &rows(&self.include)?, &rows(&self.exclude)?)))
    }

    fn chosen(&self, mut rows: Vec<Row>) -> Vec<Row> {
        let fits = |row: &Row, key: &str, value: &str| row.get(key).is_none_or(|has| has.to_string() == value);
        rows.retain(|row| self.only.iter().all(|(key, value)| fits(row, key, value)));
        rows
    }

    /// Every expression in it.
    pub(super) fn templates(&self) -> Vec<&Template> {
        let mut found: Vec<&Template> = self.whole.iter().collect();
        fn cell(cell: &Cell) -> Option<&Template> {
            match cell {
                Cell::Value(_) => None,
                Cell::From(template) => Some(template),
            }
        }
        for axis in self.axes.values() {
            match axis {
                Axis::Values(cells) => found.extend(cells.iter().filter_map(cell)),
                Axis::From(template) => found.push(template),
            }
        }
        for rows in [&self.include, &self.exclude] {
            match rows {
                Rows::Listed(rows) => found.extend(rows.iter().flat_map(IndexMap::values).filter_map(cell)),
                Rows::From(template) => found.push(template),
            }
        }
        found
    }

    /// The instances, every expression worked out.
    pub(super) fn expand(&self, scope: &dyn Scope) -> Result<Vec<Instance>, Wrong> {
        let worked = |template: &Template, what: &str| {
            let fails = |error: ExprError| Wrong::new(format!("{what} cannot be worked out"), &self.origin, error);
            template.value(scope).map_err(fails)
        };
        let cell = |cell: &Cell, what: &str| match cell {
            Cell::Value(value) => Ok(value.clone()),
            Cell::From(template) => worked(template, what),
        };
        let mut axes: IndexMap<String, Vec<Value>> = IndexMap::new();
        let mut include: Vec<Row> = vec![];
        let mut exclude: Vec<Row> = vec![];
        if let Some(whole) = &self.whole {
            let value = worked(whole, "the matrix")?;
            let Value::Object(entries) = &value else {
                return Err(self.not("the matrix", "an object of lists", &value));
            };
            for (name, value) in entries.iter() {
                let what = format!("matrix `{name}`");
                match name {
                    "include" => include.extend(self.rows_of(value, &what)?),
                    "exclude" => exclude.extend(self.rows_of(value, &what)?),
                    _ => drop(axes.insert(name.to_owned(), self.list_of(value, &what)?)),
                }
            }
        }
        for (name, axis) in &self.axes {
            let what = format!("matrix `{name}`");
            let values = match axis {
                Axis::Values(cells) => cells.iter().map(|one| cell(one, &what)).collect::<Result<_, Wrong>>()?,
                Axis::From(template) => self.list_of(&worked(template, &what)?, &what)?,
            };
            axes.insert(name.clone(), values);
        }
        for (rows, what, into) in [
            (&self.include, "matrix `include`", &mut include),
            (&self.exclude, "matrix `exclude`", &mut exclude),
        ] {
            match rows {
                Rows::From(template) => into.extend(self.rows_of(&worked(template, what)?, what)?),
                Rows::Listed(rows) => {
                    for row in rows {
                        let cells = row.iter().map(|(key, one)| Ok((key.clone(), cell(one, what)?)));
                        into.push(cells.collect::<Result<Row, Wrong>>()?);
                    }
                }
            }
        }
        let rows = self.chosen(combine(&axes, &include, &exclude));
        if rows.len() > INSTANCES_MAX {
            let why = format!("gives more than {INSTANCES_MAX} jobs, which is the most that is allowed");
            return Err(Wrong::new("the matrix", &self.origin, why));
        }
        let instance = |(index, matrix)| Instance {
            index: index as u32,
            matrix,
        };
        Ok(rows.into_iter().enumerate().map(instance).collect())
    }

    fn not(&self, what: &str, wanted: &str, got: &Value) -> Wrong {
        Wrong::new(
            what,
            &self.origin,
            format!("gives {} where {wanted} is wanted", got.kind()),
        )
    }

    fn list_of(&self, value: &Value, what: &str) -> Result<Vec<Value>, Wrong> {
        match value {
            Value::Array(values) => Ok(values.to_vec()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                Err(self.not(what, "a list", value))
            }
        }
    }

    fn rows_of(&self, value: &Value, what: &str) -> Result<Vec<Row>, Wrong> {
        let row = |value: &Value| match value {
            Value::Object(entries) => Ok(entries
                .iter()
                .map(|(key, value)| (key.to_owned(), value.clone()))
                .collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(self.not(what, "a list of objects", value))
            }
        };
        self.list_of(value, what)?.iter().map(row).collect()
    }
}

/// GitHub's rules: the product of the axes, less what `exclude` matches; each `include` widens every member
/// whose original values it does not overwrite, or else becomes a member of its own.
/// Stops growing soon after [`INSTANCES_MAX`]: that is enough to refuse the matrix.
fn combine(axes: &IndexMap<String, Vec<Value>>, include: &[Row], exclude: &[Row]) -> Vec<Row> {
    let mut rows: Vec<Row> = if axes.is_empty() { vec![] } else { vec![Row::new()] };
    for (name, values) in axes {
        let grown = rows.iter().flat_map(|row| {
            values.iter().map(|value| {
                let mut row = row.clone();
                row.insert(name.clone(), value.clone());
                row
            })
        });
        rows = grown.take(INSTANCES_MAX * 4 + 1).collect();
    }
    let matches = |row: &Row, wanted: &Row| wanted.iter().all(|(key, value)| row.get(key) == Some(value));
    rows.retain(|row| !exclude.iter().any(|wanted| matches(row, wanted)));
    let originals = rows.clone();
    for extra in include {
        let mut joined = false;
        for (row, original) in rows.iter_mut().zip(&originals) {
            let widens = |(key, value): (&String, &Value)| original.get(key).is_none_or(|known| known == value);
            if extra.iter().all(widens) {
                row.extend(extra.iter().map(|(key, value)| (key.clone(), value.clone())));
                joined = true;
            }
        }
        if !joined {
            rows.push(extra.clone());
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: &[Row]) -> String {
        let cell = |(key, value): (&String, &Value)| format!("{key}={value}");
        let row = |row: &Row| row.iter().map(cell).collect::<Vec<_>>().join(" ");
        rows.iter().map(row).collect::<Vec<_>>().join("\n")
    }

    fn row<'a>(cells: impl IntoIterator<Item = (&'a str, &'a str)>) -> IndexMap<String, Cell> {
        cells
            .into_iter()
            .map(|(key, value)| (key.to_owned(), Cell::Value(Value::from(value))))
            .collect()
    }

    #[test]
    fn members_are_the_product_less_exclude_widened_by_include() {
        let axis = |values: &[&str]| Axis::Values(values.iter().map(|one| Cell::Value(Value::from(*one))).collect());
        let matrix = Matrix {
            axes: IndexMap::from([
                ("fruit".to_owned(), axis(&["apple", "pear"])),
                ("animal".to_owned(), axis(&["cat", "dog"])),
            ]),
            include: Rows::Listed(vec![
                row([("color", "green")]),
                row([("color", "pink"), ("animal", "cat")]),
                row([("fruit", "apple"), ("shape", "circle")]),
                row([("fruit", "banana")]),
                row([("fruit", "banana"), ("animal", "cat")]),
            ]),
            exclude: Rows::Listed(vec![row([("fruit", "pear"), ("animal", "dog")])]),
            ..Matrix::default()
        };
        insta::assert_snapshot!(drawn(&matrix.members().unwrap_or_default()), @"
        fruit=apple animal=cat color=pink shape=circle
        fruit=apple animal=dog color=green shape=circle
        fruit=pear animal=cat color=pink
        fruit=banana
        fruit=banana animal=cat
        ");
    }

    #[test]
    fn a_huge_product_is_cut_soon_after_the_limit() {
        let values: Vec<Cell> = (0..1000)
            .map(|one| Cell::Value(Value::Number(f64::from(one))))
            .collect();
        let axes = ["a", "b", "c", "d"].map(|name| (name.to_owned(), Axis::Values(values.clone())));
        let matrix = Matrix {
            axes: IndexMap::from(axes),
            ..Matrix::default()
        };
        assert!(
            matrix
                .members()
                .is_some_and(|rows| rows.len() > INSTANCES_MAX && rows.len() < 2000)
        );
    }
}
