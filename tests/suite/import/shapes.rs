//! Files as they are found, with the headers and quirks of the real ones: each is imported right, or refused with a command
//! that imports it right.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::process::{Process, Program, Run};
use crate::support::spawn;

/// A rating of the little history that every file tells: post, user, score, seconds.
type Rating = (u32, u32, u32, i64);

const START: i64 = 1_500_000_000;
const HOUR: i64 = 3_600;

/// Ratings of three posts by seven users, an hour apart, with scores from 1 to 5.
fn history() -> Vec<Rating> {
    (0..21_u32).map(|i| (1 + i % 3, 10 + i / 3, 1 + (i * 7) % 5, START + i64::from(i) * 26 * HOUR)).collect()
}

/// A file: its name, its bytes, what a refusal must say (nothing: it is imported as it is), and the histogram of its first
/// post, in the end.
struct Shape {
    name: &'static str,
    bytes: Vec<u8>,
    refusals: &'static [&'static str],
    post: &'static str,
    becomes: fn(u32) -> u32,
}

fn told(begin: &str, row: impl Fn(&Rating, usize) -> String) -> Vec<u8> {
    let mut text = begin.to_owned();
    for (i, rating) in history().iter().enumerate() {
        let _ = writeln!(text, "{}", row(rating, i));
    }
    text.into_bytes()
}

fn at(seconds: i64, format: &str) -> String {
    chrono::DateTime::from_timestamp(seconds, 0).expect("a time").format(format).to_string()
}

const SAME: fn(u32) -> u32 = |score| score;
/// 1..10, linear, half up, of a score that was doubled.
const TEN: fn(u32) -> u32 = |score| [0, 1, 2, 3, 4, 5][score as usize];
const THUMBS: fn(u32) -> u32 = |score| if score > 2 { 5 } else { 0 };
/// 0.5..5 of a score less a half.
const HALVES: fn(u32) -> u32 = |score| [0, 0, 1, 2, 3, 4][score as usize];

