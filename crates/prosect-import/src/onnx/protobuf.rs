//! The few messages of ONNX that describe a network, read from protobuf without a schema compiler:
//! `ModelProto`, `GraphProto`, `NodeProto`, `AttributeProto`, `TensorProto` (onnx.proto, IR 3 to 10).
//!
//! Everything borrows from the file's bytes; what is not known is skipped.

use crate::error::ImportError;

/// Nodes, tensors and attributes of one file.
const MAX_ITEMS: usize = 200_000;

/// One field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message, one after the other.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for n in 0..10 {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7F).checked_shl(7 * n)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, n: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(n).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    /// Number and value of the next field; `Err` for broken bytes.
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, ImportError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let broken = || ImportError::malformed("the ONNX file", "its records are broken or cut");
        let tag = self.varint().ok_or_else(broken)?;
        let field = match tag & 7 {
            0 => self.varint().map(Field::Number),
            1 => self.take(8).map(Field::Bytes),
            2 => {
                let n = self.varint().ok_or_else(broken)?;
                self.take(n).map(Field::Bytes)
            }
            5 => self
                .take(4)
                .map(|b| Field::Fixed32(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
            _ => None,
        };
        Ok(Some((tag >> 3, field.ok_or_else(broken)?)))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A list of numbers, packed or one by one.
fn push_numbers(field: &Field<'_>, list: &mut Vec<i64>) -> Result<(), ImportError> {
    match field {
        Field::Number(n) => list.push(*n as i64),
        Field::Bytes(bytes) => {
            let mut fields = Fields { rest: bytes };
            while !fields.rest.is_empty() {
                let n = fields.varint().ok_or_else(|| {
                    ImportError::malformed("the ONNX file", "a list of numbers is cut")
                })?;
                list.push(n as i64);
            }
        }
        Field::Fixed32(_) => {}
    }
    Ok(())
}

fn push_floats(field: &Field<'_>, list: &mut Vec<f32>) {
    match field {
        Field::Fixed32(bits) => list.push(f32::from_bits(*bits)),
        Field::Bytes(bytes) => list.extend(
            bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        ),
        Field::Number(_) => {}
    }
}

/// A constant.
#[derive(Clone, Debug, Default)]
pub(super) struct Tensor<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<i64>,
    /// 1 is f32, 7 is i64.
    pub(super) kind: u64,
    raw: &'a [u8],
    floats: Vec<f32>,
    integers: Vec<i64>,
    is_external: bool,
}

impl<'a> Tensor<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, ImportError> {
        let mut tensor = Self::default();
        let mut fields = Fields { rest: bytes };
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (1, field) => push_numbers(&field, &mut tensor.shape)?,
                (2, Field::Number(n)) => tensor.kind = n,
                (4, field) => push_floats(&field, &mut tensor.floats),
                (7, field) => push_numbers(&field, &mut tensor.integers)?,
                (8, Field::Bytes(bytes)) => tensor.name = text(bytes),
                (9, Field::Bytes(bytes)) => tensor.raw = bytes,
                (14, Field::Number(1)) => tensor.is_external = true,
                _ => {}
            }
        }
        Ok(tensor)
    }

    fn n_values(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |n, extent| {
            n.checked_mul(usize::try_from(*extent).ok()?)
        })
    }

    /// Its values, which must be f32 and all there.
    pub(super) fn f32_values(&self) -> Result<Vec<f32>, ImportError> {
        let what = || format!("tensor {}", self.name);
        if self.is_external {
            let reason = "its values lie in another file; save the model in one file";
            return Err(ImportError::unsupported(what(), reason));
        }
        if self.kind != 1 {
            let reason = format!(
                "its element type is number {}; float (1) is supported",
                self.kind
            );
            return Err(ImportError::unsupported(what(), reason));
        }
        let mut values = self.floats.clone();
        if values.is_empty() {
            push_floats(&Field::Bytes(self.raw), &mut values);
        }
        if Some(values.len()) == self.n_values() {
            Ok(values)
        } else {
            let reason = format!("it has {} values for shape {:?}", values.len(), self.shape);
            Err(ImportError::malformed(what(), reason))
        }
    }

    /// Its values as whole numbers, for sizes and axes.
    pub(super) fn i64_values(&self) -> Option<Vec<i64>> {
        if self.kind != 7 {
            return None;
        }
        let values = if self.integers.is_empty() {
            let number =
                |b: &[u8]| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
            self.raw.chunks_exact(8).map(number).collect()
        } else {
            self.integers.clone()
        };
        Some(values)
    }
}

/// One named setting of a node.
#[derive(Clone, Debug)]
pub(super) enum Attribute<'a> {
    Float(f32),
    Int(i64),
    Text(String),
    Ints(Vec<i64>),
    Tensor(Box<Tensor<'a>>),
    Other,
}

/// One operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Node<'a> {
    pub(super) name: String,
    pub(super) op: String,
    pub(super) domain: String,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    pub(super) attributes: Vec<(String, Attribute<'a>)>,
}

