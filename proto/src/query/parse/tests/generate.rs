//! Random queries: as trees, whose print must be read as the same tree, and as texts of the grammar in many spellings.

use proptest::collection::vec;
use proptest::option;
use proptest::sample::select;

use super::*;
use crate::query::ast::{
    Agg, AggFunc, ArithOp, CmpOp, Expr, ExprFunc, Extractor, Group, Pipe, Relation, SortKey, TimeUnit,
};

type Gen<T> = BoxedStrategy<T>;

const NOWHERE: Span = Span { start: 0, end: 0 };

/// Any text: words, signs of the language, other alphabets, control characters.
fn any_text() -> Gen<String> {
    prop_oneof![
        "[a-z]{1,8}",
        "[ -~]{1,12}",
        "\\PC{1,8}",
        select(SCRAPS).prop_map(str::to_owned),
        "[\\\\\"'\n\t*?]{1,5}"
    ]
    .boxed()
}

/// A field that is not `level`, whose values are checked.
fn field() -> Gen<Field> {
    let name = prop_oneof![
        4 => select(&["service", "status", "a", "http/path-x", "@t", "exception.type", "since", "by", "OR", "p95(d)", "count"][..])
            .prop_map(str::to_owned),
        1 => any_text().prop_map(|text| text.replace('`', "x")),
    ];
    name.prop_filter("level", |name| name != "level").prop_map(|name| Field { name, span: NOWHERE }).boxed()
}

fn literal() -> Gen<Literal> {
    let bare = select(
        &[
            "500",
            "-5",
            "1.5s",
            "10MB",
            "api",
            "/a/b?c=d",
            "https://x.y/z?a=b",
            "2026-11-01T10:00Z",
            "10.0.0.1",
            "::1",
            "//x",
            "a:b",
            "in",
            "#x",
            "-",
            "now-1h/d",
            "true",
            "5xxx",
            "6xx",
        ][..],
    );
    prop_oneof![
        bare.prop_map(|text| Literal { text: text.to_owned(), quoted: false, span: NOWHERE }),
        any_text().prop_map(|text| Literal { text, quoted: true, span: NOWHERE }),
    ]
    .boxed()
}

/// A wildcard pattern: pieces of text with what has a meaning escaped, and at least one `*` beside other characters.
fn glob() -> Gen<String> {
    (any_text(), select(&["*", "?*", "*?", "**"][..]), any_text())
        .prop_map(|(before, wildcard, after)| {
            let escape = |text: &str| text.replace('\\', "\\\\").replace('*', "\\*").replace('?', "\\?");
            format!("{}{wildcard}{}", escape(&before), escape(&after))
        })
        .boxed()
}

fn regex() -> Gen<String> {
    select(&["a", "^\\d+ \"x\"$", "time(d )?out", "\\\\", "[\"']+", "(?i)x|y", "", "\\x22", "a\nb", "größe"][..])
        .prop_map(str::to_owned)
        .boxed()
}

fn bound() -> Gen<Bound> {
    // Quoted, so that no two bounds are numbers in the wrong order.
    let quoted = any_text().prop_map(|text| Literal { text, quoted: true, span: NOWHERE });
    prop_oneof![Just(Bound::Open), quoted.clone().prop_map(Bound::Inclusive), quoted.prop_map(Bound::Exclusive)].boxed()
}

fn field_test() -> Gen<Test> {
    prop_oneof![
        literal().prop_map(Test::Match),
        literal().prop_map(Test::Exact),
        (select(&[CmpOp::Lt, CmpOp::Le, CmpOp::Gt, CmpOp::Ge][..]), literal())
            .prop_map(|(op, value)| Test::Cmp(op, value)),
        Just(Test::Exists),
        (bound(), bound()).prop_map(|(low, high)| Test::Range { low, high }),
        vec(literal(), 2..4).prop_map(Test::AnyOf),
        glob().prop_map(Test::Glob),
        regex().prop_map(Test::Regex),
        (any::<u32>(), 0..=32u8)
            .prop_map(|(net, prefix)| Test::Cidr { net: std::net::Ipv4Addr::from(net).into(), prefix }),
        (any::<u128>(), 0..=128u8)
            .prop_map(|(net, prefix)| Test::Cidr { net: std::net::Ipv6Addr::from(net).into(), prefix }),
        (1..=5u8).prop_map(Test::StatusClass),
    ]
    .boxed()
}