fn shapes() -> Vec<Shape> {
    let yelp = |(post, user, score, time): &Rating, i: usize| {
        let date = at(*time, "%Y-%m-%d %H:%M:%S");
        json!({"review_id": format!("r{i}"), "user_id": format!("u{user}"), "business_id": format!("p{post}"),
               "stars": f64::from(*score), "useful": 0, "text": "two\nlines, \"quoted\"", "date": date})
        .to_string()
    };
    vec![
        Shape {
            name: "u.data",
            bytes: told("", |(p, u, s, t), _| format!("{u}\t{p}\t{s}\t{t}")),
            refusals: &["is a rating", "--columns post=2,user=1,score=3,time=4 --no-header"],
            post: "1",
            becomes: SAME,
        },
        Shape {
            name: "ratings.dat",
            bytes: told("", |(p, u, s, t), _| format!("{u}::{p}::{s}::{t}")),
            refusals: &[],
            post: "1",
            becomes: SAME,
        },
        Shape {
            name: "ratings-32m.csv",
            bytes: told("userId,movieId,rating,timestamp\r\n", |(p, u, s, t), _| {
                format!("{u},{p},{s}.0,{t}\r")
            }),
            refusals: &[],
            post: "1",
            becomes: SAME,
        },
        Shape {
            name: "ratings_Books.csv",
            bytes: told("", |(p, u, s, t), _| format!("A{u}XQ,000{p},{s}.0,{t}")),
            refusals: &["is a rating", "--columns post=2,user=1"],
            post: "0001",
            becomes: SAME,
        },
        Shape {
            name: "reviews_Books_5.json",
            bytes: told("", |(p, u, s, t), _| {
                json!({"reviewerID": format!("A{u}"), "asin": format!("B{p}"), "reviewerName": "J. \"D\" M",
                       "helpful": [0, 1], "reviewText": "long ".repeat(2_000), "overall": f64::from(*s),
                       "unixReviewTime": t, "reviewTime": "07 14, 2017"})
                .to_string()
            }),
            refusals: &[],
            post: "B1",
            becomes: SAME,
        },
        Shape {
            name: "yelp.json",
            bytes: told("", yelp),
            refusals: &["Yelp", "no offset", "--time-format '%Y-%m-%d %H:%M:%S'"],
            post: "p1",
            becomes: SAME,
        },
        Shape {
            name: "goodreads.json",
            bytes: told("", |(p, u, s, t), i| {
                // A book on a shelf, of a user who rates nothing.
                let (user, score) = if i == 3 { ("shelf".into(), 0) } else { (format!("u{u}"), *s) };
                let user = if i == 3 { user } else { format!("{user}x") };
                json!({"user_id": user, "book_id": p, "review_id": i, "rating": score, "review_text": "",
                       "date_added": at(*t, "%a %b %d %H:%M:%S +0000 %Y")})
                .to_string()
            }),
            refusals: &["Goodreads", "shelved", "--no-rating 0"],
            post: "2",
            becomes: SAME,
        },
        Shape {
            name: "recommendations.csv",
            bytes: told(
                "app_id,helpful,funny,date,is_recommended,hours,user_id,review_id\n",
                |(p, u, s, t), i| format!("{p},0,0,{},{},36.3,{u},{i}", at(*t, "%Y-%m-%d"), *s > 2),
            ),
            refusals: &["Steam", "thumbs", "--scale 0..1", "--time-format %Y-%m-%d"],
            post: "1",
            becomes: THUMBS,
        },
        Shape {
            name: "letterboxd.csv",
            bytes: told("Date,Name,Year,Letterboxd URI,Rating\n", |(_, u, s, t), i| {
                let day = at(*t, "%Y-%m-%d");
                format!(
                    "{day},\"Film, the {u}\",2001,https://boxd.it/{},{}",
                    if i < 7 { "a" } else { "b" },
                    f64::from(*s) - 0.5
                )
            }),
            refusals: &["Letterboxd", "half stars", "--scale 0.5..5", "--user me --escape-ids"],
            post: "https:=2F=2Fboxd.it=2Fa",
            becomes: HALVES,
        },
        Shape {
            name: "BX-Book-Ratings.csv",
            bytes: [
                &b"\"User-ID\";\"ISBN\";\"Book-Rating\"\r\n\"7\";\"1\";\"0\"\r\n"[..],
                &told("", |(p, u, s, _), _| format!("\"{u}\";\"{p}\";\"{}\"\r", 2 * s)),
                // Latin 1, in an id.
                b"\"8\";\"03\xe9\";\"5\"\r\n",
            ]
            .concat(),
            refusals: &["Book-Crossing", "not rated", "it has no times", "--scale 1..10 --no-rating 0 --at "],
            post: "1",
            becomes: TEN,
        },
        Shape {
            name: "wp_ratings.csv",
            bytes: told(
                "rating_id,rating_postid,rating_posttitle,rating_rating,rating_timestamp,rating_ip,rating_host,rating_username,rating_userid\n",
                |(p, u, s, t), i| format!("{i},{p},\"A post, by hand\",{s},{t},10.0.0.{u},host,Guest,{u}"),
            ),
            refusals: &[
                "WP-PostRatings",
                "guests",
                "--columns user=rating_userid",
                "--columns user=rating_ip",
            ],
            post: "1",
            becomes: SAME,
        },
        Shape {
            name: "star_ratings_userrating.csv",
            bytes: told("id,created,modified,ip,score,rating_id,user_id\n", |(p, u, s, t), i| {
                let when = at(*t, "%Y-%m-%d %H:%M:%S.5+00");
                format!("{i},{when},{when},10.0.0.1,{s},{p},{u}")
            }),
            refusals: &[],
            post: "1",
            becomes: SAME,
        },
    ]
}

