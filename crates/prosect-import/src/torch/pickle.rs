//! A pickle reader that executes nothing: it builds plain values, and lets a program's names stand
//! only where they are on a list.
//!
//! Protocols 2 to 5, as PyTorch and numpy write them. Values lie in one arena and refer to each
//! other by index, so that a cycle or a deep nest costs nothing to build and nothing to drop.

use crate::error::ImportError;
use crate::torch::globals::{self, Meaning};

/// Values that calls may copy in one pickle; a real checkpoint copies some hundred.
const MAX_COPIES: usize = 1 << 24;
/// Values in one pickle; a real checkpoint has some ten thousand.
const MAX_OBJECTS: usize = 1 << 22;
/// Longest name of a storage; PyTorch counts them.
const MAX_KEY_BYTES: usize = 64;
/// Most axes of a tensor.
const MAX_AXES: usize = 8;

/// A value of a pickle: small ones in place, others in the arena.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// An object of the arena.
    Object(usize),
}

/// An object of the arena.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Object {
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    /// In the order in which keys were set; a later key replaces an earlier one.
    Dict(Vec<(Value, Value)>),
    /// A name of a program that is on the list, and what it makes.
    Global(Meaning),
    /// Values that lie in a file of their own.
    Storage(Storage),
    Tensor(Tensor),
    /// Something whose content nobody asks for.
    Opaque,
}

/// The element types of PyTorch that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F64,
    F32,
    F16,
    BF16,
    /// An integer, bool or complex type of this many bytes: never a weight.
    Other(usize),
}

/// Values in a file of the archive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Storage {
    pub(crate) key: String,
    pub(crate) element: Element,
    /// Number of elements, as declared.
    pub(crate) length: u64,
}

/// A view into a storage; offset, shape and strides count elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) storage: Storage,
    pub(crate) offset: u64,
    pub(crate) shape: Vec<u64>,
    pub(crate) strides: Vec<u64>,
}

/// A pickle that was read.
#[derive(Debug)]
pub(crate) struct Pickle {
    objects: Vec<Object>,
    root: Value,
}

impl Pickle {
    /// The outermost value.
    pub(crate) fn root(&self) -> Value {
        self.root
    }