fn filter() -> Gen<Filter> {
    let leaf = prop_oneof![
        1 => Just(Filter::All),
        3 => any_text().prop_map(|text| Filter::Text(Pattern::Phrase(text))),
        1 => glob().prop_map(|glob| Filter::Text(Pattern::Glob(glob))),
        1 => regex().prop_map(|pattern| Filter::Text(Pattern::Regex(pattern))),
        4 => (field(), field_test()).prop_map(|(field, test)| Filter::Field { field, test }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(Filter::And),
            vec(inner.clone(), 2..4).prop_map(Filter::Or),
            inner.clone().prop_map(|inner| Filter::Not(Box::new(inner))),
            (field(), inner).prop_map(|(of, filter)| {
                let kind = PipeKind::Fields { fields: vec![of.clone()], exclude: false };
                let pipes = vec![Pipe { kind, span: NOWHERE }];
                Filter::Field { field: of, test: Test::In(Box::new(Query { filter, since: None, until: None, pipes })) }
            }),
        ]
    })
    .boxed()
}

fn time() -> Gen<TimeExpr> {
    let ago = any::<i64>().prop_map(|ns| ns.max(-i64::MAX));
    // An epoch near 1970 would be taken for a duration without its unit, but it is printed as a date.
    prop_oneof![
        ago.clone().prop_map(TimeExpr::Ago),
        any::<i64>().prop_map(TimeExpr::At),
        (ago, select(&TimeUnit::ALL[..])).prop_map(|(ns, unit)| TimeExpr::AgoFloor(ns, unit)),
    ]
    .boxed()
}

fn agg_func() -> Gen<AggFunc> {
    let of_field: [fn(Field) -> AggFunc; 8] = [
        AggFunc::Distinct,
        AggFunc::Sum,
        AggFunc::Avg,
        AggFunc::Min,
        AggFunc::Max,
        AggFunc::First,
        AggFunc::Values,
        AggFunc::Stddev,
    ];
    prop_oneof![
        Just(AggFunc::Count(None)),
        Just(AggFunc::Rate),
        filter()
            .prop_filter("all is none", |filter| *filter != Filter::All)
            .prop_map(|filter| AggFunc::Count(Some(Box::new(filter)))),
        (field(), select(of_field.to_vec())).prop_map(|(field, func)| func(field)),
        (field(), select(&[0.0, 1.0, 50.0, 95.0, 99.0, 99.9, 0.001, 100.0][..]))
            .prop_map(|(field, q)| AggFunc::Percentile(field, q)),
    ]
    .boxed()
}

/// Aggregates with names that no group has.
fn aggs() -> Gen<Vec<Agg>> {
    vec(agg_func(), 1..4)
        .prop_map(|funcs| {
            let named =
                |(at, func)| Agg { func, alias: Some(format!("column `{at}").replace('`', "#")), span: NOWHERE };
            funcs.into_iter().enumerate().map(named).collect()
        })
        .boxed()
}

fn group() -> Gen<Group> {
    let width = select(&["100", "0.5", "5m", "4KiB"][..]);
    prop_oneof![
        3 => field().prop_map(Group::Field),
        1 => (field(), width).prop_map(|(field, width)| Group::Bin { field, width: Literal { text: width.to_owned(), quoted: false, span: NOWHERE } }),
    ]
    .boxed()
}

/// Expressions of few parts: a text may hold only so many.
fn expr() -> Gen<Expr> {
    let number = select(&["0", "1.5", "250ms", "10MB", "true", ".5", "1h30m"][..]);
    let leaf = prop_oneof![
        number.prop_map(|text| Expr::Literal(Literal { text: text.to_owned(), quoted: false, span: NOWHERE })),
        any_text().prop_map(|text| Expr::Literal(Literal { text, quoted: true, span: NOWHERE })),
        field().prop_map(Expr::Field),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let two = || (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
        let ops = [ArithOp::Add, ArithOp::Sub, ArithOp::Mul, ArithOp::Div, ArithOp::Rem];
        let relations = [Relation::Equal, Relation::NotEqual, Relation::Order(CmpOp::Le), Relation::Order(CmpOp::Gt)];
        prop_oneof![
            inner.clone().prop_map(|inner| Expr::Negate(Box::new(inner))),
            inner.clone().prop_map(|inner| Expr::Not(Box::new(inner))),
            (select(ops.to_vec()), two()).prop_map(|(op, (a, b))| Expr::Arith(op, a, b)),
            (select(relations.to_vec()), two()).prop_map(|(relation, (a, b))| Expr::Compare(relation, a, b)),
            two().prop_map(|(a, b)| Expr::And(a, b)),
            two().prop_map(|(a, b)| Expr::Or(a, b)),
            vec(inner.clone(), 1..4).prop_map(|args| Expr::Call(ExprFunc::Concat, args)),
            vec(inner, 3..4).prop_map(|args| Expr::Call(ExprFunc::If, args)),
        ]
    })
    .boxed()
}