fn run(dir: &std::path::Path, args: &[&str]) -> Run {
    Process::spawn(Program::Damper, args, &[], dir, b"").finish()
}

#[test]
fn ten_files_of_other_programs_come_in_right_or_are_refused_with_the_command() {
    for shape in shapes() {
        let dir = spawn::temp_dir("shape-");
        std::fs::write(dir.path().join(shape.name), &shape.bytes).expect("a file is written");
        let latin = u64::from(shape.name.starts_with("BX"));
        let first = run(dir.path(), &["import", shape.name]);
        let said = if shape.refusals.is_empty() {
            first.expect(0).out
        } else {
            let refusal = first.expect(1).err;
            for part in shape.refusals {
                assert!(refusal.contains(part), "{}: {part} in\n{refusal}", shape.name);
            }
            assert!(!dir.path().join("damper.db").exists(), "{}: nothing is left behind", shape.name);
            let command = refusal.lines().find_map(|line| line.strip_prefix("  damper ")).expect("a command");
            let args = words(command);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            run(dir.path(), &args).expect(latin as i32).out
        };
        assert!(said.contains("imported "), "{}: {said}", shape.name);
        run(dir.path(), &["flush"]).expect(0);
        let shown = run(dir.path(), &["show", shape.post, "--json"]).expect(0).json();
        let mut expected = [0; 6];
        let is_letterboxd = shape.name == "letterboxd.csv";
        for (i, (post, _, score, _)) in history().into_iter().enumerate() {
            let is_of_post = if is_letterboxd { i == 6 } else { shape.post.ends_with(&post.to_string()) };
            if is_of_post {
                expected[(shape.becomes)(score) as usize] += 1;
            }
        }
        assert_eq!(shown["histogram"], json!(expected), "{}: {said}", shape.name);
        let is_timed = latin == 0 && !is_letterboxd;
        if is_timed {
            let look = run(dir.path(), &["import", "--look", shape.name, "--json"]);
            assert_eq!(look.code == 0, shape.refusals.is_empty(), "{}: {}", shape.name, look.err);
        }
    }
}

/// A command line's words, as a shell takes them apart.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words
}

