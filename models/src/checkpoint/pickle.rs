//! Python's pickle, read and never run.
//!
//! A pickle is a program for a small stack machine. This one knows the instructions that build plain data,
//! and takes a call as data too: where Python would run a function or make an instance of a class, it pushes
//! the node [`Value::Call`], which holds the name and the arguments. Names lead to nothing here, so a hostile
//! pickle has nothing to run and nobody to run it; whoever reads the values looks for the few names that
//! tensors are made by, and passes over everything else, be it a `Counter`, a `Namespace` or a date beside
//! the weights.
//!
//! Values live in one array and refer to each other by index: sharing and cycles, which pickles may hold,
//! cost nothing, and no nesting is deep enough to overflow a recursive drop. No instruction copies a value
//! that is there already, each string is compared with what is left of the file before it is read, and the
//! numbers of instructions and of values are bounded. Memory is thus at most the file's size and a fixed sum.

mod input;
mod value;

pub(super) use input::Input;
pub(super) use value::{Id, Pickle, Value};

use super::error::{Problem, quote};
use byteorder::{ByteOrder, LE};
use std::collections::HashMap;
use std::io::Read;

/// Instructions a pickle may have, and values. A network's weights take some sixty for each tensor.
const LONGEST_PROGRAM: usize = 1 << 21;
/// Characters of a name on a line of its own.
const LONGEST_NAME: usize = 1000;
/// What makes a dictionary, empty or of pairs.
const DICTIONARIES: [&str; 2] = ["OrderedDict", "defaultdict"];

/// Reads one pickle.
pub(super) fn read<R: Read>(input: &mut Input<R>) -> Result<Pickle, Problem> {
    let machine = Machine {
        input,
        pickle: Pickle { root: Id(0), values: vec![] },
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
    };
    machine.run()
}

