//! What a pickle builds: values in one array that refer to each other by index.

use super::super::error::quote;

/// The place of a value in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::checkpoint) struct Id(pub(super) u32);

/// A Python object, as far as weights need them.
#[derive(Debug)]
pub(in crate::checkpoint) enum Value {
    None,
    Bool(bool),
    Int(i128),
    /// Its value says nothing about weights.
    Float,
    Str(Box<str>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// In order of insertion; a key may come again, and then the last one counts.
    Dict(Vec<(Id, Id)>),
    /// A class or function on the list, by its qualified name.
    Global(&'static str),
    /// What the function would return for a tuple of arguments.
    Call(&'static str, Id),
    /// An object kept outside the pickle, by its key.
    Persistent(Id),
}

impl Value {
    /// A few words for a message.
    pub fn describe(&self) -> String {
        match self {
            Value::None => "None".into(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float => "a float".into(),
            Value::Str(text) => quote(text),
            Value::Tuple(_) | Value::List(_) => "a list".into(),
            Value::Dict(_) => "a dictionary".into(),
            Value::Global(name) | Value::Call(name, _) => name.to_string(),
            Value::Persistent(_) => "a storage".into(),
        }
    }
}

/// What a pickle builds.
#[derive(Debug)]
pub(in crate::checkpoint) struct Pickle {
    pub root: Id,
    pub(super) values: Vec<Value>,
}

impl std::ops::Index<Id> for Pickle {
    type Output = Value;

    fn index(&self, id: Id) -> &Value {
        &self.values[id.0 as usize]
    }
}

impl Pickle {
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}
