use super::super::format::Format;
use super::*;

fn load(program: &[u8]) -> Result<Pickle, Problem> {
    let mut input = Input { reader: program, left: program.len() as u64, format: Format::TorchZip };
    read(&mut input)
}

fn show(pickle: &Pickle, id: Id) -> String {
    let all = |ids: &[Id]| ids.iter().map(|&id| show(pickle, id)).collect::<Vec<_>>().join(" ");
    match &pickle[id] {
        Value::None => "None".into(),
        Value::Bool(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::Inert(kind) => (*kind).into(),
        Value::Str(v) => format!("{v:?}"),
        Value::Tuple(ids) => format!("({})", all(ids)),
        Value::List(ids) => format!("[{}]", all(ids)),
        Value::Dict(pairs) => {
            let pairs: Vec<_> =
                pairs.iter().map(|&(k, v)| format!("{}:{}", show(pickle, k), show(pickle, v))).collect();
            format!("{{{}}}", pairs.join(" "))
        }
        Value::Global(module, name) => {
            format!("{}.{}", pickle.str(*module).unwrap(), pickle.str(*name).unwrap())
        }
        Value::Call(function, args) => format!("{}{}", show(pickle, *function), show(pickle, *args)),
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
    assert_eq!(shown(b"G\x3f\xf8\0\0\0\0\0\0."), "a float");
    assert_eq!(shown(b"(K\x01\x88NX\x02\0\0\0\xc3\xa9\x85\x86t."), r#"(1 true (None ("é")))"#);
    assert_eq!(shown(b"](K\x01K\x02e\x89a."), "[1 2 false]");
    assert_eq!(shown(b"}U\x01aK\x01s(\x8c\x01bK\x02\x8c\x01cK\x03u."), r#"{"a":1 "b":2 "c":3}"#);
    assert_eq!(shown(b"\x80\x04\x95\0\0\0\0\0\0\0\0]\x94h\0a0h\x000N."), "None", "a list that holds itself");
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
fn names_lead_to_nothing() {
    for program in [
        &b"cos\nsystem\n(U\x08rm -rf /tR."[..],
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x08rm -rf /\x85R.",
        b"(U\x08rm -rf /ios\nsystem\n.",
        b"(cos\nsystem\nU\x08rm -rf /o.",
        b"cos\nsystem\nU\x08rm -rf /\x85\x81.",
        b"cos\nsystem\nU\x08rm -rf /\x85}\x92.",
    ] {
        assert_eq!(shown(program), "os.system(\"rm -rf /\")");
    }
    assert_eq!(shown(b"cbuiltins\neval\n."), "builtins.eval");
    let pickle = load(b"cargparse\nNamespace\n)\x81.").unwrap();
    assert_eq!(pickle.describe(pickle.root), "an object of argparse.Namespace");
}

#[test]
fn other_objects_are_inert() {
    for (program, what) in [
        // defaultdict(list): a dictionary, whatever makes its values.
        (&b"ccollections\ndefaultdict\ncbuiltins\nlist\n\x85RK\x01K\x02s."[..], "{1:2}"),
        (b"ccollections\nCounter\n}K\x01K\x02s\x85R.", "collections.Counter({1:2})"),
        (b"ctorch\nSize\n(K\x01K\x02t\x85R.", "torch.Size((1 2))"),
        (b"ctorch\nfloat32\n.", "torch.float32"),
        (b"\x8f(K\x01K\x02\x90.", "a set"),
        (b"(K\x01K\x02\x91.", "a set"),
        (b"C\x02ab.", "bytes"),
        (b"B\x02\0\0\0ab.", "bytes"),
        (b"\x8e\x02\0\0\0\0\0\0\0ab.", "bytes"),
        (b"\x96\x02\0\0\0\0\0\0\0ab.", "bytes"),
        (b"U\x02\xff\xfe.", "bytes"),
        (b"\x8a\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01.", "a large integer"),
        // Whatever they are filled with, and what state they are given.
        (b"cm\nC\n)\x81K\x01a(K\x01K\x02eK\x01K\x02s(K\x01K\x02uK\x01K\x02\x86b.", "m.C()"),
        // A method of a nested class: the call of what a call returned.
        (b"cbuiltins\ngetattr\ncm\nC\nU\x01f\x86R)R.", "builtins.getattr(m.C \"f\")()"),
    ] {
        assert_eq!(shown(program), what);
    }
}

#[test]
fn a_list_becomes_one_dictionary_however_often_it_is_called() {
    // One list of 1000 pairs, then 1000 calls of OrderedDict with it: a million pairs if each call copied
    // them.
    let list = [&b"]("[..], &b"(K\x01K\x02t".repeat(1000), b"eq\x00"].concat();
    let calls = b"ccollections\nOrderedDict\nh\x00\x85R".repeat(1000);
    let program = [&b"("[..], &list, &calls, b"t."].concat();
    let pickle = load(&program).unwrap();
    let pairs = pickle.values().iter().map(|v| if let Value::Dict(pairs) = v { pairs.len() } else { 0 });
    assert_eq!(pairs.sum::<usize>(), 1000);
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
    assert!(reason(b"(o").contains("an instance of nothing"));
    assert!(reason(b"\x80\x09").contains("version 9 of the pickle protocol"));
    assert!(reason(b"\x82").contains("the pickle instruction"));
    assert!(reason(b"\x8b\0\0\0\x7f").contains("it ends"));
    assert!(reason(b"\x8e\0\0\0\0\0\0\0\x7f").contains("it ends"));
    assert!(reason(&b"c\n\n0".repeat(LONGEST_PROGRAM / 3 + 1)).contains("more than 2097152 values"));
    assert!(reason(&[&b"c"[..], &[b'x'; 2000]].concat()).contains("an endless name"));
    assert!(reason(&b"N".repeat(LONGEST_PROGRAM + 1)).contains("more than 2097152 instructions"));
}

#[test]
fn nesting_may_be_as_deep_as_the_file() {
    let deep = [&b"()"[..], &b"\x85".repeat(LONGEST_PROGRAM - 4), b"t."].concat();
    assert!(load(&deep).is_ok());
}