struct Machine<'a, R> {
    input: &'a mut Input<R>,
    pickle: Pickle,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<R: Read> Machine<'_, R> {
    fn run(mut self) -> Result<Pickle, Problem> {
        for _ in 0..LONGEST_PROGRAM {
            match self.byte()? {
                b'.' => return Ok(Pickle { root: self.pop()?, ..self.pickle }),
                opcode => self.step(opcode)?,
            }
        }
        Err(self.broken(format!("its pickle has more than {LONGEST_PROGRAM} instructions")))
    }

    /// One instruction. The names are those of Python's `pickletools`.
    fn step(&mut self, opcode: u8) -> Result<(), Problem> {
        match opcode {
            0x80 => self.protocol(),                   // PROTO
            0x95 => self.input.array::<8>().map(drop), // FRAME
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' | b'M' | b'J' | 0x8a | 0x8b => self.integer(opcode),
            b'G' => {
                self.input.array::<8>()?; // BINFLOAT
                self.push(Value::Inert("a float"))
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' => self.string(opcode),
            b'C' | b'B' | 0x8e | 0x96 => self.bytes(opcode),
            0x8f => self.push(Value::Inert("a set")), // EMPTY_SET
            0x91 => {
                self.pop_to_mark()?; // FROZENSET
                self.push(Value::Inert("a set"))
            }
            b')' | 0x85..=0x87 | b't' | b']' | b'l' | b'}' | b'd' => self.container(opcode),
            b'a' | b'e' | 0x90 | b's' | b'u' => self.extend(opcode),
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memoise(opcode),
            b'(' => {
                self.marks.push(self.stack.len()); // MARK
                Ok(())
            }
            b'0' => self.pop().map(drop),                       // POP
            b'1' => self.pop_to_mark().map(drop),               // POP_MARK
            b'2' => self.top().map(|id| self.stack.push(id)),   // DUP
            b'c' => self.named().map(|id| self.stack.push(id)), // GLOBAL
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?); // STACK_GLOBAL
                self.push(Value::Global(module, name))
            }
            b'R' | 0x81 | 0x92 | b'i' | b'o' => self.call(opcode),
            b'b' => self.pop().and_then(|_| self.top()).map(drop), // BUILD: what it sets says nothing of weights
            b'Q' => {
                let key = self.pop()?; // BINPERSID
                self.push(Value::Persistent(key))
            }
            _ => Err(Problem::Unsupported {
                format: self.input.format,
                feature: format!("the pickle instruction {:?}", opcode as char),
            }),
        }
    }

    fn protocol(&mut self) -> Result<(), Problem> {
        match self.byte()? {
            2..=5 => Ok(()),
            version => Err(Problem::Unsupported {
                format: self.input.format,
                feature: format!("version {version} of the pickle protocol"),
            }),
        }
    }

    fn integer(&mut self, opcode: u8) -> Result<(), Problem> {
        let value = match opcode {
            b'K' => self.byte()?.into(),                            // BININT1
            b'M' => self.input.u16()?.into(),                       // BININT2
            b'J' => LE::read_i32(&self.input.array::<4>()?).into(), // BININT
            _ => {
                // LONG1, LONG4: two's complement of any length, of which 16 bytes are plenty for sizes.
                let n = if opcode == 0x8a { self.byte()?.into() } else { self.input.u32()? };
                if n > 16 {
                    self.input.skip(n.into())?;
                    return self.push(Value::Inert("a large integer"));
                }
                let bytes = self.input.bytes(n.into())?;
                if bytes.is_empty() { 0 } else { LE::read_int128(&bytes, bytes.len()) }
            }
        };
        self.push(Value::Int(value))
    }

    fn string(&mut self, opcode: u8) -> Result<(), Problem> {
        let n = match opcode {
            0x8c | b'U' => self.byte()?.into(), // SHORT_BINUNICODE, SHORT_BINSTRING
            0x8d => self.input.u64()?,          // BINUNICODE8
            _ => self.input.u32()?.into(),      // BINUNICODE, BINSTRING
        };
        // What is not in UTF-8 is Python 2's bytes, or half a surrogate pair: no name of a tensor.
        let text = String::from_utf8(self.input.bytes(n)?);
        self.push(text.map_or(Value::Inert("bytes"), |text| Value::Str(text.into())))
    }

    fn bytes(&mut self, opcode: u8) -> Result<(), Problem> {
        let n = match opcode {
            b'C' => self.byte()?.into(),      // SHORT_BINBYTES
            b'B' => self.input.u32()?.into(), // BINBYTES
            _ => self.input.u64()?,           // BINBYTES8, BYTEARRAY8
        };
        self.input.skip(n)?;
        self.push(Value::Inert("bytes"))
    }

    fn container(&mut self, opcode: u8) -> Result<(), Problem> {
        let value = match opcode {
            b')' => Value::Tuple(vec![]), // EMPTY_TUPLE
            0x85..=0x87 => {
                // TUPLE1 to TUPLE3
                let mut items = (0x85..=opcode).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                Value::Tuple(items)
            }
            b't' => Value::Tuple(self.pop_to_mark()?),
            b']' => Value::List(vec![]), // EMPTY_LIST
            b'l' => Value::List(self.pop_to_mark()?),
            b'}' => Value::Dict(vec![]),         // EMPTY_DICT
            _ => Value::Dict(self.pop_pairs()?), // DICT
        };
        self.push(value)
    }

    /// Adds to the list or dictionary under the new items; what another object would do with them is its own
    /// affair.
    fn extend(&mut self, opcode: u8) -> Result<(), Problem> {
        let items = match opcode {
            b'a' => vec![self.pop()?], // APPEND
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?); // SETITEM
                vec![key, value]
            }
            _ => self.pop_to_mark()?, // APPENDS, ADDITEMS, SETITEMS
        };
        let top = self.top()?;
        let wrong = match (&mut self.pickle.values[top.0 as usize], opcode) {
            (Value::Inert(_) | Value::Call(..) | Value::Global(..) | Value::Persistent(_), _) => {
                return Ok(());
            }
            (Value::List(list), b'a' | b'e') => {
                list.extend(items);
                return Ok(());
            }
            (Value::Dict(dict), b's' | b'u') => match pairs(&items) {
                Some(pairs) => {
                    dict.extend(pairs);
                    return Ok(());
                }
                None => "has a key without a value",
            },
            (_, b's' | b'u') => "sets items of something that is no dictionary",
            _ => "appends to something that is no list",
        };
        Err(self.broken(format!("its pickle {wrong}")))
    }

    fn memoise(&mut self, opcode: u8) -> Result<(), Problem> {
        let key = match opcode {
            b'q' | b'h' => self.byte()?.into(), // BINPUT, BINGET
            0x94 => self.memo.len() as u32,     // MEMOIZE
            _ => self.input.u32()?,             // LONG_BINPUT, LONG_BINGET
        };
        if matches!(opcode, b'h' | b'j') {
            let id = self.memo.get(&key).copied();
            let id =
                id.ok_or_else(|| self.broken(format!("its pickle recalls {key}, which it never stored")))?;
            self.stack.push(id);
        } else {
            let top = self.top()?;
            self.memo.insert(key, top);
        }
        Ok(())
    }

    /// A class or function by two lines, its module's name and its own.
    fn named(&mut self) -> Result<Id, Problem> {
        let (module, name) = (self.line()?, self.line()?);
        let module = self.add(Value::Str(module.into()))?;
        let name = self.add(Value::Str(name.into()))?;
        self.add(Value::Global(module, name))
    }

    /// Records the call of a function, or of a class for an instance.
    fn call(&mut self, opcode: u8) -> Result<(), Problem> {
        let (function, args) = match opcode {
            b'R' | 0x81 => {
                let args = self.pop()?; // REDUCE, NEWOBJ
                (self.pop()?, args)
            }
            0x92 => {
                let (_keywords, args) = (self.pop()?, self.pop()?); // NEWOBJ_EX
                (self.pop()?, args)
            }
            _ => {
                // INST names the class, OBJ has it before the arguments.
                let named = if opcode == b'i' { Some(self.named()?) } else { None };
                let mut args = self.pop_to_mark()?.into_iter();
                let function = named.or_else(|| args.next());
                let function =
                    function.ok_or_else(|| self.broken("its pickle makes an instance of nothing"))?;
                (function, self.add(Value::Tuple(args.collect()))?)
            }
        };
        if !matches!(
            self.pickle[function],
            Value::Global(..) | Value::Call(..) | Value::Persistent(_) | Value::Inert(_)
        ) {
            return Err(self.broken("its pickle calls something that is no function"));
        }
        match self.dictionary(function, args)? {
            Some(dictionary) => self.stack.push(dictionary),
            None => self.push(Value::Call(function, args))?,
        }
        Ok(())
    }

    /// The dictionary that a call makes: empty, or of the pairs in a list, as Python 2 wrote them. Such a
    /// list is used for nothing else, and becomes the dictionary, so that no call copies it.
    fn dictionary(&mut self, function: Id, args: Id) -> Result<Option<Id>, Problem> {
        let (Some(("collections", name)), Value::Tuple(args)) =
            (self.pickle.global(function), &self.pickle[args])
        else {
            return Ok(None);
        };
        if !DICTIONARIES.contains(&name) {
            return Ok(None);
        }
        match args[..] {
            [of] if matches!(self.pickle[of], Value::Dict(_)) => Ok(Some(of)),
            [of] if matches!(self.pickle[of], Value::List(_)) => {
                let list = std::mem::replace(&mut self.pickle.values[of.0 as usize], Value::None);
                let Value::List(items) = list else { unreachable!("it was one") };
                let pair = |item: Id| match self.pickle[item] {
                    Value::List(ref pair) | Value::Tuple(ref pair) if pair.len() == 2 => {
                        Some((pair[0], pair[1]))
                    }
                    _ => None,
                };
                let pairs = items.into_iter().filter_map(pair).collect();
                self.pickle.values[of.0 as usize] = Value::Dict(pairs);
                Ok(Some(of))
            }
            _ => self.add(Value::Dict(vec![])).map(Some),
        }
    }

    fn add(&mut self, value: Value) -> Result<Id, Problem> {
        let values = &mut self.pickle.values;
        if values.len() == LONGEST_PROGRAM {
            return Err(self.broken(format!("its pickle has more than {LONGEST_PROGRAM} values")));
        }
        values.push(value);
        Ok(Id(values.len() as u32 - 1))
    }

    fn push(&mut self, value: Value) -> Result<(), Problem> {
        let id = self.add(value)?;
        self.stack.push(id);
        Ok(())
    }

    fn top(&self) -> Result<Id, Problem> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack[floor..].last().copied();
        top.ok_or_else(|| self.broken("its pickle takes from an empty stack"))
    }

    fn pop(&mut self) -> Result<Id, Problem> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Problem> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height)),
            None => Err(self.broken("its pickle asks for a mark that it never set")),
        }
    }

    fn pop_pairs(&mut self) -> Result<Vec<(Id, Id)>, Problem> {
        let items = self.pop_to_mark()?;
        pairs(&items)
            .map(Iterator::collect)
            .ok_or_else(|| self.broken("its pickle has a key without a value"))
    }

    fn byte(&mut self) -> Result<u8, Problem> {
        self.input.array::<1>().map(|[byte]| byte)
    }

    /// A line of a qualified name, without its end.
    fn line(&mut self) -> Result<String, Problem> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                _ if line.len() == LONGEST_NAME => {
                    let start = quote(&String::from_utf8_lossy(&line));
                    return Err(self.broken(format!("its pickle holds an endless name, {start}")));
                }
                byte => line.push(byte),
            }
        }
        String::from_utf8(line).map_err(|_| self.broken("its pickle holds a name not in UTF-8"))
    }

    fn broken(&self, reason: impl Into<String>) -> Problem {
        Problem::malformed(self.input.format, reason)
    }
}

/// Keys with their values; `None` where a key has none.
fn pairs(items: &[Id]) -> Option<impl Iterator<Item = (Id, Id)>> {
    let (pairs, rest) = items.as_chunks();
    rest.is_empty().then(|| pairs.iter().map(|&[key, value]| (key, value)))
}

#[cfg(test)]
mod tests;
