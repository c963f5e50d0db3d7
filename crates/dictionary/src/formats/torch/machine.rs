//! A pickle machine that can only build dictionaries, lists, tuples, tensors, numbers and strings.
//!
//! Format: Python's `pickletools`, protocols 2 to 5. A pickle is a program for a stack machine; the instructions that
//! call Python (`GLOBAL`, `REDUCE`, `BUILD`, `NEWOBJ` …) make it dangerous. Here a global is one of the few names in
//! [`Global`], and calling one builds a value of this module. Every instruction does work bounded by the bytes it
//! takes from the file, and containers lie in lists and are named by index, so no nesting can exhaust the stack.

use super::pickle::TensorView;
use super::storage_element;
use crate::formats::tensors::Element;

/// Axes of a tensor; PyTorch allows more, dictionaries have two.
const MOST_AXES: usize = 8;

/// A value on the stack; containers are indices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'p> {
    None,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(&'p str),
    Tuple(usize),
    List(usize),
    Dictionary(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
}

/// The names that a state dictionary needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Element),
}

pub(super) struct Machine<'p> {
    bytes: &'p [u8],
    at: usize,
    stack: Vec<Value<'p>>,
    /// Where the marks lie on the stack.
    marks: Vec<usize>,
    memo: Vec<Value<'p>>,
    /// Contents of tuples and lists; keys and values in turn of dictionaries.
    containers: Vec<Vec<Value<'p>>>,
    storages: Vec<(u64, Element)>,
    tensors: Vec<TensorView>,
}

