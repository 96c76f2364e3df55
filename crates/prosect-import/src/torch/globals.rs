//! The names of programs that may stand in a checkpoint, and what Prosect makes of each. None is
//! ever looked up or called; a name that is not here ends the import.

use crate::torch::pickle::Element;

/// What a listed name makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A view into a storage.
    Tensor,
    /// A tensor around a tensor.
    Parameter,
    /// The type of a storage.
    Storage(Element),
    Dict,
    List,
    /// Bookkeeping of the training that nobody asks for: it becomes an opaque value.
    Inert,
}

/// What `module.name` makes, or `None` if it is not on the list.
pub(crate) fn meaning(module: &str, name: &str) -> Option<Meaning> {
    Some(match (module, name) {
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Meaning::Tensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
        | ("torch.nn.parameter", "Parameter") => Meaning::Parameter,
        ("torch" | "torch.storage" | "torch.cuda", storage) if storage.ends_with("Storage") => {
            Meaning::Storage(element(storage)?)
        }
        ("collections", "OrderedDict" | "defaultdict" | "Counter")
        | ("builtins" | "__builtin__", "dict") => Meaning::Dict,
        ("builtins" | "__builtin__", "list" | "tuple" | "set" | "frozenset")
        | ("torch", "Size") => Meaning::List,
        (
            "builtins" | "__builtin__",
            "int" | "float" | "bool" | "str" | "bytes" | "bytearray" | "complex" | "slice"
            | "range",
        )
        | ("torch", "device" | "dtype" | "Tensor" | "strided")
        | ("torch.torch_version", "TorchVersion")
        | ("torch.serialization", "_get_layout")
        | (
            "numpy",
            "dtype" | "ndarray" | "float64" | "float32" | "float16" | "int64" | "int32" | "bool_",
        )
        | ("numpy.dtypes", _)
        | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar" | "_reconstruct")
        | ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer")
        | ("_codecs", "encode")
        | ("copyreg", "_reconstructor")
        | (
            "pathlib" | "pathlib._local",
            "PosixPath" | "PurePosixPath" | "WindowsPath" | "PureWindowsPath" | "Path",
        )
        | ("datetime", "datetime" | "date" | "timedelta" | "timezone")
        | ("uuid", "UUID") => Meaning::Inert,
        ("torch", dtype) if DTYPES.contains(&dtype) => Meaning::Inert,
        _ => return None,
    })
}

/// Element types that stand in checkpoints by themselves.
const DTYPES: [&str; 9] = [
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "uint8", "bool",
];

fn element(storage: &str) -> Option<Element> {
    Some(match storage {
        "DoubleStorage" => Element::F64,
        "FloatStorage" => Element::F32,
        "HalfStorage" => Element::F16,
        "BFloat16Storage" => Element::BF16,
        "LongStorage" | "ComplexFloatStorage" => Element::Other(8),
        "ComplexDoubleStorage" => Element::Other(16),
        "IntStorage" => Element::Other(4),
        "ShortStorage" => Element::Other(2),
        "CharStorage" | "ByteStorage" | "BoolStorage" | "UntypedStorage" => Element::Other(1),
        _ => return None,
    })
}
