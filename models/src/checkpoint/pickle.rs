//! Python's pickle, read and never run.
//!
//! A pickle is a program for a small stack machine. This one knows the instructions that build plain data, and takes
//! a call as data too: `REDUCE` pushes the node [`Value::Call`], which names a function from a fixed list. A name
//! outside that list ends the reading with an error, so a hostile pickle has nothing to run and nobody to run it.
//!
//! Values live in one array and refer to each other by index: sharing and cycles, which pickles may hold, cost
//! nothing, and no nesting is deep enough to overflow a recursive drop. Each instruction adds at most one value, one
//! stack slot and one memo entry, each string is compared with what is left of the file before it is read, and the
//! number of instructions is bounded. Memory is thus at most the file's size and a fixed sum.

mod input;
mod value;

pub(super) use input::Input;
pub(super) use value::{Id, Pickle, Value};

use super::error::{Problem, quote};
use std::collections::HashMap;
use std::io::Read;

/// Instructions a pickle may have. A network's weights take some sixty for each tensor.
const LONGEST_PROGRAM: usize = 1 << 21;
/// Characters of a qualified name.
const LONGEST_NAME: usize = 1000;
const ORDERED_DICT: &str = "collections.OrderedDict";

/// Reads one pickle, in which only the functions and classes `globals` may be named.
pub(super) fn read<R: Read>(
    input: &mut Input<R>,
    globals: &'static [&'static str],
) -> Result<Pickle, Problem> {
    Machine { input, globals, values: vec![], stack: vec![], marks: vec![], memo: HashMap::new() }.run()
}