/// Pipes that change rows, or look beyond them.
fn further_pipe() -> Gen<PipeKind> {
    let rows = 1..=ROWS_MAX;
    let fields = || vec(field(), 1..4);
    let from = || option::of(field());
    let extract = |extractor, from| PipeKind::Extract { extractor, from };
    let regexes = select(&["(?P<a>x+)", "took (?<ms>[0-9]+)ms \"(?P<b>.)"][..]);
    let patterns = select(&["took <ms:num>ms", "<a> \"<b:word>", "\\<<_> = <rest>"][..]);
    prop_oneof![
        vec((field(), field()), 1..3).prop_map(PipeKind::Rename),
        (rows.clone(), fields()).prop_map(|(rows, fields)| PipeKind::Dedup { rows, fields }),
        (regexes, from()).prop_map(move |(regex, from)| extract(Extractor::Regex(regex.to_owned()), from)),
        (patterns, from()).prop_map(move |(text, from)| extract(Extractor::Pattern(text.to_owned()), from)),
        from().prop_map(move |from| extract(Extractor::Json, from)),
        from().prop_map(move |from| extract(Extractor::Logfmt, from)),
        vec((field(), expr()), 1..3).prop_map(PipeKind::Eval),
        select(&[1.0, 0.1, 0.003][..]).prop_map(PipeKind::Sample),
        (option::of(1..i64::MAX), rows.clone()).prop_map(|(new_ns, limit)| PipeKind::Patterns { new_ns, limit }),
        rows.prop_map(PipeKind::Facets),
        (0..=CONTEXT_ROWS_MAX, 0..=CONTEXT_ROWS_MAX, vec(field(), 0..3))
            .prop_map(|(before, after, by)| PipeKind::Context { before, after, by }),
        vec(field(), 0..3).prop_map(PipeKind::Trace),
        (1..i64::MAX).prop_map(|shift_ns| PipeKind::Compare { shift_ns }),
        (any::<bool>(), fields(), filter()).prop_map(|(left, on, filter)| {
            let query = Query { filter, since: None, until: None, pipes: Vec::new() };
            PipeKind::Join { left, on, query: Box::new(query) }
        }),
    ]
    .boxed()
}

fn pipe() -> Gen<Pipe> {
    let rows = 1..=ROWS_MAX;
    let fields = || vec(field(), 1..4);
    let kind =
        prop_oneof![
            (aggs(), vec(group(), 0..3)).prop_map(|(aggs, by)| PipeKind::Stats { aggs, by }),
            (option::of(1..i64::MAX), aggs(), option::of(field()))
                .prop_map(|(width_ns, aggs, by)| PipeKind::Timechart { width_ns, aggs, by }),
            (rows.clone(), fields(), vec(field(), 0..3), any::<bool>())
                .prop_map(|(limit, fields, by, rare)| PipeKind::Top { limit, fields, by, rare }),
            vec((field(), any::<bool>()).prop_map(|(field, descending)| SortKey { field, descending }), 1..3)
                .prop_map(PipeKind::Sort),
            rows.clone().prop_map(PipeKind::Head),
            rows.prop_map(PipeKind::Tail),
            (fields(), any::<bool>()).prop_map(|(fields, exclude)| PipeKind::Fields { fields, exclude }),
            filter().prop_map(PipeKind::Where),
            further_pipe(),
        ];
    kind.prop_map(|kind| Pipe { kind, span: NOWHERE }).boxed()
}

fn query() -> Gen<Query> {
    (filter(), option::of(time()), option::of(time()), vec(pipe(), 0..4))
        .prop_map(|(filter, since, until, pipes)| Query { filter, since, until, pipes })
        .boxed()
}

/// Parts of the grammar that mean the same however they are spaced and written.
fn spelled_term() -> Gen<String> {
    let word = "[a-z]{1,6}x";
    prop_oneof![
        word.prop_map(|word| word),
        "\"[a-z ]{1,9}\"",
        "[0-9]{1,2}:[0-9]{2}:[0-9]{2}",
        "/[a-z/]{1,9}",
        "[a-z]{1,4}x::[a-z]{1,4}",
        "[a-z]{1,4}\\*",
        (
            word,
            select(&[":", "=", "!=", ">", ">=", "<", "<=", ":>=", ":<", ":=", " : ", " = ", " >= "][..]),
            "[a-z0-9]{1,5}z"
        )
            .prop_map(|(field, op, value)| format!("{field}{op}{value}")),
        (
            word,
            "[0-9]{1,3}",
            "[1-9][0-9]{3}",
            select(&["[", "{"][..]),
            select(&["]", "}"][..]),
            select(&["TO", "to"][..])
        )
            .prop_map(|(field, low, high, open, close, to)| format!("{field}:{open}{low} {to} {high}{close}")),
        (word, vec("[a-z]{1,4}x", 1..4), select(&[", ", ",", " OR ", " or ", "||"][..]))
            .prop_map(|(field, values, between)| format!("{field}:({})", values.join(between))),
        (word, select(&["=~", "!~", " =~ "][..])).prop_map(|(field, op)| format!("{field}{op}'a+'")),
    ]
    .boxed()
}

