//! A job's matrix.

use std::sync::Arc;

use indexmap::IndexMap;

use super::Lower;
use crate::dialect::native::mistakes;
use crate::dialect::native::model;
use crate::dialect::native::scope::{Around, Axes, Place};
use crate::dialect::read::{At, Named, OneOrMany, ShortOr, Text};
use crate::dialect::yaml::{Content, Meaning, Node};
use crate::expr::{Object, Value};
use crate::plan::{Axis, Cell, INSTANCES_MAX, Matrix, Rows};

type Listed = OneOrMany<Named<Node>>;

impl Lower<'_, '_, '_> {
    /// The names that expressions find below `matrix`.
    pub(super) fn axes<'m>(&self, matrix: Option<&'m ShortOr<Text, model::Matrix>>) -> Axes<'m> {
        let full = match matrix {
            None => return Axes::None,
            Some(ShortOr::Short(_)) => return Axes::FromExpression,
            Some(ShortOr::Full(full)) => full,
        };
        let mut names: Vec<&str> = vec![];
        let mut outside: Vec<&str> = vec![];
        let include = full
            .keys
            .include
            .iter()
            .flat_map(|rows| &rows.items)
            .flat_map(|row| &row.entries);
        let included = include.map(|entry| (&*entry.key, &entry.value));
        for (name, node) in full.axes.iter().map(|(name, _, node)| (&**name, node)).chain(included) {
            if !names.contains(&name) {
                names.push(name);
            }
            if holds_expression(node) && !outside.contains(&name) {
                outside.push(name);
            }
        }
        Axes::Known { names, outside }
    }

    pub(super) fn matrix(
        &mut self,
        matrix: Option<&ShortOr<Text, model::Matrix>>,
        around: &Around<'_>,
    ) -> Option<Matrix> {
        let lowered = match matrix? {
            ShortOr::Short(text) => {
                let template = self.template(text, Place::Matrix, around);
                if template.as_expression().is_none() {
                    self.report(mistakes::matrix_text(text.span()));
                }
                Matrix {
                    whole: Some(template),
                    fail_fast: true,
                    origin: self.origin(text.span()),
                    ..Matrix::default()
                }
            }
            ShortOr::Full(full) => self.written(full, around),
        };
        Some(lowered)
    }

    fn written(&mut self, full: &model::Matrix, around: &Around<'_>) -> Matrix {
        let mut axes = IndexMap::new();
        for (name, span, node) in &full.axes {
            if let Some(axis) = self.axis(name, *span, node, around) {
                axes.insert(name.to_string(), axis);
            }
        }
        let axis_names: Vec<&str> = full.axes.iter().map(|(name, _, _)| &**name).collect();
        for entry in full
            .keys
            .exclude
            .iter()
            .flat_map(|rows: &Listed| &rows.items)
            .flat_map(|row| &row.entries)
        {
            if !axis_names.contains(&&*entry.key) {
                self.report(mistakes::exclude_matches_nothing(
                    &entry.key,
                    entry.key_span,
                    &axis_names,
                ));
            }
        }
        let max_parallel = full.keys.max_parallel.as_ref();
        if let Some(zero) = max_parallel.filter(|most| most.value == 0) {
            self.report(mistakes::out_of_range(
                "max-parallel",
                "0",
                "a number from 1",
                zero.span(),
            ));
        }
        let matrix = Matrix {
            axes,
            whole: None,
            include: self.rows(full.keys.include.as_ref(), around),
            exclude: self.rows(full.keys.exclude.as_ref(), around),
            fail_fast: full.keys.fail_fast.as_ref().is_none_or(|fail_fast| fail_fast.value),
            max_parallel: max_parallel.map(|most| most.value),
            only: vec![],
            origin: self.origin(full.node.head),
        };
        match matrix.members() {
            // An axis that was complained of is not there, so that nothing can be said of the rest.
            Some(_) if matrix.axes.len() < full.axes.len() => {}
            Some(members) if members.is_empty() => self.report(mistakes::no_members(full.node.head)),
            Some(members) if members.len() > INSTANCES_MAX => {
                self.report(mistakes::too_many_members(members.len(), INSTANCES_MAX, full.node.head));
            }
            Some(_) | None => {}
        }
        matrix
    }

    fn axis(&mut self, name: &str, span: crate::diag::Span, node: &Node, around: &Around<'_>) -> Option<Axis> {
        match &node.content {
            Content::List(items) if items.is_empty() => {
                let help = "give it at least one value, or take the axis out";
                self.report(mistakes::empty(&format!("the axis `{name}`"), node.head, help));
                None
            }
            Content::List(items) => Some(Axis::Values(items.iter().map(|item| self.cell(item, around)).collect())),
            Content::Scalar(_) if holds_expression(node) => {
                let text = text_of(node)?;
                Some(Axis::From(self.template(&text, Place::Matrix, around)))
            }
            Content::Scalar(_) | Content::Map(_) => {
                let at = if node.is_null() { span } else { node.head };
                self.report(mistakes::axis_kind(name, node.what(), at));
                None
            }
        }
    }

    fn rows(&mut self, rows: Option<&Listed>, around: &Around<'_>) -> Rows {
        let mut listed = vec![];
        for row in rows.iter().flat_map(|rows| &rows.items) {
            if row.entries.is_empty() {
                self.report(mistakes::empty("this member", row.node.head, "name at least one value"));
            }
            let cells = row
                .entries
                .iter()
                .map(|entry| (entry.key.to_string(), self.cell(&entry.value, around)));
            listed.push(cells.collect());
        }
        Rows::Listed(listed)
    }

    fn cell(&mut self, node: &Node, around: &Around<'_>) -> Cell {
        match text_of(node) {
            Some(text) if holds_expression(node) => Cell::From(self.template(&text, Place::Matrix, around)),
            Some(_) | None => Cell::Value(value_of(node)),
        }
    }
}

/// Whether a scalar holds `${{`.
fn holds_expression(node: &Node) -> bool {
    match &node.content {
        Content::Scalar(scalar) => scalar.text.contains("${{"),
        Content::List(items) => items.iter().any(holds_expression),
        Content::Map(entries) => entries.iter().any(|entry| holds_expression(&entry.value)),
    }
}

fn text_of(node: &Node) -> Option<Text> {
    match &node.content {
        Content::Scalar(scalar) => Some(At {
            value: Arc::clone(&scalar.text),
            node: node.clone(),
        }),
        Content::List(_) | Content::Map(_) => None,
    }
}

/// A literal value. A number whose text would change (`3.10`) stays text.
fn value_of(node: &Node) -> Value {
    match &node.content {
        Content::Scalar(_) => match node.scalar() {
            Some((_, Meaning::Null)) | None => Value::Null,
            Some((_, Meaning::Bool(value))) => Value::Bool(value),
            Some((scalar, Meaning::Number(value))) => {
                let number = Value::Number(value);
                if number.to_string() == *scalar.text {
                    number
                } else {
                    Value::string(scalar.text.clone())
                }
            }
            Some((scalar, Meaning::Text)) => Value::string(scalar.text.clone()),
        },
        Content::List(items) => Value::array(items.iter().map(value_of).collect()),
        Content::Map(entries) => {
            let mut object = Object::new();
            for entry in entries.iter() {
                object.insert(&*entry.key, value_of(&entry.value));
            }
            Value::Object(object.into())
        }
    }
}