struct Machine<'a, R> {
    input: &'a mut Input<R>,
    globals: &'static [&'static str],
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<R: Read> Machine<'_, R> {
    fn run(mut self) -> Result<Pickle, Problem> {
        for _ in 0..LONGEST_PROGRAM {
            match self.byte()? {
                b'.' => return Ok(Pickle { root: self.pop()?, values: self.values }),
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
                self.push(Value::Float)
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' => self.string(opcode),
            b')' | 0x85..=0x87 | b't' | b']' | b'l' | b'}' | b'd' => self.container(opcode),
            b'a' | b'e' | b's' | b'u' => self.extend(opcode),
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memoise(opcode),
            b'(' => {
                self.marks.push(self.stack.len()); // MARK
                Ok(())
            }
            b'0' => self.pop().map(drop),                     // POP
            b'1' => self.pop_to_mark().map(drop),             // POP_MARK
            b'2' => self.top().map(|id| self.stack.push(id)), // DUP
            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?); // GLOBAL
                self.global(&name)
            }
            0x93 => {
                let (name, module) = (self.pop_string()?, self.pop_string()?); // STACK_GLOBAL
                self.global(&format!("{module}.{name}"))
            }
            b'i' => {
                let name = format!("{}.{}", self.line()?, self.line()?); // INST
                Err(Problem::Forbidden { global: name })
            }
            b'R' => self.reduce(),
            b'b' => self.build(),
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
            b'M' => u16::from_le_bytes(self.input.array()?).into(), // BININT2
            b'J' => i32::from_le_bytes(self.input.array()?).into(), // BININT
            _ => {
                // LONG1, LONG4: two's complement of any length, of which 16 bytes are plenty.
                let n = if opcode == 0x8a {
                    self.byte()?.into()
                } else {
                    u32::from_le_bytes(self.input.array()?)
                };
                if n > 16 {
                    return Err(self.broken(format!("its pickle holds an integer of {n} bytes")));
                }
                let bytes = self.input.bytes(n.into())?;
                let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
                let mut wide = [sign; 16];
                wide[..bytes.len()].copy_from_slice(&bytes);
                i128::from_le_bytes(wide)
            }
        };
        self.push(Value::Int(value))
    }

    fn string(&mut self, opcode: u8) -> Result<(), Problem> {
        let n = match opcode {
            0x8c | b'U' => self.byte()?.into(), // SHORT_BINUNICODE, SHORT_BINSTRING
            0x8d => u64::from_le_bytes(self.input.array()?), // BINUNICODE8
            _ => u32::from_le_bytes(self.input.array()?).into(), // BINUNICODE, BINSTRING
        };
        let bytes = self.input.bytes(n)?;
        let text =
            String::from_utf8(bytes).map_err(|_| self.broken("its pickle holds a string not in UTF-8"))?;
        self.push(Value::Str(text.into()))
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

    /// Adds to the list or dictionary under the new items.
    fn extend(&mut self, opcode: u8) -> Result<(), Problem> {
        if matches!(opcode, b'a' | b'e') {
            let items = if opcode == b'a' { vec![self.pop()?] } else { self.pop_to_mark()? }; // APPEND, APPENDS
            let top = self.top()?;
            match &mut self.values[top.0 as usize] {
                Value::List(list) => list.extend(items),
                _ => return Err(self.broken("its pickle appends to something that is no list")),
            }
        } else {
            let pairs = if opcode == b's' {
                let (value, key) = (self.pop()?, self.pop()?); // SETITEM
                vec![(key, value)]
            } else {
                self.pop_pairs()? // SETITEMS
            };
            let top = self.top()?;
            match &mut self.values[top.0 as usize] {
                Value::Dict(dict) => dict.extend(pairs),
                _ => return Err(self.broken("its pickle sets items of something that is no dictionary")),
            }
        }
        Ok(())
    }

    fn memoise(&mut self, opcode: u8) -> Result<(), Problem> {
        let key = match opcode {
            b'q' | b'h' => self.byte()?.into(),           // BINPUT, BINGET
            0x94 => self.memo.len() as u32,               // MEMOIZE
            _ => u32::from_le_bytes(self.input.array()?), // LONG_BINPUT, LONG_BINGET
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

    fn global(&mut self, name: &str) -> Result<(), Problem> {
        match self.globals.iter().find(|&&known| known == name) {
            Some(known) => self.push(Value::Global(known)),
            None => Err(Problem::Forbidden { global: name.to_owned() }),
        }
    }

    /// Records a call. A call of `OrderedDict` is the dictionary: empty, or with the pairs that Python 2 passed.
    fn reduce(&mut self) -> Result<(), Problem> {
        let (args, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = self.values[function.0 as usize] else {
            return Err(self.broken("its pickle calls something that is no function"));
        };
        let Value::Tuple(items) = &self.values[args.0 as usize] else {
            return Err(self.broken(format!("its pickle calls {function} without a tuple of arguments")));
        };
        if function != ORDERED_DICT {
            return self.push(Value::Call(function, args));
        }
        let pairs = match items[..] {
            [] => Some(vec![]),
            [pairs] => self.pairs_of(pairs),
            _ => None,
        };
        let pairs = pairs
            .ok_or_else(|| self.broken("its pickle makes an OrderedDict of something else than pairs"))?;
        self.push(Value::Dict(pairs))
    }

    fn pairs_of(&self, list: Id) -> Option<Vec<(Id, Id)>> {
        let Value::List(items) = &self.values[list.0 as usize] else { return None };
        let pair = |item: &Id| match self.values[item.0 as usize] {
            Value::List(ref pair) | Value::Tuple(ref pair) if pair.len() == 2 => Some((pair[0], pair[1])),
            _ => None,
        };
        items.iter().map(pair).collect()
    }

    /// Attributes of a dictionary, such as a state dict's `_metadata` of versions, say nothing of its items.
    fn build(&mut self) -> Result<(), Problem> {
        self.pop()?;
        let top = self.top()?;
        match self.values[top.0 as usize] {
            Value::Dict(_) => Ok(()),
            _ => Err(self.broken("its pickle sets the state of something that is no dictionary")),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), Problem> {
        self.stack.push(Id(self.values.len() as u32));
        self.values.push(value);
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

    fn pop_string(&mut self) -> Result<String, Problem> {
        let id = self.pop()?;
        match &self.values[id.0 as usize] {
            Value::Str(text) => Ok(text.to_string()),
            _ => Err(self.broken("its pickle names a global by something that is no string")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Problem> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height)),
            None => Err(self.broken("its pickle asks for a mark that it never set")),
        }
    }

    fn pop_pairs(&mut self) -> Result<Vec<(Id, Id)>, Problem> {
        let items = self.pop_to_mark()?;
        match items.as_chunks() {
            (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
            _ => Err(self.broken("its pickle has a key without a value")),
        }
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

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;

    fn load(program: &[u8]) -> Result<Pickle, Problem> {
        let mut input = Input { reader: program, left: program.len() as u64, format: Format::TorchZip };
        read(&mut input, &[ORDERED_DICT, "torch.f"])
    }

    fn show(pickle: &Pickle, id: Id) -> String {
        let all = |ids: &[Id]| ids.iter().map(|&id| show(pickle, id)).collect::<Vec<_>>().join(" ");
        match &pickle[id] {
            Value::None => "None".into(),
            Value::Bool(v) => v.to_string(),
            Value::Int(v) => v.to_string(),
            Value::Float => "float".into(),
            Value::Str(v) => format!("{v:?}"),
            Value::Tuple(ids) => format!("({})", all(ids)),
            Value::List(ids) => format!("[{}]", all(ids)),
            Value::Dict(pairs) => {
                let pairs: Vec<_> =
                    pairs.iter().map(|&(k, v)| format!("{}:{}", show(pickle, k), show(pickle, v))).collect();
                format!("{{{}}}", pairs.join(" "))
            }
            Value::Global(name) => name.to_string(),
            Value::Call(name, args) => format!("{name}{}", show(pickle, *args)),
            Value::Persistent(key) => format!("<{}>", show(pickle, *key)),
        }
    }

    fn shown(program: &[u8]) -> String {
        let pickle = load(program).unwrap_or_else(|e| panic!("{}", e.at("p".as_ref())));
        show(&pickle, pickle.root)
    }

    fn reason(program: &[u8]) -> String {
        load(program).unwrap_err().at("p".as_ref()).to_string()
    }

    #[test]
    fn plain_data() {
        assert_eq!(shown(b"\x80\x02K\x07."), "7");
        assert_eq!(shown(b"J\xfe\xff\xff\xff."), "-2");
        assert_eq!(shown(b"\x8a\x00."), "0");
        assert_eq!(shown(b"\x8a\x01\xff."), "-1");
        assert_eq!(shown(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."), "119547037146038801333356");
        assert_eq!(shown(b"G\x3f\xf8\0\0\0\0\0\0."), "float");
        assert_eq!(shown(b"(K\x01\x88NX\x02\0\0\0\xc3\xa9\x85\x86t."), r#"(1 true (None ("é")))"#);
        assert_eq!(shown(b"](K\x01K\x02e\x89a."), "[1 2 false]");
        assert_eq!(shown(b"}U\x01aK\x01s(\x8c\x01bK\x02\x8c\x01cK\x03u."), r#"{"a":1 "b":2 "c":3}"#);
        assert_eq!(
            shown(b"\x80\x04\x95\0\0\0\0\0\0\0\0]\x94h\0a0h\x000N."),
            "None",
            "a list that holds itself"
        );
    }

    #[test]
    fn shared_values_stay_shared() {
        // The list is stored while empty and filled afterwards.
        assert_eq!(shown(b"(]q\x05h\x05K\x01a0h\x05t."), "([1] [1])");
    }

    #[test]
    fn a_call_is_data() {
        assert_eq!(shown(b"ctorch\nf\n(K\x01K\x02tR."), "torch.f(1 2)");
        assert_eq!(shown(b"\x8c\x05torch\x8c\x01f\x93)R."), "torch.f()");
        assert_eq!(shown(b"U\x01kQ."), r#"<"k">"#);
        let ordered = b"ccollections\nOrderedDict\n";
        assert_eq!(shown(&[&ordered[..], b")RK\x01K\x02s}b."].concat()), "{1:2}");
        assert_eq!(shown(&[&ordered[..], b"](](K\x01K\x02ee\x85R."].concat()), "{1:2}");
    }

    #[test]
    fn other_globals_are_refused_by_name() {
        for program in [
            &b"cos\nsystem\n(U\x08rm -rf /tR."[..],
            b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
            b"(U\x04trueios\nsystem\n.",
        ] {
            let said = reason(program);
            assert!(said.contains("asks to run os.system, and a checkpoint is refused"), "{said}");
        }
        assert!(reason(b"cbuiltins\neval\n.").contains("builtins.eval"));
        assert!(reason(b"ctorch\nf.__globals__\n.").contains("torch.f.__globals__"));
    }

    #[test]
    fn nonsense_is_told_apart() {
        assert!(reason(b"").contains("it ends in the middle of its pickle"));
        assert!(reason(b"K").contains("it ends"));
        assert!(reason(b"X\xff\xff\xff\xffab").contains("it ends"), "a length that lies");
        assert!(reason(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffab").contains("it ends"));
        assert!(reason(b".").contains("takes from an empty stack"));
        assert!(reason(b"K\x01(0").contains("takes from an empty stack"), "below a mark");
        assert!(reason(b"t").contains("a mark that it never set"));
        assert!(reason(b"}(K\x01u").contains("a key without a value"));
        assert!(reason(b"K\x01K\x02a").contains("no list"));
        assert!(reason(b"]K\x01K\x02s").contains("no dictionary"));
        assert!(reason(b"h\x03").contains("recalls 3"));
        assert!(reason(b"K\x01)R").contains("no function"));
        assert!(reason(b"ctorch\nf\nK\x01R").contains("without a tuple"));
        assert!(reason(b"ctorch\nf\n)R}b").contains("sets the state"));
        assert!(reason(b"\x80\x09").contains("version 9 of the pickle protocol"));
        assert!(reason(b"\x81").contains("the pickle instruction"));
        assert!(reason(b"\x8b\0\0\0\x7f").contains("an integer of 2130706432 bytes"));
        assert!(reason(&[&b"c"[..], &[b'x'; 2000]].concat()).contains("an endless name"));
        assert!(reason(&b"N".repeat(LONGEST_PROGRAM + 1)).contains("more than 2097152 instructions"));
    }

    #[test]
    fn nesting_may_be_as_deep_as_the_file() {
        let deep = [&b"()"[..], &b"\x85".repeat(LONGEST_PROGRAM - 4), b"t."].concat();
        assert!(load(&deep).is_ok());
    }
}
