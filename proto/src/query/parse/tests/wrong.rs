//! Queries that are wrong: what is said, where, and how to mend it.

use super::*;

#[test]
fn mistakes_are_named_where_they_are() {
    let texts = [
        // Logic
        "a AND",
        "OR b",
        "a OR OR b",
        "a OR",
        "NOT",
        "a -",
        "()",
        "(a",
        "a)",
        "a AND AND b",
        "hello!",
        "a && && b",
        // Words
        "\"abc",
        "don't",
        "[error]",
        "a, b",
        "a == b",
        "foo\\",
        "“curly”",
        "f:“curly”",
        "größe:5",
        "foo*:bar",
        "\"status\":500",
        "\"\"",
        "`abc",
        "`abc` def",
        "``:x",
        "message~\"x\"",
        "~abc",
        "x = ",
        "-> b",
        "a | || b",
        // Values
        "service:",
        "service: AND x",
        "error: | count",
        "path=/health*",
        "status>=5xx",
        "client_ip:10.0.0.0/33",
        "client_ip:::/129",
        "level>=errro",
        "level:banana",
        "f:~\"x\"",
        "f:~x",
        "f:!x",
        "status:[1 TO",
        "status:[1 2]",
        "status:[1 TO 2",
        "status:[9 TO 1]",
        "f:(a b)",
        "f:(a AND b)",
        "f:(a,",
        "f:(a",
        "field in (a, b)",
        // Regexes
        "f=~abc",
        "f=~\"a(b\"",
        "~\"[z-a]\"",
        "~'(?=x)'",
        "~'\\1'",
        "~\"\\\"(\"",
        "größe ~\"ab(c\"",
        "~'\\w{1000}{100}'",
        // Times
        "since:yesterday",
        "since:15",
        "since:1h since:2h",
        "(a since:1h)",
        "NOT since:1h",
        "since:1h OR a",
        "a OR since:1h",
        "| where since:1h",
        // Subqueries
        "t:in(a)",
        "t:in(a | stats count by t)",
        "t:in(a | fields t",
        "t:in(a | bogus)",
        // Pipes
        "a |",
        "a | | b",
        "| bogus",
        "| sats count",
        "| order x",
        "| rex \"x\"",
        "| rex x",
        "| dedup",
        "| parse x",
        "| parse \"x\"",
        "| parse \"<a><b>\"",
        "| parse \"<a>\" from",
        "| rename a",
        "| rename a as time",
        "| eval",
        "| eval a",
        "| eval a =",
        "| eval a = 1 +",
        "| eval a = 12q",
        "| eval a = rond(x)",
        "| eval a = if(x, 1)",
        "| eval a = (1",
        "| eval time = 1",
        "| sample",
        "| sample 0",
        "| sample 200%",
        "| patterns new x",
        "| context 5000",
        "| context before",
        "| compare",
        "| compare -1d",
        "| join a (b)",
        "| join on a",
        "| join on a b",
        "| join on a (b",
        "| explain | head",
        "| extract x",
        "| head 0",
        "| head x",
        "| head 10m",
        "| stats",
        "| stats p95",
        "| stats p95()",
        "| stats pct(x)",
        "| stats pct(x, 101)",
        "| stats mean(x)",
        "| stats averge(x)",
        "| stats blub(x)",
        "| stats count by",
        "| stats count by a b",
        "| stats count(user_id)",
        "| stats count(a:b), count(a:b) by c",
        "| stats count as x by x",
        "| stats count by bin(x)",
        "| stats count by bin(x, 0)",
        "| stats count by bin(x, y)",
        "| stats count as",
        "| stats avg(x",
        "| timechart span=1m count",
        "| timechart 1x count",
        "| timechart 0s count",
        "| timechart count by a, b",
        "| timechart count as time",
        "| top",
        "| top by x",
        "| top 10",
        "| top limit=10 x",
        "| sort",
        "| sort -",
        "| sort -a desc",
        "| sort a,",
        "| fields -a, -b",
        "| fields",
        "| where",
        "| head 5 || tail 5",
        "| count by x | top 5 y)",
    ];
    let mut out = String::new();
    for text in texts {
        let errors = parse(text).expect_err(text);
        out.push_str(&format!("{text}\n"));
        for error in errors {
            let hint = error.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            out.push_str(&format!("    {}+{}: {}{hint}\n", error.column(text), error.len_chars(text), error.message));
        }
    }
    expect![[r#"
        a AND
            3+3: 'AND' needs a term on its right (to search for the text, put it in quotes: "AND")
        OR b
            1+2: 'OR' needs a term on its left (to search for the text, put it in quotes: "OR")
        a OR OR b
            3+2: 'OR' needs a term on its right (to search for the text, put it in quotes: "OR")
        a OR
            3+2: 'OR' needs a term on its right (to search for the text, put it in quotes: "OR")
        NOT
            1+3: 'NOT' needs a term on its right (to search for the text, put it in quotes: "NOT")
        a -
            3+1: '-' needs a term on its right (to search for the text, put it in quotes: "-")
        ()
            1+2: nothing between the parentheses
        (a
            1+1: unclosed parenthesis (add ')')
        a)
            2+1: ')' without '('
        a AND AND b
            7+3: 'AND' needs a term on its left (to search for the text, put it in quotes: "AND")
        hello!
            6+1: '!' needs a term on its right (to search for the text, put it in quotes: "!")
        a && && b
            6+2: '&&' needs a term on its left (to search for the text, put it in quotes: "&&")
        "abc
            1+4: unclosed quote (add " at the end)
        don't
            4+2: unclosed quote (put a word with an apostrophe in double quotes: "don't")
        [error]
            1+1: unexpected '[' (to search for it, put it in quotes)
        a, b
            2+1: unexpected ',' (a list of values is written field:(a, b))
        a == b
            3+2: '==' is not an operator (equality is written '=')
        foo\
            4+1: unexpected '\' (a backslash takes the character after it literally)
        “curly”
            1+7: curly quotes are ordinary characters (use straight quotes: "…")
        f:“curly”
            3+7: curly quotes are ordinary characters (use straight quotes: "…")
        größe:5
            6+1: ':' must stand after a plain field name (put a field name with special characters in backticks, or the text in quotes)
        foo*:bar
            5+1: ':' must stand after a plain field name (put a field name with special characters in backticks, or the text in quotes)
        "status":500
            1+8: a field name is written without quotes (field:value, or backticks around a name with special characters)
        ""
            1+2: an empty phrase finds nothing ('*' finds everything)
        `abc
            1+4: unclosed backtick (add '`')
        `abc` def
            1+5: field 'abc' needs a test (backticks hold the name of a field; to search for text use quotes)
        ``:x
            1+2: an empty field name
        message~"x"
            8+1: '~' must stand alone (a field matches a regex with field=~"…")
        ~abc
            2+1: a regex must be in quotes (~"time(d )?out")
        x = 
            5+0: 'x' needs a value before the end (x:value, or x:"…" for a value with special characters)
        -> b
            2+1: unexpected '>' (to search for it, put it in quotes)
        a | || b
            5+1: a pipe is missing after '|' (pipes are where, stats, count, timechart, top, rare, sort, head, limit, tail, fields, rename, dedup, parse, rex, json, logfmt, eval, sample, patterns, facets, context, trace, compare, join, explain)
        service:
            9+0: 'service' needs a value before the end (service:value, or service:"…" for a value with special characters)
        service: AND x
            10+3: 'service' needs a value before 'AND' (service:value, or service:"…" for a value with special characters)
        error: | count
            8+1: 'error' needs a value before '|' (error:value, or error:"…" for a value with special characters)
        path=/health*
            6+8: '=' compares exactly and knows no wildcards (path:/health* matches a pattern, path="/health*" the characters)
        status>=5xx
            9+3: '5xx' is a class, not a number (status:5xx, or compare with 500)
        client_ip:10.0.0.0/33
            11+11: a network of this kind has a prefix of 0 to 32
        client_ip:::/129
            11+6: a network of this kind has a prefix of 0 to 128
        level>=errro
            8+5: no such level 'errro' (did you mean 'error'?)
        level:banana
            7+6: no such level 'banana' (levels are trace, debug, info, warn, error, fatal)
        f:~"x"
            3+1: a regex has its own operator (f=~"…")
        f:~x
            3+2: a value that begins with '~' needs quotes (a regex is written f=~"…")
        f:!x
            3+1: 'f' needs a value before '!' (f:value, or f:"…" for a value with special characters)
        status:[1 TO
            13+0: 'status' needs a value before the end (status:value, or status:"…" for a value with special characters)
        status:[1 2]
            11+1: expected TO in a range ([a TO b] includes its ends, {a TO b} does not, * is open)
        status:[1 TO 2
            8+1: unclosed range ([a TO b] includes its ends, {a TO b} does not, * is open)
        status:[9 TO 1]
            8+8: the range is empty (9 is more than 1)
        f:(a b)
            6+1: expected ',', OR or ')' after a value (f:(a, b) is one of them; all of them is f:a f:b)
        f:(a AND b)
            6+1: expected ',', OR or ')' after a value (f:(a, b) is one of them; all of them is f:a f:b)
        f:(a,
            6+0: 'f' needs a value before the end (f:value, or f:"…" for a value with special characters)
        f:(a
            3+1: unclosed list of values (add ')')
        field in (a, b)
            12+1: unexpected ',' (a list of values is written field:(a, b))
        f=~abc
            4+1: a regex must be in quotes (f=~"time(d )?out")
        f=~"a(b"
            6+1: the regex is wrong: unclosed group (a backslash takes a special character literally)
        ~"[z-a]"
            4+3: the regex is wrong: invalid character class range, the start must be <= the end (a backslash takes a special character literally)
        ~'(?=x)'
            3+3: the regex is wrong: look-around, including look-ahead and look-behind, is not supported (regexes run in linear time, so these do not exist; combine two tests instead)
        ~'\1'
            3+2: the regex is wrong: backreferences are not supported (regexes run in linear time, so these do not exist; combine two tests instead)
        ~"\"("
            2+5: the regex is wrong: unclosed group (a backslash takes a special character literally)
        größe ~"ab(c"
            11+1: the regex is wrong: unclosed group (a backslash takes a special character literally)
        ~'\w{1000}{100}'
            2+15: the regex is larger than 1048576 bytes when compiled (make its repetitions and classes smaller)
        since:yesterday
            7+9: 'yesterday' is not a time (15m, now-1h/d, 2026-11-01, "2026-11-01T10:00Z" or an epoch)
        since:15
            7+2: '15' has no unit (since:15m is that many minutes ago)
        since:1h since:2h
            10+5: 'since' stands there twice
        (a since:1h)
            4+5: 'since' bounds the whole query (put it outside of parentheses, negations and 'where')
        NOT since:1h
            5+5: 'since' bounds the whole query (put it outside of parentheses, negations and 'where')
        since:1h OR a
            10+2: 'OR' needs a term on its left (to search for the text, put it in quotes: "OR")
        a OR since:1h
            3+2: 'OR' needs a term on its right (to search for the text, put it in quotes: "OR")
        | where since:1h
            9+5: 'since' bounds the whole query (put it outside of parentheses, negations and 'where')
        t:in(a)
            3+5: a query in 'in(…)' must give one column (end it with a pipe like: | fields trace_id)
        t:in(a | stats count by t)
            3+24: a query in 'in(…)' must give one column (end it with a pipe like: | fields trace_id)
        t:in(a | fields t
            3+3: unclosed parenthesis (add ')')
        t:in(a | bogus)
            10+5: unknown pipe 'bogus' (pipes are where, stats, count, timechart, top, rare, sort, head, limit, tail, fields, rename, dedup, parse, rex, json, logfmt, eval, sample, patterns, facets, context, trace, compare, join, explain)
        a |
            4+0: a pipe is missing after '|' (pipes are where, stats, count, timechart, top, rare, sort, head, limit, tail, fields, rename, dedup, parse, rex, json, logfmt, eval, sample, patterns, facets, context, trace, compare, join, explain)
        a | | b
            5+1: a pipe is missing after '|' (pipes are where, stats, count, timechart, top, rare, sort, head, limit, tail, fields, rename, dedup, parse, rex, json, logfmt, eval, sample, patterns, facets, context, trace, compare, join, explain)
            7+1: unknown pipe 'b' (pipes are where, stats, count, timechart, top, rare, sort, head, limit, tail, fields, rename, dedup, parse, rex, json, logfmt, eval, sample, patterns, facets, context, trace, compare, join, explain)
        | bogus
            3+5: unknown pipe 'bogus' (pipes are where, stats, count, timechart, top, rare, sort, head, limit, tail, fields, rename, dedup, parse, rex, json, logfmt, eval, sample, patterns, facets, context, trace, compare, join, explain)
        | sats count
            3+4: unknown pipe 'sats' (did you mean 'stats'?)
        | order x
            3+5: unknown pipe 'order' (did you mean 'sort'?)
        | rex "x"
            7+3: the regex names no group ((?P<name>…) becomes the field 'name')
        | rex x
            7+1: 'rex' needs a regex in quotes (rex "took (?P<ms>[0-9]+)ms")
        | dedup
            3+5: 'dedup' needs the name of a field (a name with special characters stands in backticks)
        | parse x
            9+1: 'parse' needs a pattern in quotes (parse "took <ms:num>ms")
        | parse "x"
            9+3: the pattern names no field (gaps are written <name>, <name:num>, <name:word> and <_>; a literal '<' is \<)
        | parse "<a><b>"
            9+8: nothing stands between '<b>' and the gap before it (text between two gaps says where one ends)
        | parse "<a>" from
            15+4: 'from' needs the name of a field (a name with special characters stands in backticks)
        | rename a
            11+0: expected 'as' and the new name (rename a as b)
        | rename a as time
            15+4: 'time' of a row cannot be changed (give the new field another name)
        | eval
            3+4: 'eval' needs the name of a field (a name with special characters stands in backticks)
        | eval a
            9+0: expected '=' behind 'a' (eval pct = 100 * errors / count)
        | eval a =
            11+0: an expression is missing here (eval pct = 100 * errors / count)
        | eval a = 1 +
            15+0: an expression is missing here (eval pct = 100 * errors / count)
        | eval a = 12q
            12+3: '12q' is not a number (100, 0.5, 250ms, 1.5s, 10MB; a text stands in quotes)
        | eval a = rond(x)
            12+4: unknown function 'rond' (did you mean 'round'?)
        | eval a = if(x, 1)
            12+2: 'if' takes 3 arguments, not 2
        | eval a = (1
            12+1: unclosed parenthesis (add ')')
        | eval time = 1
            8+4: 'time' of a row cannot be changed (give the new field another name)
        | sample
            3+6: 'sample' needs a share of the rows (sample 10% or sample 0.1)
        | sample 0
            10+1: a share lies above 0 and is at most 1, or 100% (sample 10%)
        | sample 200%
            10+3: a share lies above 0 and is at most 1, or 100% (sample 10%)
        | patterns new x
            16+1: 'new' needs a time span (patterns new 7d)
        | context 5000
            11+4: expected a number from 0 to 1000
        | context before
            17+0: 'before' needs a number (context before 5 after 20)
        | compare
            10+0: 'compare' needs a time span (compare 1d)
        | compare -1d
            11+3: 'compare' needs a time span (compare 1d)
        | join a (b)
            3+4: 'join' needs 'on' and the fields that both sides share (join left on user_id (service:auth | fields user_id, plan))
        | join on a
            12+0: expected a query in parentheses (join left on user_id (service:auth | fields user_id, plan))
        | join on a b
            13+1: expected a query in parentheses (join left on user_id (service:auth | fields user_id, plan))
        | join on a (b
            13+1: unclosed parenthesis (add ')')
        | explain | head
            3+7: 'explain' is the last pipe (it shows the plan of all before it)
        | extract x
            3+7: unknown pipe 'extract' (did you mean 'parse'?)
        | head 0
            8+1: expected a number from 1 to 1000000
        | head x
            8+1: unexpected 'x' ('head' is written: head 10)
        | head 10m
            8+3: unexpected '10m' ('head' is written: head 10)
        | stats
            8+0: expected a function (functions are count, dc, sum, avg, min, max, p50, p90, p95, p99, pct, first, last, values, rate, stddev)
        | stats p95
            9+3: 'p95' needs (field) (p95(duration_ms))
        | stats p95()
            9+3: 'p95' needs (field) (p95(duration_ms))
        | stats pct(x)
            9+3: 'pct' needs (field, percent) (pct(duration_ms, 99.9))
        | stats pct(x, 101)
            16+3: a percentile lies between 0 and 100
        | stats mean(x)
            9+4: unknown function 'mean' (did you mean 'avg'?)
        | stats averge(x)
            9+6: unknown function 'averge' (functions are count, dc, sum, avg, min, max, p50, p90, p95, p99, pct, first, last, values, rate, stddev)
        | stats blub(x)
            9+4: unknown function 'blub' (functions are count, dc, sum, avg, min, max, p50, p90, p95, p99, pct, first, last, values, rate, stddev)
        | stats count by
            15+2: 'by' needs the name of a field (a name with special characters stands in backticks)
        | stats count by a b
            20+1: unexpected 'b' ('stats' is written: stats count, p95(duration_ms) as slow by service)
        | stats count(user_id)
            14+9: count takes a filter, not a field (count(user_id:*) counts where the field is, count("user_id") where the text is)
        | stats count(a:b), count(a:b) by c
            21+10: two columns are named 'count(a:b)' (give one another name: … as name)
        | stats count as x by x
            9+5: two columns are named 'x' (give one another name: … as name)
        | stats count by bin(x)
            18+3: 'bin' needs (field, width) (bin(duration_ms, 100) or bin(time, 5m))
        | stats count by bin(x, 0)
            25+1: the width of a bin is a number above zero (100, 0.5, 5m or 4KiB)
        | stats count by bin(x, y)
            25+1: the width of a bin is a number above zero (100, 0.5, 5m or 4KiB)
        | stats count as
            15+2: 'as' needs the name of a field (a name with special characters stands in backticks)
        | stats avg(x
            12+1: unclosed parenthesis (add ')')
        | timechart span=1m count
            13+5: the width stands alone (timechart 5m count)
        | timechart 1x count
            13+2: '1x' is not a width (30s, 5m, 1h or 1d)
        | timechart 0s count
            13+2: '0s' is not a width (30s, 5m, 1h or 1d)
        | timechart count by a, b
            24+1: 'timechart' splits by one field (stats takes several)
        | timechart count as time
            13+5: two columns are named 'time' (give one another name: … as name)
        | top
            3+3: 'top' needs the name of a field (a name with special characters stands in backticks)
        | top by x
            3+3: 'top' needs the name of a field (a name with special characters stands in backticks)
        | top 10
            3+3: 'top' needs the name of a field (a name with special characters stands in backticks)
        | top limit=10 x
            12+1: unexpected '=' ('top' is written: top 10 path, status by service)
        | sort
            3+4: 'sort' needs the name of a field (a name with special characters stands in backticks)
        | sort -
            8+1: '-' needs the name of a field (a name with special characters stands in backticks)
        | sort -a desc
            11+4: '-' and a direction together (either -count or count desc)
        | sort a,
            9+1: ',' needs the name of a field (a name with special characters stands in backticks)
        | fields -a, -b
            14+1: one '-' at the beginning is for all fields (fields -a, b)
        | fields
            3+6: 'fields' needs the name of a field (a name with special characters stands in backticks)
        | where
            3+5: 'where' needs a filter (where count>10)
        | head 5 || tail 5
            10+1: unexpected '|' ('||' joins two terms of a filter, '|' begins a pipe)
        | count by x | top 5 y)
            23+1: ')' without '('
    "#]].assert_eq(&out);
}

#[test]
fn every_mistake_is_reported_once() {
    let text = "a AND | stats p95 | where (x | bogus | head 5";
    let errors = parse(text).expect_err(text);
    let lines: Vec<String> = errors.iter().map(|error| format!("{}: {error}\n", error.column(text))).collect();
    expect![[r#"
        3: 'AND' needs a term on its right (to search for the text, put it in quotes: "AND")
        15: 'p95' needs (field) (p95(duration_ms))
        27: unclosed parenthesis (add ')')
    "#]]
    .assert_eq(&lines.concat());
}

#[test]
fn an_error_becomes_the_answer_of_the_api() {
    let text = "größe | bogus";
    let detail = parse(text).expect_err(text)[0].detail(text);
    expect![[r#"{"code":"parse_error","message":"unknown pipe 'bogus'","pos":9,"len":5,"hint":"pipes are where, stats, count, timechart, top, rare, sort, head, limit, tail, fields, rename, dedup, parse, rex, json, logfmt, eval, sample, patterns, facets, context, trace, compare, join, explain"}"#]].assert_eq(&serde_json::to_string(&detail).expect("an error is JSON"));
}