fn spelled_filter() -> Gen<String> {
    spelled_term()
        .prop_recursive(4, 20, 3, |inner| {
            let and = select(&[" ", " AND ", " and ", "\n", " && ", " # why\n "][..]);
            let or = select(&[" OR ", " or ", " || ", "||"][..]);
            let not = select(&["-", "!", "NOT ", "not ", "NOT\t"][..]);
            prop_oneof![
                (vec(inner.clone(), 2..4), and).prop_map(|(terms, and)| format!("({})", terms.join(and))),
                (vec(inner.clone(), 2..4), or).prop_map(|(terms, or)| format!("( {} )", terms.join(or))),
                (not, inner).prop_map(|(not, inner)| format!("{not}{inner}")),
            ]
        })
        .boxed()
}

fn spelled_pipe() -> Gen<String> {
    prop_oneof![
        select(
            &[
                "stats count",
                "stats count()as n , dc( user_id ) by service",
                "COUNT by a,b",
                "timechart 5m count BY level",
                "timechart rate()",
                "top x",
                "top 5 x,y by z",
                "rare x",
                "sort -x",
                "sort x DESC , y",
                "head",
                "limit 3",
                "tail 4",
                "fields a , b",
                "fields -a,b",
                "rename a as b , c AS d",
                "dedup a",
                "dedup 3 a, b",
                "parse 'took <ms:num>ms' from body",
                "rex \"(?P<a>x)\"",
                "json",
                "logfmt FROM body",
                "eval pct=100*errors/count, x = -(a+b)%2",
                "eval slow=if(ms>=250ms and not a=='b', \"yes\", 'no')",
                "eval x = p95(ms) + min(ms) - max(a, b)",
                "sample 10%",
                "patterns",
                "patterns new 7d 5",
                "facets 3",
                "context",
                "context 5",
                "context before 1 after 2 by a, b",
                "trace",
                "trace BY x",
                "compare 1d",
                "join on a, b (x:y | fields a)",
                "join LEFT on a ( * )",
            ][..]
        )
        .prop_map(str::to_owned),
        spelled_filter().prop_map(|filter| format!("where {filter}")),
        spelled_filter().prop_map(|filter| format!("stats count(({filter})) as n by bin(x,5)")),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_printed_tree_is_read_as_the_same_tree(query in query()) {
        let printed = query.to_string();
        // A random tree may hold more than a text may; what is refused for its size says so.
        match parse(&printed) {
            Ok(read) => {
                prop_assert_eq!(&read, &query, "{}", printed);
                prop_assert_eq!(read.to_string(), printed);
            }
            Err(errors) => {
                let size = errors.iter().all(|error| error.message.contains(" than ") || error.message.starts_with("two columns"));
                prop_assert!(size, "{}: {:?}", printed, errors);
            }
        }
    }

    #[test]
    fn every_spelling_of_the_grammar_is_read(filter in spelled_filter(), pipes in vec(spelled_pipe(), 0..4), tight in any::<bool>()) {
        let bar = if tight { "|" } else { " |\n " };
        let text = format!("{filter}{}", pipes.iter().map(|pipe| format!("{bar}{pipe}")).collect::<String>());
        prop_assert!(parse(&text).is_ok(), "{}: {:?}", text, parse(&text));
        holds_for_any_text(&text)?;
    }

    /// One character lost, doubled or changed in a right query: the commonest mistakes, and the best way into odd corners.
    #[test]
    fn a_damaged_query_is_read_or_refused(query in query(), at: prop::sample::Index, with in select(&["", "(", "\"", "|", "-", "`", " ", "\\", "=", ":"][..])) {
        let printed = query.to_string();
        let (start, c) = *at.get(&printed.char_indices().collect::<Vec<_>>());
        let damaged = format!("{}{with}{}", &printed[..start], &printed[start + c.len_utf8()..]);
        holds_for_any_text(&damaged)?;
    }
}