#[test]
fn columns_scales_units_and_pointers_are_stated() {
    let dir = spawn::temp_dir("stated-");
    let packed = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).expect("a file is written");
        spawn::run(std::process::Command::new("zstd").args(["-q", "--rm", name]).current_dir(dir.path()));
    };
    packed("a.txt", "7|x|9.5|ann|1500000000000\n8|x|1|bob|1500000000000\n");
    let nested = r#"{"product":{"asin":"x"},"who":{"id":7},"stars":[4],"score":80,"seen":"14.07.2017"}"#;
    std::fs::write(dir.path().join("b.json"), nested).expect("a file is written");
    std::fs::write(
        dir.path().join("c.csv"),
        "who;mark;when\ncid;-1;1500000000000000\ndan;1;1500000000000000\n",
    )
    .expect("a file is written");
    let imported: [&[&str]; 3] = [
        &[
            "--columns",
            "post=2,user=4,score=3,time=5",
            "--delimiter",
            "|",
            "--no-header",
            "--scale",
            "0.5..10",
            "--time-unit",
            "ms",
            "a.txt.zst",
        ],
        &[
            "--columns",
            "post=/product/asin,user=/who/id,score=/score,time=seen",
            "--scale",
            "0..100",
            "--time-format",
            "%d.%m.%Y",
            "b.json",
        ],
        &[
            "--post",
            "x",
            "--columns",
            "user=who,score=mark,time=when",
            "--scale",
            "-1..1",
            "--time-unit",
            "us",
            "c.csv",
        ],
    ];
    let mut rounded = Vec::new();
    for args in imported {
        let done = run(dir.path(), &[&["import", "--json"], args].concat()).expect(0).json();
        rounded.push((done["imported"].clone(), done["rounded"].clone(), done["scale"].clone()));
    }
    assert_eq!(rounded[0].0, json!(2), "{rounded:?}");
    assert_eq!(rounded[0].1, json!(2));
    assert!(rounded[1].2.as_str().is_some_and(|said| said.starts_with("0..100 onto 0..5, linear, half up")));
    run(dir.path(), &["flush"]).expect(0);
    let shown = run(dir.path(), &["show", "x", "--json"]).expect(0).json();
    // 9.5 is 4.74, 1 is .26, 80 is 4, and the thumbs.
    assert_eq!(shown["histogram"], json!([2, 0, 0, 0, 1, 2]), "{shown}");
    std::fs::write(dir.path().join("d.csv"), "movie,user,score,time\na,b,1,1500000000\n").expect("a file");
    let fields = r#"{"product":{"id":"p"},"who":{"id":"u"},"review":{"stars":4},"ts":1500000000}"#;
    std::fs::write(dir.path().join("n.json"), fields).expect("a file");
    let fields = r#"{"movie":"a","user":"b","score":1,"time":1500000000}"#;
    std::fs::write(dir.path().join("d.json"), fields).expect("a file");
    for (args, why) in [
        (&["--columns", "post=9", "c.csv"][..], "there is no column 9"),
        (&["--columns", "post=nothing", "c.csv"], "no column is called"),
        (&["--columns", "post=/a", "c.csv"], "JSON pointer"),
        (&["--columns", "post=who,user=who,score=mark,time=when", "c.csv"], "the same column"),
        (&["--columns", "post=who", "--post", "x", "c.csv"], "leave one out"),
        (&["--post", "x", "--columns", "user=who,score=mark,time=when", "c.csv"], "--scale=-1..1"),
        (&["--columns", "post=1", "b.json"], "has no column 1"),
        (&["--post", "x", "d.csv"], "leave the option out"),
        (&["n.json"], "--columns post=/product/id,user=/who/id,score=/review/stars,time=ts n.json"),
        (&["--user", "x", "d.json"], "leave the option out"),
    ] {
        let refused = run(dir.path(), &[&["import"], args].concat()).expect(1);
        assert!(refused.err.contains(why), "{args:?}: {}", refused.err);
    }
    for wrong in [["--scale", "10"], ["--columns", "what=1"], ["--time-unit", "h"], ["--time-format", "date"]]
    {
        let usage = run(dir.path(), &["import", wrong[0], wrong[1], "c.csv"]);
        assert_eq!(usage.code, 2, "{wrong:?}: {}", usage.err);
    }
}

