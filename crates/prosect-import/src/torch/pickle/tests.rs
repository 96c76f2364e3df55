//! Pickles by hand, and any bytes at all.

use proptest::prelude::*;

use super::{Element, Object, Pickle, Value, read};

fn check(bytes: &[u8], expected: Result<&str, &str>) {
    match (read("test", bytes), expected) {
        (Ok(pickle), Ok(shown)) => assert_eq!(show(&pickle, pickle.root()), shown),
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (found, expected) => panic!("{found:?}, expected {expected:?}"),
    }
}

/// A value as Python would print it.
fn show(pickle: &Pickle, value: Value) -> String {
    let all = |values: &[Value]| -> String {
        let shown: Vec<String> = values.iter().map(|v| show(pickle, *v)).collect();
        shown.join(", ")
    };
    match pickle.object(value) {
        Some(Object::Text(text)) => format!("'{text}'"),
        Some(Object::Tuple(values)) => format!("({})", all(values)),
        Some(Object::List(values)) => format!("[{}]", all(values)),
        Some(Object::Dict(pairs)) => {
            let shown: Vec<String> = pairs
                .iter()
                .map(|(k, v)| format!("{}: {}", show(pickle, *k), show(pickle, *v)))
                .collect();
            format!("{{{}}}", shown.join(", "))
        }
        Some(Object::Tensor(t)) => format!(
            "tensor {} {:?} {:?} {:?}",
            t.storage.key, t.offset, t.shape, t.strides
        ),
        Some(Object::Opaque) => "?".into(),
        Some(other) => format!("{other:?}"),
        None => match value {
            Value::None => "None".into(),
            Value::Bool(b) => b.to_string(),
            Value::Int(i) => i.to_string(),
            Value::Float(f) => f.to_string(),
            Value::Object(_) => "nothing".into(),
        },
    }
}

#[test]
fn plain_values_of_every_protocol_are_read() {
    // pickle.dumps({'a': [1, -2, 300, 70000, 2**40], 'b': (True, None, 1.5)}, protocol=2)
    check(
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01eX\x01\x00\x00\x00bq\x03\x88NG?\xf8\x00\x00\x00\x00\x00\x00\x87q\x04u.",
        Ok("{'a': [1, -2, 300, 70000, 1099511627776], 'b': (true, None, 1.5)}"),
    );
    // pickle.dumps(['x', 'x', 2**100], protocol=4), with a frame and the memo by order
    check(
        b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00]\x94(\x8c\x01x\x94h\x01\x8a\x0d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10e.",
        Ok("['x', 'x', ?]"),
    );
    check(b"\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00kK\x07s}X\x09\x00\x00\x00_metadata}sb.", Ok("{'k': 7}"));
    // numpy.float64 as nnU-Net's logs hold it: kept as an opaque value.
    check(b"\x80\x02cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f8\x89\x88\x87R(K\x03tbC\x08\x00\x00\x00\x00\x00\x00\xe0?\x86R.", Ok("?"));
}

#[test]
fn a_tensor_is_its_storage_and_its_view() {
    let bytes = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nHalfStorage\nX\x01\x00\x00\x003X\x03\x00\x00\x00cpuK\x0atQK\x02K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtR.";
    check(bytes, Ok("tensor 3 2 [2, 3] [3, 1]"));
    let pickle = read("test", bytes).unwrap();
    let Some(Object::Tensor(tensor)) = pickle.object(pickle.root()) else {
        panic!("a tensor is expected");
    };
    assert_eq!(
        (tensor.storage.element, tensor.storage.length),
        (Element::F16, 10)
    );
}

#[test]
fn foreign_names_and_broken_bytes_are_refused() {
    check(b"\x80\x02cos\nsystem\n.", Err("`os.system`"));
    check(
        b"\x80\x04\x8c\x0asubprocess\x8c\x05Popen\x93.",
        Err("`subprocess.Popen`"),
    );
    check(
        b"\x80\x02ctorch.nn.modules.linear\nLinear\n.",
        Err("torch.nn.modules.linear.Linear"),
    );
    check(b"\x80\x02", Err("ends in the middle"));
    check(b"\x80\x09N.", Err("protocol 9"));
    check(b"\x80\x02.", Err("empty stack"));
    check(b"\x80\x02e.", Err("mark"));
    check(b"\x80\x02h\x05.", Err("never kept"));
    check(b"\x80\x02K\x01K\x02a.", Err("no list"));
    check(b"\x80\x02K\x01)R.", Err("not a name"));
    check(b"\x80\x02X\xff\xff\xff\xffa.", Err("ends in the middle"));
    check(
        b"\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\xffa.",
        Err("ends in the middle"),
    );
    check(b"\x80\x02\x82\x01.", Err("0x82"));
    // A list that is copied again and again by a few bytes.
    let mut bomb = b"\x80\x02cbuiltins\nlist\nq\x00](".to_vec();
    bomb.extend(std::iter::repeat_n(b'N', 1 << 16));
    bomb.extend(b"eq\x01");
    for _ in 0..1000 {
        bomb.extend(b"h\x00h\x01\x85R");
    }
    bomb.push(b'.');
    check(&bomb, Err("copies more than"));
}

#[test]
fn a_cycle_and_a_deep_nest_cost_nothing() {
    check(b"\x80\x02]q\x00h\x00aK\x01.", Ok("1"));
    let mut nest = b"\x80\x02".to_vec();
    nest.extend(std::iter::repeat_n(b']', 100_000));
    nest.extend(std::iter::repeat_n(b'a', 99_999));
    nest.push(b'.');
    let pickle = read("test", &nest).unwrap();
    assert!(pickle.items(pickle.root()).is_some());
}

proptest! {
    #[test]
    fn no_bytes_bring_it_to_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read("test", &bytes);
        let mut begun = b"\x80\x02".to_vec();
        begun.extend(&bytes);
        let _ = read("test", &begun);
    }

    #[test]
    fn no_instructions_bring_it_to_panic(codes in proptest::collection::vec(
        proptest::sample::select(b"(.012N]}ljetaudsRbQ)\x85\x86\x87\x88\x81\x92\x93\x94q\x00h\x00K\x01ccollections\nOrderedDict\n".to_vec()), 0..200)) {
        let _ = read("test", &codes);
    }
}