impl<'p> Machine<'p> {
    pub(super) fn new(bytes: &'p [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            containers: Vec::new(),
            storages: Vec::new(),
            tensors: Vec::new(),
        }
    }

    /// Keys and values of a dictionary in turn.
    pub(super) fn pairs(&self, dictionary: usize) -> &[Value<'p>] {
        &self.containers[dictionary]
    }

    pub(super) fn tensor(&self, index: usize) -> &TensorView {
        &self.tensors[index]
    }

    /// Runs to the end and returns what is left.
    pub(super) fn run(&mut self) -> Result<Value<'p>, String> {
        loop {
            let opcode = self.take(1)?[0];
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        let value = match opcode {
            0x80 => return self.protocol(),
            // A frame's length helps readers of streams only.
            0x95 => return self.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(());
            }
            b'0' => return self.pop().map(drop),
            b'1' => return self.pop_mark().map(drop),
            b'q' | b'r' | 0x94 => return self.put(opcode),
            b'a' | b'e' => return self.append(opcode),
            b's' | b'u' => return self.set_items(opcode),
            b'b' => return self.build(),
            b'h' | b'j' => self.get(opcode)?,
            b't' | b')' | 0x85..=0x87 => self.tuple(opcode)?,
            b']' => Value::List(self.container(Vec::new())),
            b'}' => Value::Dictionary(self.container(Vec::new())),
            b'c' | 0x93 => self.global(opcode)?,
            b'R' => self.call()?,
            b'Q' => self.persistent()?,
            _ => self.scalar(opcode)?,
        };
        self.stack.push(value);
        Ok(())
    }

    fn protocol(&mut self) -> Result<(), String> {
        match self.take(1)?[0] {
            2..=5 => Ok(()),
            other => Err(format!("pickle protocol {other} is not read")),
        }
    }

    /// Numbers and strings.
    fn scalar(&mut self, opcode: u8) -> Result<Value<'p>, String> {
        Ok(match opcode {
            b'N' => Value::None,
            0x88 | 0x89 => Value::Boolean(opcode == 0x88),
            b'K' => Value::Integer(self.unsigned(1)? as i64),
            b'M' => Value::Integer(self.unsigned(2)? as i64),
            b'J' => Value::Integer(i64::from(self.unsigned(4)? as u32 as i32)),
            0x8a => self.long()?,
            // The one number that is big-endian.
            b'G' => Value::Float(f64::from_bits(self.unsigned(8)?.swap_bytes())),
            b'X' | 0x8c | 0x8d => {
                let width = [(b'X', 4), (0x8c, 1), (0x8d, 8)].into_iter().find(|(code, _)| *code == opcode);
                let length = self.unsigned(width.map_or(8, |(_, width)| width))?;
                let text = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
                Value::Text(std::str::from_utf8(text).map_err(|_| "a string that is not UTF-8")?)
            }
            other => {
                return Err(format!(
                    "its pickle uses instruction 0x{other:02x} at byte {}, which no state dictionary needs",
                    self.at - 1
                ));
            }
        })
    }

    /// `LONG1`: a little-endian two's complement of a given length.
    fn long(&mut self) -> Result<Value<'p>, String> {
        let length = self.unsigned(1)? as usize;
        let bytes = self.take(length)?;
        if length > 8 {
            return Err(format!("a whole number of {length} bytes"));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut all = if negative { [0xff; 8] } else { [0; 8] };
        all[..length].copy_from_slice(bytes);
        Ok(Value::Integer(i64::from_le_bytes(all)))
    }

    fn put(&mut self, opcode: u8) -> Result<(), String> {
        let slot = match opcode {
            b'q' => self.unsigned(1)? as usize,
            b'r' => self.unsigned(4)? as usize,
            _ => self.memo.len(),
        };
        let value = *self.stack.last().ok_or(UNDERFLOW)?;
        // Picklers number slots in order; anything else would let a short pickle ask for much memory.
        match slot.cmp(&self.memo.len()) {
            std::cmp::Ordering::Less => self.memo[slot] = value,
            std::cmp::Ordering::Equal => self.memo.push(value),
            std::cmp::Ordering::Greater => return Err(format!("memo slot {slot} out of order")),
        }
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Result<Value<'p>, String> {
        let slot = self.unsigned(if opcode == b'h' { 1 } else { 4 })? as usize;
        self.memo.get(slot).copied().ok_or_else(|| format!("memo slot {slot} is empty"))
    }

    fn tuple(&mut self, opcode: u8) -> Result<Value<'p>, String> {
        let items = match opcode {
            b')' => Vec::new(),
            b't' => self.pop_mark()?,
            _ => {
                let count = usize::from(opcode - 0x84);
                self.check_above_mark(count)?;
                self.stack.split_off(self.stack.len() - count)
            }
        };
        Ok(Value::Tuple(self.container(items)))
    }

    fn append(&mut self, opcode: u8) -> Result<(), String> {
        let items = if opcode == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
        let Some(&Value::List(list)) = self.stack.last() else {
            return Err("appending to what is no list".into());
        };
        self.containers[list].extend(items);
        Ok(())
    }

    fn set_items(&mut self, opcode: u8) -> Result<(), String> {
        let items = if opcode == b's' {
            self.check_above_mark(2)?;
            self.stack.split_off(self.stack.len() - 2)
        } else {
            self.pop_mark()?
        };
        if !items.len().is_multiple_of(2) {
            return Err("a dictionary with a key but no value".into());
        }
        match self.stack.last() {
            Some(&Value::Dictionary(dictionary)) => self.containers[dictionary].extend(items),
            _ => return Err("setting items of what is no dictionary".into()),
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<Value<'p>, String> {
        let (module, name) = if opcode == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (module, name) {
                (Value::Text(module), Value::Text(name)) => (module, name),
                _ => return Err("a global whose name is no string".into()),
            }
        };
        let global = match (module, name) {
            ("collections", "OrderedDict") => Some(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
            ("torch", class) => storage_element(class).map(Global::Storage),
            _ => None,
        };
        let refused =
            || format!("its pickle asks for `{module}.{name}`, which is not a part of a state dictionary");
        global.map(Value::Global).ok_or_else(refused)
    }

    /// `REDUCE`: a global called with a tuple.
    fn call(&mut self) -> Result<Value<'p>, String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Value::Tuple(arguments), Value::Global(function)) = (arguments, function) else {
            return Err("calling what is no function".into());
        };
        match (function, &self.containers[arguments][..]) {
            (Global::OrderedDict, []) => Ok(Value::Dictionary(self.container(Vec::new()))),
            (Global::RebuildParameter, &[tensor @ Value::Tensor(_), ..]) => Ok(tensor),
            (Global::RebuildTensor, &[storage, offset, shape, strides, ..]) => {
                self.rebuild_tensor(storage, offset, shape, strides)
            }
            _ => Err("calling a function with arguments it does not take".into()),
        }
    }

    fn rebuild_tensor(
        &mut self,
        storage: Value<'p>,
        offset: Value<'p>,
        shape: Value<'p>,
        strides: Value<'p>,
    ) -> Result<Value<'p>, String> {
        let (Value::Storage(storage), Value::Integer(offset)) = (storage, offset) else {
            return Err("a tensor without a storage".into());
        };
        let (storage, element) = self.storages[storage];
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return Err(format!("a tensor of {} axes with {} strides", shape.len(), strides.len()));
        }
        let offset = usize::try_from(offset).map_err(|_| "a tensor that begins before its storage")?;
        self.tensors.push(TensorView { storage, element, offset, shape, strides });
        Ok(Value::Tensor(self.tensors.len() - 1))
    }

    /// A tuple of whole numbers ≥ 0.
    fn sizes(&self, tuple: Value<'p>) -> Result<Vec<usize>, String> {
        let Value::Tuple(items) = tuple else { return Err("a shape that is no tuple".into()) };
        let items = &self.containers[items];
        // Before they are copied: many tensors can share one tuple.
        if items.len() > MOST_AXES {
            return Err(format!("a tensor of {} axes", items.len()));
        }
        let size = |value: &Value<'_>| match value {
            Value::Integer(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        let sizes: Option<Vec<usize>> = items.iter().map(size).collect();
        sizes.ok_or_else(|| "a shape of something else than sizes".into())
    }

    /// `BUILD`: the state of an ordered dictionary holds module versions, which do not matter here.
    fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dictionary(_)) => Ok(()),
            _ => Err("its pickle sets the state of something else than a dictionary".into()),
        }
    }

    /// `BINPERSID`: `("storage", class, key, device, count)`.
    fn persistent(&mut self) -> Result<Value<'p>, String> {
        let Value::Tuple(items) = self.pop()? else { return Err("a reference that is no tuple".into()) };
        let [Value::Text("storage"), Value::Global(Global::Storage(element)), Value::Text(key), _, _] =
            self.containers[items][..]
        else {
            return Err("a reference to something else than a storage".into());
        };
        let key = key.parse().map_err(|_| format!("storage `{key}` is no number"))?;
        self.storages.push((key, element));
        Ok(Value::Storage(self.storages.len() - 1))
    }

    fn container(&mut self, items: Vec<Value<'p>>) -> usize {
        self.containers.push(items);
        self.containers.len() - 1
    }

    fn pop(&mut self) -> Result<Value<'p>, String> {
        self.check_above_mark(1)?;
        self.stack.pop().ok_or_else(|| UNDERFLOW.into())
    }

    /// Everything above the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Value<'p>>, String> {
        let mark = self.marks.pop().ok_or("its pickle closes what it never opened")?;
        Ok(self.stack.split_off(mark))
    }

    fn check_above_mark(&self, count: usize) -> Result<(), String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() < floor + count { Err(UNDERFLOW.into()) } else { Ok(()) }
    }

    fn take(&mut self, count: usize) -> Result<&'p [u8], String> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or("its pickle is truncated")?;
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn unsigned(&mut self, width: usize) -> Result<u64, String> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<&'p str, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or("its pickle is truncated")?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| "a name that is not UTF-8".into())
    }
}

const UNDERFLOW: &str = "its pickle takes more from the stack than it has put there";