/// A whole file.
#[derive(Clone, Debug, Default)]
pub(super) struct Model<'a> {
    pub(super) opset: u64,
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) constants: Vec<Tensor<'a>>,
    /// Names and shapes; an extent that is no number is 0.
    pub(super) inputs: Vec<(String, Vec<u64>)>,
    pub(super) outputs: Vec<(String, Vec<u64>)>,
}

impl<'a> Model<'a> {
    /// Reads a file.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, ImportError> {
        let mut model = Self::default();
        let mut fields = Fields { rest: bytes };
        let mut graph = None;
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (7, Field::Bytes(bytes)) => graph = Some(bytes),
                (8, Field::Bytes(bytes)) => {
                    let mut fields = Fields { rest: bytes };
                    let (mut domain, mut version) = (String::new(), 0);
                    while let Some((number, field)) = fields.next()? {
                        match (number, field) {
                            (1, Field::Bytes(bytes)) => domain = text(bytes),
                            (2, Field::Number(n)) => version = n,
                            _ => {}
                        }
                    }
                    if domain.is_empty() || domain == "ai.onnx" {
                        model.opset = version;
                    }
                }
                _ => {}
            }
        }
        let graph =
            graph.ok_or_else(|| ImportError::malformed("the ONNX file", "it holds no graph"))?;
        model.graph(graph)?;
        Ok(model)
    }

    fn graph(&mut self, bytes: &'a [u8]) -> Result<(), ImportError> {
        let mut fields = Fields { rest: bytes };
        let mut n_items = 0;
        while let Some((number, field)) = fields.next()? {
            n_items += 1;
            if n_items > MAX_ITEMS {
                let reason = format!("its graph has more than {MAX_ITEMS} records");
                return Err(ImportError::limit("the ONNX file", reason));
            }
            match (number, field) {
                (1, Field::Bytes(bytes)) => self.nodes.push(node(bytes)?),
                (5, Field::Bytes(bytes)) => self.constants.push(Tensor::parse(bytes)?),
                (11, Field::Bytes(bytes)) => self.inputs.push(value(bytes)?),
                (12, Field::Bytes(bytes)) => self.outputs.push(value(bytes)?),
                _ => {}
            }
        }
        Ok(())
    }
}

fn node(bytes: &[u8]) -> Result<Node<'_>, ImportError> {
    let mut node = Node::default();
    let mut fields = Fields { rest: bytes };
    while let Some((number, field)) = fields.next()? {
        let Field::Bytes(bytes) = field else {
            continue;
        };
        match number {
            1 => node.inputs.push(text(bytes)),
            2 => node.outputs.push(text(bytes)),
            3 => node.name = text(bytes),
            4 => node.op = text(bytes),
            5 => node.attributes.push(attribute(bytes)?),
            7 => node.domain = text(bytes),
            _ => {}
        }
    }
    Ok(node)
}

fn attribute(bytes: &[u8]) -> Result<(String, Attribute<'_>), ImportError> {
    let mut name = String::new();
    let mut value = Attribute::Other;
    let mut ints = Vec::new();
    let mut fields = Fields { rest: bytes };
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => name = text(bytes),
            (2, Field::Fixed32(bits)) => value = Attribute::Float(f32::from_bits(bits)),
            (3, Field::Number(n)) => value = Attribute::Int(n as i64),
            (4, Field::Bytes(bytes)) => value = Attribute::Text(text(bytes)),
            (5, Field::Bytes(bytes)) => value = Attribute::Tensor(Box::new(Tensor::parse(bytes)?)),
            (8, field) => push_numbers(&field, &mut ints)?,
            _ => {}
        }
    }
    if !ints.is_empty() {
        value = Attribute::Ints(ints);
    }
    Ok((name, value))
}

/// Name and shape of an input or output: `ValueInfoProto` > `TypeProto` > `Tensor` > `TensorShapeProto`.
fn value(bytes: &[u8]) -> Result<(String, Vec<u64>), ImportError> {
    let (mut name, mut shape) = (String::new(), Vec::new());
    let mut fields = Fields { rest: bytes };
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => name = text(bytes),
            (2, Field::Bytes(kind)) => {
                let tensor = first(kind, 1)?;
                for dimension in all(first(tensor, 2)?, 1)? {
                    let mut fields = Fields { rest: dimension };
                    let mut extent = 0;
                    while let Some((number, field)) = fields.next()? {
                        if let (1, Field::Number(n)) = (number, field) {
                            extent = n;
                        }
                    }
                    shape.push(extent);
                }
            }
            _ => {}
        }
    }
    Ok((name, shape))
}

/// All messages in a field; none is an empty list.
fn all(bytes: &[u8], wanted: u64) -> Result<Vec<&[u8]>, ImportError> {
    let mut found = Vec::new();
    let mut fields = Fields { rest: bytes };
    while let Some((number, field)) = fields.next()? {
        if let (true, Field::Bytes(bytes)) = (number == wanted, field) {
            found.push(bytes);
        }
    }
    Ok(found)
}

fn first(bytes: &[u8], wanted: u64) -> Result<&[u8], ImportError> {
    Ok(all(bytes, wanted)?.first().copied().unwrap_or(&[]))
}

/// Whether bytes could be a model: the first field is the format's version, a small number.
pub(super) fn is_onnx(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, 3..=14, ..])
}
