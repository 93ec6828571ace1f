//! What a pickle builds: values in one array that refer to each other by index.

use crate::checkpoint::error::quote;

/// The place of a value in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::checkpoint) struct Id(pub(super) u32);

/// A Python object, as far as weights need them.
#[derive(Debug)]
pub(in crate::checkpoint) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Str(Box<str>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// In order of insertion; a key may come again, and then the last one counts.
    Dict(Vec<(Id, Id)>),
    /// What no tensor is made of, such as a float: its kind alone.
    Inert(&'static str),
    /// A class or function: its module's name and its own.
    Global(Id, Id),
    /// What a function would return for a tuple of arguments, or an instance of a class.
    Call(Id, Id),
    /// An object kept outside the pickle, by its key.
    Persistent(Id),
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

    /// A string.
    pub fn str(&self, id: Id) -> Option<&str> {
        match &self[id] {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A class's or function's module and name.
    pub fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self[id] {
            Value::Global(module, name) => Some((self.str(module)?, self.str(name)?)),
            _ => None,
        }
    }

    /// The function that a call is of, and its arguments.
    pub fn call(&self, id: Id) -> Option<((&str, &str), Id)> {
        match self[id] {
            Value::Call(function, args) => Some((self.global(function)?, args)),
            _ => None,
        }
    }

    /// A few words for a message.
    pub fn describe(&self, id: Id) -> String {
        let qualified =
            |(module, name): (&str, &str)| format!("{module:.80}.{name:.80}").escape_debug().to_string();
        match &self[id] {
            Value::None => "None".into(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Str(text) => quote(text),
            Value::Tuple(_) | Value::List(_) => "a list".into(),
            Value::Dict(_) => "a dictionary".into(),
            Value::Inert(kind) => (*kind).into(),
            Value::Global(..) => self.global(id).map_or("a class".into(), qualified),
            Value::Call(function, _) => match self.global(*function) {
                Some(named) => format!("an object of {}", qualified(named)),
                None => "an object".into(),
            },
            Value::Persistent(_) => "a storage".into(),
        }
    }
}