    /// The object behind a value, if it is one.
    pub(crate) fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(index) => self.objects.get(index),
            _ => None,
        }
    }

    /// A text.
    pub(crate) fn text(&self, value: Value) -> Option<&str> {
        match self.object(value)? {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of a dict, in order.
    pub(crate) fn entries(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.object(value)? {
            Object::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items of a list or tuple.
    pub(crate) fn items(&self, value: Value) -> Option<&[Value]> {
        match self.object(value)? {
            Object::List(items) | Object::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The value of a text key of a dict.
    pub(crate) fn get(&self, dict: Value, key: &str) -> Option<Value> {
        let entries = self.entries(dict)?;
        let found = entries
            .iter()
            .rev()
            .find(|(k, _)| self.text(*k) == Some(key));
        found.map(|(_, value)| *value)
    }
}

/// Reads one pickle; `what` names it in errors.
pub(crate) fn read(what: &str, bytes: &[u8]) -> Result<Pickle, ImportError> {
    let mut machine = Machine {
        what,
        rest: bytes,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        objects: Vec::new(),
        copies_left: MAX_COPIES,
    };
    let root = loop {
        if let Some(root) = machine.step()? {
            break root;
        }
    };
    Ok(Pickle {
        objects: machine.objects,
        root,
    })
}

struct Machine<'a> {
    what: &'a str,
    rest: &'a [u8],
    stack: Vec<Value>,
    /// Heights of the stack at each mark.
    marks: Vec<usize>,
    /// Sorted by key; pickles number their memo upwards, so that pushing is the rule.
    memo: Vec<(u32, Value)>,
    objects: Vec<Object>,
    copies_left: usize,
}

impl Machine<'_> {
    fn damaged(&self, reason: impl Into<String>) -> ImportError {
        ImportError::malformed(self.what, format!("its pickle {}", reason.into()))
    }

    /// Does one instruction; gives the result at the end.
    fn step(&mut self) -> Result<Option<Value>, ImportError> {
        let code = self.take(1)?[0];
        match code {
            b'.' => return self.pop().map(Some),
            0x80 => self.require_protocol()?,
            0x95 => {
                self.take(8)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'J' | b'K' | b'M' | 0x8a | 0x8b | b'G' => self.push_number(code)?,
            b'X' | 0x8c | 0x8d | b'T' | b'U' | b'B' | b'C' | 0x8e | 0x96 => {
                self.push_string(code)?;
            }
            b')'
            | b't'
            | 0x85..=0x87
            | b']'
            | b'l'
            | b'a'
            | b'e'
            | b'}'
            | b'd'
            | b's'
            | b'u'
            | 0x8f..=0x91 => self.collect(code)?,
            0x94 | b'q' | b'r' | b'h' | b'j' => self.remember(code)?,
            b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'b' | b'Q' => self.call(code)?,
            _ => {
                let reason = format!("holds the instruction {code:#04x}, which is not read");
                return Err(self.damaged(reason));
            }
        }
        Ok(None)
    }

    fn require_protocol(&mut self) -> Result<(), ImportError> {
        let protocol = self.take(1)?[0];
        if (2..=5).contains(&protocol) {
            Ok(())
        } else {
            Err(self.damaged(format!("has protocol {protocol}; 2 to 5 are read")))
        }
    }

    fn push_number(&mut self, code: u8) -> Result<(), ImportError> {
        let value = match code {
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'K' => Value::Int(i64::from(self.take(1)?[0])),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'G' => Value::Float(f64::from_be_bytes(self.array()?)),
            _ => {
                let length = if code == 0x8a {
                    usize::from(self.take(1)?[0])
                } else {
                    u32::from_le_bytes(self.array()?) as usize
                };
                let bytes = self.take(length)?;
                match long(bytes) {
                    Some(value) => Value::Int(value),
                    // A number beyond 64 bits, such as a random state, is never asked for.
                    None => return self.push(Object::Opaque),
                }
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn push_string(&mut self, code: u8) -> Result<(), ImportError> {
        let length = match code {
            0x8c | b'U' | b'C' => u64::from(self.take(1)?[0]),
            b'X' | b'T' | b'B' => u64::from(u32::from_le_bytes(self.array()?)),
            _ => u64::from_le_bytes(self.array()?),
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = self.take(length)?.to_vec();
        match code {
            b'B' | b'C' | 0x8e | 0x96 => self.push(Object::Bytes(bytes)),
            _ => {
                let text = String::from_utf8(bytes)
                    .map_err(|_| self.damaged("holds a text that is not UTF-8"))?;
                self.push(Object::Text(text))
            }
        }
    }

    fn collect(&mut self, code: u8) -> Result<(), ImportError> {
        match code {
            b')' => self.push(Object::Tuple(Vec::new())),
            0x85..=0x87 => {
                let n = usize::from(code - 0x84);
                let start = self.stack.len().checked_sub(n);
                let start = start.ok_or_else(|| self.damaged("takes from an empty stack"))?;
                let items = self.stack.split_off(start);
                self.push(Object::Tuple(items))
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Object::Tuple(items))
            }
            b']' | 0x8f => self.push(Object::List(Vec::new())),
            b'l' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.push(Object::List(items))
            }
            b'}' => self.push(Object::Dict(Vec::new())),
            b'd' => {
                let items = self.pop_to_mark()?;
                let pairs = self.pairs(&items)?;
                self.push(Object::Dict(pairs))
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.extend_list(items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(vec![(key, value)])
            }
            _ => {
                let items = self.pop_to_mark()?;
                let pairs = self.pairs(&items)?;
                self.extend_dict(pairs)
            }
        }
    }

    fn remember(&mut self, code: u8) -> Result<(), ImportError> {
        match code {
            0x94 => {
                let key = self.memo.len() as u32;
                self.set_memo(key)
            }
            b'q' => {
                let key = u32::from(self.take(1)?[0]);
                self.set_memo(key)
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.set_memo(key)
            }
            _ => {
                let key = if code == b'h' {
                    u32::from(self.take(1)?[0])
                } else {
                    u32::from_le_bytes(self.array()?)
                };
                match self.memo.binary_search_by_key(&key, |(key, _)| *key) {
                    Ok(place) => self.stack.push(self.memo[place].1),
                    Err(_) => return Err(self.damaged(format!("recalls {key}, never kept"))),
                }
                Ok(())
            }
        }
    }

    fn set_memo(&mut self, key: u32) -> Result<(), ImportError> {
        let value = self.top()?;
        match self.memo.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(place) => self.memo[place].1 = value,
            Err(place) if place == self.memo.len() => self.memo.push((key, value)),
            // Out of order costs a shift each; no writer does it, so a few are allowed.
            Err(_) if self.memo.len() > 1 << 16 => {
                return Err(self.damaged("numbers its memo out of order"));
            }
            Err(place) => self.memo.insert(place, (key, value)),
        }
        Ok(())
    }

    fn call(&mut self, code: u8) -> Result<(), ImportError> {
        match code {
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.push_global(&module, &name)
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let (module, name) = (self.owned_text(module)?, self.owned_text(name)?);
                self.push_global(&module, &name)
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Object::Storage(storage))
            }
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.make(callee, arguments)
            }
            0x92 => {
                self.pop()?;
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.make(callee, arguments)
            }
            _ => {
                // State of an object. Dicts carry bookkeeping there (`_metadata`), tensors hooks.
                self.pop()?;
                self.top().map(|_| ())
            }
        }
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), ImportError> {
        match globals::meaning(module, name) {
            Some(meaning) => self.push(Object::Global(meaning)),
            None => Err(ImportError::unsupported(
                self.what,
                format!(
                    "its pickle asks to run `{}`, which no weights of a network need; nothing of it was run",
                    shown(&format!("{module}.{name}"))
                ),
            )),
        }
    }

    /// What a call of a listed name gives: a value, built here.
    fn make(&mut self, callee: Value, arguments: Value) -> Result<(), ImportError> {
        let Some(Object::Global(meaning)) = self.object(callee) else {
            return Err(self.damaged("calls something that is not a name"));
        };
        let meaning = *meaning;
        let Some(Object::Tuple(arguments)) = self.object(arguments) else {
            return Err(self.damaged("calls a name with something that is not a tuple"));
        };
        let arguments = arguments.clone();
        self.spend_copies(&arguments)?;
        let made = match meaning {
            Meaning::Tensor => Object::Tensor(self.tensor(&arguments)?),
            Meaning::Parameter => match arguments.first().and_then(|v| self.object(*v)) {
                Some(Object::Tensor(tensor)) => Object::Tensor(tensor.clone()),
                _ => return Err(self.damaged("makes a parameter of something else")),
            },
            Meaning::Dict => Object::Dict(self.initial_pairs(&arguments)),
            Meaning::List => {
                let first = arguments.first().and_then(|v| self.object(*v));
                match first {
                    Some(Object::List(items) | Object::Tuple(items)) => Object::List(items.clone()),
                    _ => Object::List(Vec::new()),
                }
            }
            Meaning::Storage(_) | Meaning::Inert => Object::Opaque,
        };
        self.push(made)
    }

    /// A few bytes can ask for a long list to be copied again and again; that has an end.
    fn spend_copies(&mut self, arguments: &[Value]) -> Result<(), ImportError> {
        let lengths = arguments.iter().map(|value| match self.object(*value) {
            Some(Object::List(items) | Object::Tuple(items)) => items.len(),
            Some(Object::Dict(pairs)) => pairs.len(),
            _ => 0,
        });
        let n: usize = arguments.len() + lengths.sum::<usize>();
        self.copies_left = self.copies_left.checked_sub(n).ok_or_else(|| {
            ImportError::limit(self.what, "its pickle copies more than 16 million values")
        })?;
        Ok(())
    }

    /// `OrderedDict()` or `OrderedDict([[key, value], ...])`.
    fn initial_pairs(&self, arguments: &[Value]) -> Vec<(Value, Value)> {
        let items = match arguments.last().and_then(|v| self.object(*v)) {
            Some(Object::Dict(pairs)) => return pairs.clone(),
            Some(Object::List(items) | Object::Tuple(items)) => items,
            _ => return Vec::new(),
        };
        let pair = |item: &Value| match self.object(*item) {
            Some(Object::List(pair) | Object::Tuple(pair)) if pair.len() == 2 => {
                Some((pair[0], pair[1]))
            }
            _ => None,
        };
        items.iter().filter_map(pair).collect()
    }

    /// `("storage", type, key, location, number of elements)`.
    fn storage(&self, id: Value) -> Result<Storage, ImportError> {
        let malformed = || self.damaged("refers to a storage in an unknown way");
        let Some(Object::Tuple(parts)) = self.object(id) else {
            return Err(malformed());
        };
        let [kind, class, key, _, length, ..] = parts.as_slice() else {
            return Err(malformed());
        };
        if self.text(*kind) != Some("storage") {
            return Err(malformed());
        }
        let Some(Object::Global(Meaning::Storage(element))) = self.object(*class) else {
            return Err(malformed());
        };
        let (Some(key), Value::Int(length)) = (self.text(*key), length) else {
            return Err(malformed());
        };
        if key.len() > MAX_KEY_BYTES {
            return Err(malformed());
        }
        Ok(Storage {
            key: key.to_owned(),
            element: *element,
            length: u64::try_from(*length).map_err(|_| malformed())?,
        })
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, ...)`.
    fn tensor(&self, arguments: &[Value]) -> Result<Tensor, ImportError> {
        let malformed = || self.damaged("rebuilds a tensor from something unknown");
        let [storage, offset, shape, strides, ..] = arguments else {
            return Err(malformed());
        };
        let (Some(Object::Storage(storage)), Value::Int(offset)) = (self.object(*storage), offset)
        else {
            return Err(malformed());
        };
        let numbers = |value: Value| -> Option<Vec<u64>> {
            let Some(Object::Tuple(items) | Object::List(items)) = self.object(value) else {
                return None;
            };
            if items.len() > MAX_AXES {
                return None;
            }
            let number = |item: &Value| match item {
                Value::Int(number) => u64::try_from(*number).ok(),
                _ => None,
            };
            items.iter().map(number).collect()
        };
        let shape = numbers(*shape).ok_or_else(malformed)?;
        let strides = numbers(*strides).ok_or_else(malformed)?;
        if shape.len() != strides.len() {
            return Err(malformed());
        }
        Ok(Tensor {
            storage: storage.clone(),
            offset: u64::try_from(*offset).map_err(|_| malformed())?,
            shape,
            strides,
        })
    }

    fn extend_list(&mut self, items: Vec<Value>) -> Result<(), ImportError> {
        let Value::Object(index) = self.top()? else {
            return Err(self.damaged("appends to something that is no list"));
        };
        match &mut self.objects[index] {
            Object::List(list) => list.extend(items),
            Object::Opaque => {}
            _ => return Err(self.damaged("appends to something that is no list")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, pairs: Vec<(Value, Value)>) -> Result<(), ImportError> {
        let Value::Object(index) = self.top()? else {
            return Err(self.damaged("sets a key of something that is no dict"));
        };
        match &mut self.objects[index] {
            Object::Dict(entries) => entries.extend(pairs),
            Object::Opaque => {}
            _ => return Err(self.damaged("sets a key of something that is no dict")),
        }
        Ok(())
    }

    fn pairs(&self, items: &[Value]) -> Result<Vec<(Value, Value)>, ImportError> {
        if !items.len().is_multiple_of(2) {
            return Err(self.damaged("has a key without a value"));
        }
        Ok(items.chunks_exact(2).map(|p| (p[0], p[1])).collect())
    }

    fn push(&mut self, object: Object) -> Result<(), ImportError> {
        // Each instruction of at least one byte makes at most one object, so that the file bounds
        // them too; but an object is some hundred bytes.
        if self.objects.len() >= MAX_OBJECTS {
            let reason = format!("its pickle makes more than {MAX_OBJECTS} values");
            return Err(ImportError::limit(self.what, reason));
        }
        self.stack.push(Value::Object(self.objects.len()));
        self.objects.push(object);
        Ok(())
    }

    fn top(&self) -> Result<Value, ImportError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(value) if self.stack.len() > floor => Ok(*value),
            _ => Err(self.damaged("takes from an empty stack")),
        }
    }

    fn pop(&mut self) -> Result<Value, ImportError> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, ImportError> {
        match self.marks.pop() {
            Some(height) if height <= self.stack.len() => Ok(self.stack.split_off(height)),
            _ => Err(self.damaged("looks for a mark that was never set")),
        }
    }

    fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(index) => self.objects.get(index),
            _ => None,
        }
    }

    fn text(&self, value: Value) -> Option<&str> {
        match self.object(value)? {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    fn owned_text(&self, value: Value) -> Result<String, ImportError> {
        let text = self.text(value).map(str::to_owned);
        text.ok_or_else(|| self.damaged("names something by no text"))
    }

    fn take(&mut self, n: usize) -> Result<&[u8], ImportError> {
        match self.rest.split_at_checked(n) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.damaged("ends in the middle")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Text up to the end of the line, as names stand in protocol 2.
    fn line(&mut self) -> Result<String, ImportError> {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| self.damaged("ends in the middle of a name"))?;
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(line)
    }
}

/// A little-endian two's complement number of up to eight bytes.
fn long(bytes: &[u8]) -> Option<i64> {
    let negative = bytes.last().is_some_and(|last| *last >= 0x80);
    let mut eight = [if negative { 0xff } else { 0 }; 8];
    eight.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(eight))
}

/// A foreign name on one line and of a length for a message.
fn shown(name: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().take(120).map(plain).collect()
}

#[cfg(test)]
mod tests;
