use proptest::prelude::*;

use super::*;

/// A tree in one line, every value with the text it was written as.
fn shown(source: &Source, node: &Node) -> String {
    let inner = match &node.kind {
        Kind::Null => "null".to_owned(),
        Kind::Bool(value) => value.to_string(),
        Kind::Number(text) => format!("#{text}"),
        Kind::Text(Text { value, style: Style::Plain }) => value.clone(),
        Kind::Text(Text { value, style: Style::Quoted }) => format!("{value:?}"),
        Kind::List(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(source, item)).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Map(entries) => {
            let entry = |(key, value): &(Key, Node)| {
                assert!(solid(source.slice(key.span)).contains(&solid(&key.name)), "{} at {:?}", key.name, key.span);
                format!("{}: {}", key.name, shown(source, value))
            };
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    };
    format!("{inner}<{}>", source.slice(node.span).escape_debug())
}

/// Without space, as lines of one key are folded into one.
fn solid(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn a_key_of_several_lines_is_one_key() {
    assert_eq!(read("{0\né}\n"), ("{0 é: null<>}<{0\\né}>".to_owned(), Vec::new()));
}

fn read(text: &str) -> (String, Vec<String>) {
    let sink = Diagnostics::default();
    let source = Source::new("plan.yaml", text, &sink);
    let tree = parse(&source, &sink).map(|node| shown(&source, &node)).unwrap_or_default();
    let problem = |found: Diagnostic| format!("{} {} {}", found.code, source.place(found.span), found.message);
    (tree, sink.finish().into_iter().map(problem).collect())
}

#[test]
fn values_keep_their_order_their_spelling_and_their_place() {
    let (tree, problems) =
        read("card: \"4242\"\ncount: 4242\nlist:\n  - a\n  - { é: /^OK/, d: '< 5s', n: }\nlast: ~\n");
    assert_eq!(
        tree,
        "{card: \"4242\"<\\\"4242\\\">, count: #4242<4242>, list: [a<a>, {é: /^OK/</^OK/>, d: \"< 5s\"<\\'< 5s\\'>, n: null<>}\
         <{ é: /^OK/, d: \\'< 5s\\', n: }>]<- a\\n  - { é: /^OK/, d: \\'< 5s\\', n: }>, last: null<~>}\
         <card: \\\"4242\\\"\\ncount: 4242\\nlist:\\n  - a\\n  - { é: /^OK/, d: \\'< 5s\\', n: }\\nlast: ~>"
    );
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn an_alias_is_a_copy_with_the_places_of_what_it_copies() {
    let (tree, problems) = read("a: &x { k: 1 }\nb: *x\n");
    assert!(tree.starts_with("{a: {k: #1<1>}<{ k: 1 }>, b: {k: #1<1>}<{ k: 1 }>}"), "{tree}");
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn what_yaml_allows_and_a_plan_does_not_is_reported_with_the_rest() {
    let (_, problems) = read("a: !!str 1\nb: 1\nb: 2\n? [c]\n: 3\nd: \"x\\u202ey\"\n");
    assert_eq!(
        problems,
        [
            "MP0109 plan.yaml:1:4 YAML tags have no meaning in a plan",
            "MP0104 plan.yaml:3:1 the key `b` stands here twice",
            "MP0109 plan.yaml:4:3 a key cannot be a list",
            "MP0105 plan.yaml:6:4 the character U+202E may not stand in a plan",
        ]
    );
}

#[test]
fn a_syntax_error_is_one_diagnostic_at_its_place() {
    for (text, problem) in [
        ("a: [1, 2\nb: 3\n", "MP0101 plan.yaml:2:2"),
        ("a: 'x\n", "MP0101"),
        ("a: 1\n---\nb: 2\n", "MP0109 plan.yaml:2:1"),
        ("a: { url: ${{ stubs.x.url }} }\n", "MP0102 plan.yaml:1:11"),
        ("", "MP0111 plan.yaml:1:1"),
        ("# only a comment\n", "MP0111 plan.yaml:1:1"),
        ("a: *nowhere\n", "MP0101 plan.yaml:1:4"),
        ("a: &a [*a]\n", "MP0109 plan.yaml:1:8"),
    ] {
        let (_, problems) = read(text);
        assert_eq!(problems.len(), 1, "{text:?}: {problems:?}");
        assert!(problems[0].starts_with(problem), "{text:?}: {problems:?}");
    }
}

#[test]
fn an_alias_bomb_ends_at_the_budget() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let copies = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("a{level}: &a{level} [{copies}]\n");
    }
    let (_, problems) = read(&text);
    assert!(problems[0].starts_with("MP0103") && problems.len() == 1, "{problems:?}");
}

#[test]
fn a_text_bomb_ends_at_the_budget() {
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1000].join(", "));
    assert!(read(&text).1[0].starts_with("MP0103"));
}

#[test]
fn depth_is_bounded_however_it_is_written() {
    for text in ["[".repeat(10_000), "- ".repeat(10_000), "{a: ".repeat(10_000), "? ".repeat(10_000)] {
        let (_, problems) = read(&text);
        assert!(problems[0].starts_with("MP0103") && problems.len() == 1, "{problems:?}");
    }
    let nested = format!("{}x{}", "[".repeat(40), "]".repeat(40));
    let (_, problems) = read(&format!("a: &a {nested}\nb: {}*a{}\n", "[".repeat(40), "]".repeat(40)));
    assert!(problems[0].starts_with("MP0103"), "{problems:?}");
}

#[test]
fn a_million_steps_are_refused_before_they_cost_anything() {
    assert!(read(&"- say: x\n".repeat(1_000_000)).1[0].starts_with("MP0103"));
    assert!(read(&"- x\n".repeat(500_000)).1[0].starts_with("MP0103"));
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "[ \\n\\t:,#&*!|>'\"%@`{}\\[\\]?$a-c0-9é\\u{202e}\u{0}-]{0,200}") {
        read(&text);
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let sink = Diagnostics::default();
        let source = Source::from_bytes("plan.yaml", &bytes, &sink);
        let tree = parse(&source, &sink);
        prop_assert!(tree.is_some() || !sink.is_empty());
        let _drawn = crate::plan::render_diagnostics(&source, &sink.finish(), sink.left_out(), crate::plan::Look::Plain);
    }
}