#[test]
fn a_look_says_how_a_file_would_be_read_and_leaves_nothing() {
    let dir = spawn::temp_dir("look-");
    let mut text = "movieId,userId,rating,timestamp,tag\n".to_owned();
    for i in 0..100 {
        let _ = writeln!(
            text,
            "{},{},{},{},x",
            i % 4,
            if i % 2 == 0 { 0 } else { i },
            1 + i % 5,
            START - 86_400 * i
        );
    }
    std::fs::write(dir.path().join("r.csv"), text).expect("a file is written");
    let said = run(dir.path(), &["import", "--look", "r.csv"]).expect(0).out;
    for part in [
        "MovieLens",
        "movieId",
        "4 posts",
        "51 users",
        "100 ratings of 100 lines",
        "line 2 ",
        "not read: tag",
        "user 0 has 50 of the ratings",
        "99 ratings are older",
        "run\n  damper import r.csv",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    let json: Value = run(dir.path(), &["import", "--look", "r.csv", "--json"]).expect(0).json();
    assert_eq!((&json["posts"], &json["command"]), (&json!(4), &json!("damper import r.csv")));
    let files = std::fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(files, 1, "no data file");
}

/// A file of ratings, a line each: post, user, score and time.
fn csv(lines: impl Iterator<Item = (String, String)>) -> String {
    let lines = lines.enumerate().map(|(i, (score, time))| format!("p{},u{i},{score},{time}\n", i % 3));
    "post,user,score,timestamp\n".to_owned() + &lines.collect::<String>()
}

#[test]
fn a_look_names_what_is_odd() {
    let dir = spawn::temp_dir("odd-");
    let minutes = |i: i64| (START + 60 * i).to_string();
    let days = |i: i64| at(START + 24 * HOUR * i, "%Y-%m-%dT00:00:00Z");
    let thumbs = csv((0..60).map(|i| ((i % 2).to_string(), minutes(i))));
    let dated = csv((0..60).map(|i| ((1 + i % 5).to_string(), days(i))));
    let spoilt =
        csv((0..60).map(|i| (if i == 40 { "what".to_owned() } else { (i % 6).to_string() }, days(i))));
    for (name, text, odd, usual) in [
        ("thumbs.csv", thumbs, &["no score is above 1", "within a day"][..], "midnights"),
        ("dated.csv", dated, &["most times are midnights", "no score is 0"], "within a day"),
        ("spoilt.csv", spoilt, &["1 line is refused, the first is line 42"], "no score is 0"),
    ] {
        std::fs::write(dir.path().join(name), text).expect("a file is written");
        let said = run(dir.path(), &["import", "--look", name]).expect(0).out;
        for part in odd {
            assert!(said.contains(part), "{part} in\n{said}");
        }
        assert!(!said.contains(usual), "{usual} in\n{said}");
    }
}

#[test]
fn a_file_that_changes_far_below_its_beginning_is_refused_with_a_command() {
    let dir = spawn::temp_dir("changes-");
    // The beginning, of which the format is guessed, is like all files.
    let changing = |score: &str, time: &str| {
        let usual = (0..300).map(|i| ((i % 6).to_string(), (START + HOUR * i).to_string()));
        let other = (0..100).map(|_| (score.to_owned(), time.to_owned()));
        csv(usual.chain(other))
    };
    let seconds = START.to_string();
    for (name, text, why, command) in [
        ("halves.csv", changing("3.7", &seconds), "100 of 400 scores are no whole numbers", "--scale 0..5 "),
        ("words.csv", changing("true", &seconds), "100 of 400 scores are words", "--scale 0..1 "),
        ("tens.csv", changing("9", &seconds), "100 of 400 scores are not 0 to 5", "--scale 0..10 "),
        ("dates.csv", changing("3", "14.07.2017"), "100 of 400 times, such as", "--time-format %d.%m.%Y "),
    ] {
        std::fs::write(dir.path().join(name), text).expect("a file is written");
        for args in [&["import", name][..], &["import", "--look", name]] {
            let refused = run(dir.path(), args).expect(1).err;
            assert!(refused.contains(why), "{args:?}: {refused}");
            let commands = refused.lines().filter(|line| line.starts_with("  damper import "));
            assert!(commands.into_iter().any(|line| line.contains(command)), "{args:?}: {refused}");
        }
    }
    let imported = run(dir.path(), &["import", "--scale", "0..5", "halves.csv", "--json"]).expect(0).json();
    assert_eq!(imported["imported"], json!(400), "{imported}");
}

#[test]
fn a_text_over_several_lines_is_read_when_that_is_said() {
    let dir = spawn::temp_dir("lines-");
    let text =
        "post,user,score,time,why\np,ann,4,1500000000,\"so\np,eve,5,1500000000,x\"\np,bob,1,1500000000,no\n";
    std::fs::write(dir.path().join("r.csv"), text).expect("a file is written");
    let refused = run(dir.path(), &["import", "r.csv"]).expect(1).err;
    assert!(refused.contains("damper import --multiline r.csv"), "{refused}");
    let done = run(dir.path(), &["import", "--multiline", "r.csv", "--json"]).expect(0).json();
    assert_eq!((&done["lines"], &done["imported"]), (&json!(2), &json!(2)));
}
